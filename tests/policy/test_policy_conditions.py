"""Each condition on its own: what it takes for true, for false and for unknown."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.model.verdict import Outcome
from proxy.policy import PolicyError, compile_policy, decide
from proxy.settings.schema import Conditions, Duration, Hours, Rule

NOW = 1_700_000_000.0
PERSON = Identity(kind="person", subject="1", provider="corp")


def ask(conditions: dict[str, Any], **facts: Any) -> bool | None:
    """The truth of some conditions: do they open, does their negation open, or neither?"""
    everything = {"route": "r", "host": "h.example", "method": "GET", "path": "/", "time": NOW, "identity": PERSON}
    facts = Facts(**(everything | facts))
    plain = compile_policy(allow=[Rule(name="r", anyone=True, **conditions)], deny=[])
    negated = compile_policy(allow=[Rule(name="r", anyone=True, not_=Conditions(**conditions))], deny=[])
    denied = compile_policy(allow=[Rule(name="r", anyone=True)], deny=[Rule(name="d", **conditions)])
    yes, no = (decide(policy, facts).outcome is Outcome.ALLOW for policy in (plain, negated))
    assert not (yes and no)
    assert (decide(denied, facts).outcome is Outcome.ALLOW) is no, "deny matches unless it is known not to"
    return True if yes else False if no else None


def person(**fields: Any) -> Identity:
    return msgspec.structs.replace(PERSON, **fields)


@pytest.mark.parametrize(
    ("email", "truth"),
    [
        ("ann@good.example", True),
        ("Ann@Good.Example", True),
        ("bob@good.example", False),
        ("ann@sub.good.example", False),
        ("ann@notgood.example", False),
        ("", None),
        ("ann", None),
        ("@good.example", None),
        ("ann@", None),
        ("ann@evil@good.example", None),
        ('"ann@evil"@good.example', None),
        ("ann@good.example.", None),
        ("ann@good.example ", None),
        (" ann@good.example", None),
        ("ann@good.example\n", None),
        ("ann@good.example\0", None),
        ("ann@good.example,ann@evil.example", None),
        ("ann@good.example>", None),
        ("ann@ｇood.example", None),
        ("аnn@good.example", None),
        ("ann@good。example", None),
        ("ann@good.\u212aexample", None),
        (["ann@good.example"], None),
        (None, None),
        (True, None),
    ],
)
def test_an_address_counts_only_when_it_is_exactly_one(email: Any, truth: bool | None) -> None:
    identity = person(email=email)
    assert ask({"users": ("ann@GOOD.example",)}, identity=identity) is truth
    if truth is None or email == "ann@good.example":
        assert ask({"domains": ("good.example",)}, identity=identity) is truth


def test_the_kelvin_sign_is_not_a_k() -> None:
    assert ask({"users": ("kim@good.example",)}, identity=person(email="\u212aim@good.example")) is None


@pytest.mark.parametrize(
    ("email", "truth"),
    [("a@good.example", True), ("a@a.good.example", False), ("a@xgood.example", False), ("a@good", False)],
)
def test_domains_match_exactly(email: str, truth: bool) -> None:
    assert ask({"domains": ("Good.example",)}, identity=person(email=email)) is truth


def test_users_by_provider_and_subject() -> None:
    assert ask({"users": ("corp:1",)}) is True
    assert ask({"users": ("corp:2", "cloud:1")}) is False
    assert ask({"users": ("corp:2", "ann@good.example")}) is None
    assert ask({"users": ("corp:1", "ann@good.example")}) is True
    assert ask({"users": ("corp:auth0|a@b:c",)}, identity=person(subject="auth0|a@b:c")) is True
    assert ask({"users": ("corp:A",)}, identity=person(subject="a")) is False


def test_groups() -> None:
    assert ask({"groups": ("a", "b")}, identity=person(groups=frozenset({"b", "c"}))) is True
    assert ask({"groups": ("a",)}, identity=person(groups=frozenset({"A", "aa"}))) is False
    assert ask({"groups": ("a",)}, identity=person(groups=frozenset())) is False
    assert ask({"groups": ("a",)}, identity=person(unknown=frozenset({"groups"}))) is None
    assert ask({"groups": ("a",)}, identity=person(groups="a")) is None
    assert ask({"groups": ("a",)}, identity=person(groups=["a"])) is None


@pytest.mark.parametrize(
    ("wanted", "found", "truth"),
    [
        (True, True, True),
        (True, False, False),
        (True, 1, None),
        (1, True, None),
        (1, 1, True),
        (1, 1.0, True),
        (1, 2, False),
        (1, "1", None),
        ("1", 1, None),
        ("true", True, None),
        ("x", "x", True),
        ("x", "X", False),
        ("x", ["y", "x"], True),
        ("x", ["y"], False),
        ("x", [], False),
        ("x", ["y", 1], None),
        ("x", [["x"]], None),
        ("x", {"x": 1}, None),
        ("x", None, None),
        ("x", [None], None),
        (["x", 1], 1, True),
        (["x", 1], "y", False),
        (["x", 1], True, None),
        (0, False, None),
        (False, 0, None),
        (False, "", None),
    ],
)
def test_claims_are_compared_strictly(wanted: Any, found: Any, truth: bool | None) -> None:
    assert ask({"claims": {"c": wanted}}, identity=person(claims={"c": found})) is truth


def test_claims_are_found_by_path() -> None:
    claims = {
        "realm_access": {"roles": ["admin"]},
        "https://example.com/role": "boss",
        "a": {"b.c": {"d": 1}},
        "s": "x",
    }
    who = person(claims=claims)
    assert ask({"claims": {"realm_access.roles": "admin"}}, identity=who) is True
    assert ask({"claims": {"https://example.com/role": "boss"}}, identity=who) is True
    assert ask({"claims": {"a.b.c.d": 1}}, identity=who) is True
    assert ask({"claims": {"a.b.c": 1}}, identity=who) is None
    assert ask({"claims": {"realm_access.groups": "admin"}}, identity=who) is None
    assert ask({"claims": {"s.x": "x"}}, identity=who) is None
    assert ask({"claims": {"missing": "x"}}, identity=who) is None
    assert ask({"claims": {"s": "x", "a.b.c.d": 2}}, identity=who) is False
    assert ask({"claims": {"s": "x"}}, identity=person(claims=["s", "x"])) is None


def test_what_is_asked_of_people_is_false_for_services_and_unknown_for_nobody() -> None:
    service = Identity(kind="service", subject="a.example")
    for conditions in (
        {"users": ("corp:1",)},
        {"domains": ("a.example",)},
        {"groups": ("a",)},
        {"claims": {"a": 1}},
        {"providers": ("corp",)},
        {"auth_age": Duration(60)},
    ):
        assert ask(conditions, identity=service) is False
        assert ask(conditions, identity=None) is None


def test_somebody_or_nobody_is_always_known() -> None:
    service = Identity(kind="service", subject="a.example")
    assert [ask({"authenticated": True}, identity=who) for who in (PERSON, service, None)] == [True, True, False]
    assert [ask({"authenticated": False}, identity=who) for who in (PERSON, service, None)] == [False, False, True]


@pytest.mark.parametrize(
    ("wanted", "name", "truth"),
    [
        ("spiffe://td/a/b", "spiffe://td/a/b", True),
        ("spiffe://td/a/b", "spiffe://td/a/B", False),
        ("spiffe://td/a/b", "spiffe://td/a/b/", False),
        ("spiffe://td/a/*", "spiffe://td/a/b", True),
        ("spiffe://td/a/*", "spiffe://td/a/", False),
        ("spiffe://td/a/*", "spiffe://td/a", False),
        ("spiffe://td/a/*", "spiffe://td/a/b/c", False),
        ("spiffe://td/a/*", "spiffe://td/a/..", False),
        ("spiffe://td/a/*", "spiffe://td.evil/a/b", False),
        ("spiffe://td/a/*", "spiffe://td/a/%2e%2e", False),
        ("spiffe://td/a/*", "xspiffe://td/a/b", False),
        ("spiffe://td/*", "spiffe://td/a", True),
        ("spiffe://td/*", "spiffe://td", False),
        ("api.example", "api.example", True),
        ("api.example", "api.example.", False),
        ("api.example", "API.example", False),
        ("api.example", "api.example.evil", False),
        ("api.example", "api.example\0.evil", False),
        ("api.example", "x.api.example", False),
        ("*.example", "api.example", True),
        ("*.example", "a.b.example", False),
        ("*.example", "example", False),
        ("*.example", ".example", False),
        ("*.example", "*.example", False),
        ("*.example", "a\0b.example", False),
        ("*.example", "spiffe://td.example", False),
    ],
)
def test_services(wanted: str, name: str, truth: bool) -> None:
    assert ask({"services": (wanted,)}, identity=Identity(kind="service", subject=name)) is truth


def test_services_go_by_every_name_of_their_certificate_and_by_no_refused_one() -> None:
    certificate = Certificate(
        sha256="0", serial="1", names=("spiffe://td/a", "a.example"), not_after=NOW, good_until=NOW
    )
    service = Identity(kind="service", subject="spiffe://td/a")
    assert ask({"services": ("a.example",)}, identity=service, certificate=certificate) is True
    assert ask({"services": ("a.example",)}, identity=service) is False
    assert ask({"services": ("a.example",)}, identity=PERSON, certificate=certificate) is False
    assert ask({"services": ("a.example",)}, identity=None, certificate=certificate) is None
    refused = {"certificate": certificate, "certificate_problem": "certificate-revoked"}
    assert ask({"authenticated": True}, identity=service, **refused) is False


def test_methods_are_exact() -> None:
    truths = {method: ask({"methods": ("GET", "POST")}, method=method) for method in ("GET", "POST", "HEAD", "get", "")}
    assert truths == {"GET": True, "POST": True, "HEAD": False, "get": False, "": False}


@pytest.mark.parametrize(
    ("address", "truth"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("::ffff:0a01:0203", True),
        ("11.1.2.3", False),
        ("::10.1.2.3", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", False),
        ("192.0.2.77", True),
        (None, None),
        ("", None),
        ("10.1.2", None),
        ("10.1.2.3:80", None),
        ("10.1.2.3, 10.1.2.4", None),
        ("010.1.2.3", None),
        ("unknown", None),
        ("1" * 10_000, None),
    ],
)
def test_networks(address: str | None, truth: bool | None) -> None:
    asked = {"networks": ("10.0.0.0/8", "2001:db8::/32", "::ffff:192.0.2.0/120")}
    assert ask(asked, address=address) is truth


@pytest.mark.parametrize("time", [float("nan"), float("inf"), float("-inf"), 1e300, -1e300])
def test_a_time_that_makes_no_sense_is_unknown(time: float) -> None:
    assert ask({"hours": (Hours(),)}, time=time) is None


@pytest.mark.parametrize(
    ("auth_time", "truth"),
    [
        (NOW, True),
        (NOW - 60, True),
        (NOW - 60.5, False),
        (NOW + 60, True),
        (NOW + 61, None),
        (None, None),
        ("1", None),
        (True, None),
    ],
)
def test_auth_age(auth_time: Any, truth: bool | None) -> None:
    assert ask({"auth_age": Duration(60)}, identity=person(auth_time=auth_time)) is truth


def test_nested_negation() -> None:
    inner = Conditions(groups=("a",), not_=Conditions(methods=("GET",)))
    member, stranger = person(groups=frozenset({"a"})), person(groups=frozenset({"b"}))
    unsure = person(unknown=frozenset({"groups"}))
    answers = [
        ask({"not_": inner}, identity=who, method=method)
        for who in (member, stranger, unsure)
        for method in ("GET", "PUT")
    ]
    assert answers == [True, False, True, True, True, None]


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ({"users": ()}, "users: the list is empty"),
        ({"users": "ann@a.example"}, "users: write a list"),
        ({"users": ("ann",)}, "neither an e-mail address nor written as provider:subject"),
        ({"users": ("ann@a@b.example",)}, "neither an e-mail address"),
        ({"users": ("änn@a.example",)}, "neither an e-mail address"),
        ({"domains": ("@a.example",)}, "write it like example.com"),
        ({"domains": ("a.example.",)}, "write it like example.com"),
        ({"domains": ("*.example",)}, "write it like example.com"),
        ({"groups": ("",)}, "groups: '' is not a text"),
        ({"claims": {}}, "claims: there is nothing inside"),
        ({"claims": {"a": []}}, "a: the list is empty"),
        ({"claims": {"a": None}}, "a: None cannot be compared"),
        ({"claims": {"a": {"b": 1}}}, "cannot be compared"),
        ({"claims": {"": 1}}, "empty name"),
        ({"services": ("*",)}, "neither a SPIFFE ID nor a DNS name"),
        ({"services": ("a.*",)}, "neither a SPIFFE ID nor a DNS name"),
        ({"services": ("A.example",)}, "lower case"),
        ({"services": ("spiffe://td/a*",)}, "not a SPIFFE ID"),
        ({"services": ("spiffe://td/*/a",)}, "not a SPIFFE ID"),
        ({"services": ("spiffe://td/../a",)}, "not a SPIFFE ID"),
        ({"services": ("spiffe://TD/a",)}, "not a SPIFFE ID"),
        ({"anyone": False}, "anyone: anyone: false says nothing"),
        ({"methods": ("get",)}, "capitals"),
        ({"methods": ("GET ",)}, "capitals"),
        ({"paths": ("a",)}, "begin with a slash"),
        ({"paths": ("/a/**b",)}, "whole segments"),
        ({"paths": ("/a/***",)}, "whole segments"),
        ({"paths": ("/a/../b",)}, "'..' segment"),
        ({"paths": ("/a//b",)}, "empty"),
        ({"paths": ("/a%20b",)}, "percent-encoded"),
        ({"paths": ("/a;b",)}, "no path has"),
        ({"networks": ("10.0.0.1/8",)}, "write 10.0.0.0/8"),
        ({"networks": ("10.0.0.0/33",)}, "not a network"),
        ({"networks": ("lan",)}, "not a network"),
        ({"hours": ()}, "hours: the list is empty"),
        ({"hours": (Hours(zone="Europe/Berlim"),)}, "not a time zone"),
        ({"hours": (Hours(zone="../etc/passwd"),)}, "not a time zone"),
        ({"hours": (Hours(start="09:00", end="09:00"),)}, "leave both out"),
        ({"hours": (Hours(start="25:00"),)}, "not a time of day"),
        ({"hours": (Hours(start="9"),)}, "not a time of day"),
        ({"hours": (Hours(days=()),)}, "days are a list"),
        ({"hours": (Hours(days=("monday",)),)}, "days are a list"),
        ({"auth_age": Duration(0)}, "how old a login may be"),
        ({"auth_age": Duration("nan")}, "how old a login may be"),
        ({"not_": Conditions()}, "not: there is nothing inside"),
        ({"not_": Conditions(groups=())}, "groups: the list is empty"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(conditions: dict[str, Any], says: str) -> None:
    for allow, deny in ((1, 0), (0, 1)):
        rules = [Rule(name="odd-one", **conditions)]
        with pytest.raises(PolicyError) as refusal:
            compile_policy(allow=rules * allow, deny=rules * deny)
        assert says in str(refusal.value)
        assert refusal.value.rule == "odd-one"


@pytest.mark.parametrize(
    "conditions", [{"methods": ("GET",)}, {"networks": ("10.0.0.0/8",)}, {"not_": Conditions(groups=("a",))}]
)
def test_whom_a_rule_allows_must_be_said(conditions: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="does not say whom it allows: add authenticated: true"):
        compile_policy(allow=[Rule(name="r", **conditions)], deny=[])
    compile_policy(allow=[], deny=[Rule(name="r", **conditions)])


def test_a_rule_without_conditions_is_refused() -> None:
    for allow, deny in ((1, 0), (0, 1)):
        with pytest.raises(PolicyError, match="has no conditions: write anyone: true"):
            compile_policy(allow=[Rule(name="r")] * allow, deny=[Rule(name="r")] * deny)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(PolicyError, match="another rule has this name"):
        compile_policy(allow=[Rule(name="r", anyone=True)] * 2, deny=[])
