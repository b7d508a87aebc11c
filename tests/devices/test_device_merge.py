"""Of several that tell the same, which counts: by example, and for whatever is told."""

from __future__ import annotations

import math

from device_people import record
from hypothesis import given
from hypothesis import strategies as st

from proxy.devices.merge import kind_of, merge
from proxy.devices.record import Statement, added, replaced
from proxy.model.device import Assurance, Observation

PRECEDENCE = ("management", "agent", "certificate", "claims")
SOURCES = ("management:intune", "management:fleet", "agent", "certificate", "claims:corp", "inventory", "elsewhere")


def said(value: object, source: str, observed: float = 0.0, expires: float = 100.0, assurance: int = 1) -> Observation:
    return Observation(value=value, source=source, observed=observed, expires=expires, assurance=Assurance(assurance))


def winner(*told: Observation, now: float = 50.0) -> object:
    return merge([("x", one) for one in told], PRECEDENCE, now).attributes["x"].value


class TestWhichCounts:
    def test_the_first_kind_named(self) -> None:
        assert winner(said(1, "agent"), said(2, "management:intune"), said(3, "claims:corp")) == 2
        assert winner(said(1, "claims:corp"), said(3, "certificate")) == 3

    def test_our_own_inventory_before_all(self) -> None:
        assert winner(said(1, "management:intune"), said(2, "inventory")) == 2

    def test_one_nobody_named_comes_last(self) -> None:
        assert winner(said(1, "elsewhere", observed=40), said(2, "claims:corp")) == 2

    def test_what_has_expired_gives_way(self) -> None:
        assert winner(said(1, "management:intune", expires=50), said(2, "claims:corp")) == 2

    def test_the_later_of_one_kind(self) -> None:
        assert winner(said(1, "management:intune", observed=9), said(2, "management:fleet", observed=8)) == 1

    def test_the_surer_of_the_same_moment(self) -> None:
        assert winner(said(1, "agent"), said(2, "agent", assurance=2)) == 2

    def test_when_all_have_expired_the_last_to_do_so(self) -> None:
        assert winner(said(1, "management:x", expires=10), said(2, "claims:corp", expires=20), now=99) == 2

    def test_again_when_the_winner_expires_and_somebody_else_still_tells(self) -> None:
        told = [
            ("x", said(1, "management:x", expires=60)),
            ("x", said(2, "agent", expires=80)),
            ("y", said(1, "agent")),
        ]
        first = merge(told, PRECEDENCE, 50)
        assert (first.attributes["x"].value, first.again_at) == (1, 60)
        second = merge(told, PRECEDENCE, 60)
        assert (second.attributes["x"].value, second.again_at) == (2, math.inf), "it stays, expired, when alone"


NUMBERS = st.integers(0, 20).map(float)
TOLD = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.builds(
            said,
            value=st.integers(0, 3),
            source=st.sampled_from(SOURCES),
            observed=NUMBERS,
            expires=NUMBERS,
            assurance=st.integers(1, 3),
        ),
    ),
    max_size=12,
)


class TestWhateverIsTold:
    @given(TOLD, NUMBERS)
    def test_one_that_expired_never_counts_beside_one_that_did_not(self, told: list, now: float) -> None:
        attributes = merge(told, PRECEDENCE, now).attributes
        assert attributes.keys() == {name for name, _ in told}
        for name, one in attributes.items():
            fresh = [other for told_name, other in told if told_name == name and other.expires > now]
            assert one in [other for told_name, other in told if told_name == name]
            assert not fresh or one.expires > now

    @given(TOLD, NUMBERS)
    def test_nobody_named_earlier_was_passed_over(self, told: list, now: float) -> None:
        rank = {kind: number for number, kind in enumerate(("inventory", *PRECEDENCE))}
        for name, one in merge(told, PRECEDENCE, now).attributes.items():
            for told_name, other in told:
                if told_name == name and one.expires > now and other.expires > now:
                    mine, theirs = (rank.get(kind_of(each.source), 9) for each in (one, other))
                    assert (mine, -one.observed, -one.assurance) <= (theirs, -other.observed, -other.assurance)

    @given(TOLD, NUMBERS, NUMBERS)
    def test_it_holds_until_it_says(self, told: list, now: float, later: float) -> None:
        first = merge(told, PRECEDENCE, now)
        if now <= later < first.again_at:
            fresh = merge(told, PRECEDENCE, later).attributes
            for name, one in first.attributes.items():
                if one.expires > later:
                    assert fresh[name] == one
                else:
                    assert fresh[name].expires <= later, "else somebody else would have taken its place"

    @given(TOLD, NUMBERS, st.randoms())
    def test_the_order_of_telling_means_nothing(self, told: list, now: float, random: object) -> None:
        shuffled = list(told)
        random.shuffle(shuffled)
        one, two = merge(told, PRECEDENCE, now), merge(shuffled, PRECEDENCE, now)
        assert one.again_at == two.again_at
        for name, each in one.attributes.items():
            other = two.attributes[name]
            assert (each.expires > now) == (other.expires > now)
            assert (kind_of(each.source), each.observed, each.assurance) == (
                kind_of(other.source),
                other.observed,
                other.assurance,
            )


def statement(source: str, **values: object) -> Statement:
    return Statement(source=source, observed=1.0, expires=9.0, assurance=Assurance.MANAGED, values=values)


class TestWhatASourceSaid:
    def test_a_source_that_tells_all_anew(self) -> None:
        first = replaced(record(), statement("agent", firewall=True, os="linux"))
        assert replaced(first, statement("agent", os="linux")).statements == (statement("agent", os="linux"),)

    def test_a_source_that_adds(self) -> None:
        first = added(record(), statement("management:x", firewall=True, os="linux"))
        second = added(first, statement("management:x", firewall=False))
        assert second.statements == (statement("management:x", os="linux"), statement("management:x", firewall=False))
        third = added(second, statement("management:x", os="macos"))
        assert third.statements == (statement("management:x", firewall=False), statement("management:x", os="macos"))

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.sets(st.sampled_from("xyz"), min_size=1)), max_size=8))
    def test_an_attribute_stands_once_for_each_source(self, told: list) -> None:
        kept = record()
        for source, names in told:
            kept = added(kept, statement(source, **dict.fromkeys(names, True)))
        seen = [(one.source, name) for one in kept.statements for name in one.values]
        assert len(seen) == len(set(seen))
        assert all(one.values for one in kept.statements)
