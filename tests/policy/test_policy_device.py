"""`device`: what counts, what is unknown, and that unknown is never yes nor no."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_reference_device import device as naively
from policy_strategies import ASKED_OF_DEVICES, OBSERVED, observation

from proxy.audit.event import encode_facts, facts_of
from proxy.model.device import Assurance, Device, Observation
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.verdict import Outcome
from proxy.policy import PolicyError, compile_policy, decide
from proxy.policy.conditions.device import problems
from proxy.policy.version import version
from proxy.settings.schema import Conditions, Rule

NOW = 1_700_000_000.0
ANN = Identity(kind="person", subject="1", provider="corp")


def facts(time: float = NOW, /, **attributes: Observation) -> Facts:
    device = Device(id="d-1", attributes={name.replace("custom_", "custom."): one for name, one in attributes.items()})
    return Facts(route="r", host="h.example", method="GET", path="/", time=time, identity=ANN, device=device)


def seen(value: Any, **pedigree: Any) -> Observation:
    return Observation(**({"value": value, "source": "agent", "observed": NOW - 60, "expires": NOW + 60} | pedigree))


def truth(asked: dict[str, Any], known: Facts) -> bool | None:
    """Does it open, does its negation open, or neither?"""
    plain = compile_policy(allow=[Rule(name="r", anyone=True, device=asked)], deny=[])
    negated = compile_policy(allow=[Rule(name="r", anyone=True, not_=Conditions(device=asked))], deny=[])
    denied = compile_policy(allow=[Rule(name="r", anyone=True)], deny=[Rule(name="d", device=asked)])
    yes, no = (decide(policy, known).outcome is Outcome.ALLOW for policy in (plain, negated))
    assert not (yes and no)
    assert (decide(denied, known).outcome is Outcome.ALLOW) is no, "deny matches unless it is known not to"
    return True if yes else False if no else None


# --- every kind of value ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "value", "expected"),
    [
        ({"managed": True}, True, True),
        ({"managed": True}, False, False),
        ({"managed": False}, False, True),
        ({"managed": True}, 1, None),
        ({"managed": True}, "true", None),
        ({"score": 80}, 80, True),
        ({"score": 80}, 80.0, True),
        ({"score": ">=80"}, 79.9, False),
        ({"score": ">=80"}, True, None),
        ({"score": "<80"}, "79", None),
        ({"score": ">=80"}, float("nan"), None),
        ({"score": ">=80"}, float("inf"), None),
        ({"score": ">=80"}, 10**400, None),
        ({"score": [10, "> 20, < 30"]}, 25, True),
        ({"score": [10, "> 20, < 30"]}, 20, False),
        ({"score": "<-1"}, -2, True),
        ({"os_version": ">=14.2"}, "14.10", True),
        ({"os_version": ">=14.2"}, "14.2.0", True),
        ({"os_version": ">14.2"}, "14.2.0", False),
        ({"os_version": "14.2"}, "14.02.0.0", True),
        ({"os_version": ">=14.2, <15"}, "15", False),
        ({"os_version": ">=14.2"}, "15-beta", None),
        ({"os_version": ">=14.2"}, "١٥", None),
        ({"os_version": ">=14.2"}, "15.", None),
        ({"os_version": ">=14.2"}, " 15", None),
        ({"os_version": ">=14.2"}, "", None),
        ({"os_version": ">=14.2"}, 15, None),
        ({"os_version": ">=14.2"}, "9" * 65, None),
        ({"os": "linux"}, "linux", True),
        ({"os": ["linux", "macos"]}, "windows", False),
        ({"os": "linux"}, "Linux", False),
        ({"os": "linux"}, ("linux",), None),
        ({"tags": "vip"}, ("a", "vip"), True),
        ({"tags": ["vip", "x"]}, (), False),
        ({"tags": "vip"}, "vip", None),
        ({"tags": "vip"}, ("vip", 1), None),
        ({"last_seen": "<=1h"}, NOW - 3600, True),
        ({"last_seen": "<=1h"}, NOW - 3601, False),
        ({"last_seen": "<1h"}, NOW + 59, True),
        ({"last_seen": "<1h"}, NOW + 61, None),
        ({"last_seen": "<1h"}, "now", None),
        ({"last_seen": ">=2023-11-14"}, NOW - 3600, True),
        ({"last_seen": ">=2023-11-15"}, NOW - 3600, False),
        ({"custom.floor": 3}, 3, True),
        ({"custom.floor": 3}, "3", None),
        ({"custom.floor": True}, 1, None),
        ({"custom.floor": "x"}, ("x", "y"), True),
        ({"custom.floor": ">=3"}, 4, True),
        ({"custom.floor": ">=3"}, "3.1", True),
        ({"custom.floor": ">=3"}, "three", None),
        ({"custom.floor": ["x", ">=3"]}, "x", True),
        ({"custom.floor": "x"}, "y", False),
        ({"custom.floor": "x"}, {"x": 1}, None),
    ],
)
def test_a_value(asked: dict[str, Any], value: Any, expected: bool | None) -> None:
    (name,) = asked
    known = facts(**{name.replace("custom.", "custom_"): seen(value)})
    assert truth(asked, known) is expected


@pytest.mark.parametrize(
    ("system", "release", "expected"),
    [
        ("macos", "14.2", True),
        ("macos", "14.1", False),
        ("windows", "10.0.22631.3007", True),
        ("windows", "10.0.9999", False),
        ("linux", "99", False),
        ("macos", "x", None),
        (7, "14.2", None),
    ],
)
def test_a_version_for_each_system(system: Any, release: str, expected: bool | None) -> None:
    asked = {"os_version": {"macos": ">=14.2", "windows": ">=10.0.22631"}}
    assert truth(asked, facts(os=seen(system), os_version=seen(release))) is expected


def test_an_unknown_system_has_no_version() -> None:
    assert truth({"os_version": {"macos": ">=14.2"}}, facts(os_version=seen("14.2"))) is None
    assert (
        truth({"os_version": {"macos": ">=14.2"}}, facts(os=seen("macos", expires=NOW), os_version=seen("9"))) is None
    )


# --- what counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needed", "pedigree", "expected"),
    [
        ({}, {"expires": NOW}, None),
        ({}, {"expires": NOW + 0.001}, True),
        ({}, {"observed": NOW + 60}, True),
        ({}, {"observed": NOW + 60.1}, None),
        ({}, {"observed": float("nan")}, None),
        ({}, {"expires": float("nan")}, None),
        ({}, {"observed": None}, None),
        ({"max_age": "15m"}, {"observed": NOW - 900}, True),
        ({"max_age": "15m"}, {"observed": NOW - 901}, None),
        ({"max_age": "15m"}, {"observed": NOW - 901, "source": "inventory"}, True),
        ({"max_age": "15m"}, {"observed": NOW - 901, "source": "certificate"}, True),
        ({"max_age": "15m"}, {"observed": NOW - 901, "source": "inventory:x"}, None),
        ({"source": "agent"}, {}, True),
        ({"source": ["management"]}, {}, None),
        ({"source": ["management"]}, {"source": "management:jamf"}, True),
        ({"source": ["management:jamf"]}, {"source": "management:jamf"}, True),
        ({"source": ["management:jamf"]}, {"source": "management:intune"}, None),
        ({"source": ["management:jamf"]}, {"source": "management"}, None),
        ({"source": ["agent", "claims"]}, {"source": "claims:corp"}, True),
        ({"assurance": "managed"}, {"assurance": Assurance.SELF_REPORTED}, None),
        ({"assurance": "managed"}, {"assurance": Assurance.MANAGED}, True),
        ({"assurance": "managed"}, {"assurance": Assurance.ATTESTED}, True),
        ({"assurance": "attested"}, {"assurance": Assurance.MANAGED}, None),
    ],
)
def test_a_value_counts_or_is_unknown(needed: dict[str, Any], pedigree: dict[str, Any], expected: bool | None) -> None:
    assert truth({"managed": True, **needed}, facts(managed=seen(True, **pedigree))) is expected
    opposite = None if expected is None else not expected
    assert truth({"managed": True, **needed}, facts(managed=seen(False, **pedigree))) is opposite


def test_nothing_is_known_without_a_device() -> None:
    assert truth({"managed": True}, msgspec.structs.replace(facts(), device=None)) is None
    assert truth({"managed": False}, facts()) is None


TIMES = st.sampled_from([NOW, NOW + 840, NOW + 841, NOW + 3540, NOW + 3599, NOW + 3600, NOW + 2.5 * 86_400])
KNOWN = st.fixed_dictionaries({}, optional={name: observation(values) for name, values in OBSERVED.items()})


@settings(max_examples=600, deadline=None)
@given(ASKED_OF_DEVICES, KNOWN, TIMES)
def test_as_the_naive_reading_has_it(asked: dict[str, Any], known: dict[str, Observation], time: float) -> None:
    assert truth(asked, facts(time, **known)) is naively(asked, facts(time, **known))


@settings(max_examples=200, deadline=None)
@given(ASKED_OF_DEVICES, KNOWN, TIMES)
def test_the_same_from_its_record(asked: dict[str, Any], known: dict[str, Observation], time: float) -> None:
    first = facts(time, **known)
    again = facts_of(b'{"facts":%b}' % bytes(encode_facts(first)))
    policy = compile_policy(allow=[Rule(name="r", authenticated=True, device=asked)], deny=[])
    assert again.device == first.device
    assert decide(policy, again) == decide(policy, first)


@settings(max_examples=200, deadline=None)
@given(ASKED_OF_DEVICES, KNOWN, TIMES, st.sampled_from([*OBSERVED]))
def test_forgetting_a_value_opens_nothing(
    asked: dict[str, Any], known: dict[str, Observation], time: float, forgotten: str
) -> None:
    less = {name: one for name, one in known.items() if name != forgotten}
    if truth(asked, facts(time, **known)) is not True:
        assert truth(asked, facts(time, **less)) is not True
    if truth(asked, facts(time, **known)) is None:
        assert truth(asked, facts(time, **less)) is not False or forgotten not in asked


# --- versions --------------------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.integers(0, 10**12 - 1) | st.integers(0, 30), min_size=1, max_size=4)


def written(numbers: list[int]) -> str:
    return ".".join(map(str, numbers))


@given(NUMBERS, NUMBERS)
def test_versions_compare_number_by_number(left: list[int], right: list[int]) -> None:
    width = max(len(left), len(right))
    padded = [one + [0] * (width - len(one)) for one in (left, right)]
    one, other = version(written(left)), version(written(right))
    assert one is not None
    assert other is not None
    assert (one < other) is (padded[0] < padded[1])
    assert (one == other) is (padded[0] == padded[1])


@given(st.lists(NUMBERS, min_size=2, max_size=8))
def test_versions_are_in_one_order(versions: list[list[int]]) -> None:
    known = sorted(found for one in versions if (found := version(written(one))) is not None)
    assert len(known) == len(versions)
    assert all(before <= after for before, after in pairwise(known))
    assert known[0] <= known[-1]


@given(st.text(max_size=80))
def test_what_is_no_version_has_no_place_in_the_order(text: str) -> None:
    parts = text.split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        assert version(text) is None


def test_texts_would_have_it_the_other_way_round() -> None:
    assert (version("10.9") or ()) < (version("10.10") or ()) < (version("10.10.1") or ())
    assert version("14") == version("14.0.0")


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_a_mistake_names_rule_and_condition() -> None:
    with pytest.raises(PolicyError) as caught:
        compile_policy(allow=[Rule(name="r", anyone=True, device={"managd": True})], deny=[])
    assert (caught.value.rule, caught.value.condition) == ("r", "device")
    assert str(caught.value) == 'rule r, device: "managd" is no attribute of devices'


@given(
    st.dictionaries(
        st.sampled_from(["managed", "os", "os_version", "max_age", "source", "score", "custom.a", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(["15m", ">=1", "agent"]),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["macos", "x"]), inner, max_size=2)
            ),
        ),
    )
)
def test_whatever_is_written_compiles_or_is_explained(asked: dict[str, Any]) -> None:
    found = list(problems(asked))
    assert all(problem.message for problem in found)
    if found:
        with pytest.raises(PolicyError):
            compile_policy(allow=[Rule(name="r", anyone=True, device=asked)], deny=[])
    else:
        truth(asked, facts(managed=seen(True), os=seen("macos"), os_version=seen("14"), score=seen(3)))
