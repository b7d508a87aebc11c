"""What a refused person is asked to do: as little as helps, named precisely, with how to mend it."""

from __future__ import annotations

from typing import Any

import msgspec
import policy_reference_verdict as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_strategies import NOW, observation, some

from proxy.model.device import Device
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.policy import Wanted, compile_policy, decide, opens
from proxy.settings.schema import Baseline, Conditions, Duration, Hours, Rule

ANN = Identity(kind="person", subject="1", provider="corp", groups=frozenset({"sre"}), auth_time=NOW - 60)
DEVICE = (Reason.DEVICE_REQUIRED, Reason.DEVICE_NOT_COMPLIANT)


def facts(identity: Identity | None = ANN, device: Device | None = None, **more: Any) -> Facts:
    asked = {"route": "r", "host": "h.example", "method": "GET", "path": "/", "time": NOW}
    return Facts(**asked | more, identity=identity, device=device)


# --- only what these verdicts turn on, so that random rules meet random people --------------------------------------


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


CONDITIONS: dict[str, Any] = {
    "auth_age": maybe(st.just(Duration(900))),
    "mfa": maybe(st.booleans()),
    "acr": maybe(some("phr", "low")),
    "amr": maybe(some("hwk", "pwd")),
    "device": maybe(st.sampled_from([{"managed": True}, {"managed": False}, {"managed": True, "max_age": "15m"}])),
}
GIVEN = [*CONDITIONS]


def given_any(one: Any) -> bool:
    return any(getattr(one, name) is not None for name in GIVEN)


NOT = maybe(st.builds(Conditions, **CONDITIONS).filter(given_any))
ALLOW = st.builds(Rule, name=st.just("a"), authenticated=st.just(True), not_=NOT, **CONDITIONS)
DENY = st.builds(Rule, name=st.just("d"), not_=NOT, **CONDITIONS).filter(given_any)
ADDED = st.builds(
    Baseline,
    name=st.just("b"),
    labels=st.just(("*",)),
    applies_to=st.sampled_from(["everybody", "people", "services"]),
    **CONDITIONS,
).filter(given_any)
PEOPLE = st.builds(
    Identity,
    kind=st.sampled_from(["person", "person", "person", "service"]),
    subject=st.just("1"),
    auth_time=st.sampled_from([None, NOW - 60, NOW - 1000, NOW + 61]),
    second_factor_at=st.sampled_from([None, NOW - 60, NOW - 1000]),
    second_factor=st.sampled_from([(), ("hwk",)]),
    mfa=st.sampled_from([None, True, False]),
    acr=st.sampled_from(["", "low", "phr"]),
    amr=st.sampled_from([(), ("pwd",)]),
)
DEVICES = st.none() | st.builds(
    Device,
    id=st.sampled_from(["", "d-1"]),
    attributes=st.fixed_dictionaries({}, optional={"managed": observation(st.booleans())}),
)


@settings(max_examples=600, deadline=None)
@given(st.lists(ALLOW, max_size=1), st.lists(DENY, max_size=1), st.lists(ADDED, max_size=1), PEOPLE, DEVICES)
def test_as_the_naive_reading_has_it(
    allow: list[Rule], deny: list[Rule], added: list[Baseline], person: Identity, device: Device | None
) -> None:
    policy = compile_policy(allow=allow, deny=deny, baselines=added)
    known = facts(person, device)
    verdict = decide(policy, known)
    reason, _ = reference.decide(allow, deny, False, known, added)
    assert verdict.reason == reason or (reason == "device-" and verdict.reason in DEVICE)
    assert (verdict.outcome is Outcome.CHALLENGE) is (
        verdict.reason in (*DEVICE, Reason.REAUTHENTICATION_REQUIRED, Reason.STEP_UP_REQUIRED)
    )
    assert opens(policy, person, known) is (verdict.outcome is not Outcome.DENY)


@settings(max_examples=300, deadline=None)
@given(ALLOW, st.lists(ADDED, max_size=1), PEOPLE)
def test_a_stronger_login_that_is_asked_for_is_enough(rule: Rule, added: list[Baseline], person: Identity) -> None:
    """Whoever does what the challenge names is let in by it, so that nobody goes round in circles."""
    policy = compile_policy(allow=[rule], deny=[], baselines=added)
    verdict = decide(policy, facts(person))
    if verdict.reason is not Reason.STEP_UP_REQUIRED or rule.not_ is not None:
        return
    wanted = policy.wanted(verdict.rule)
    amr = {one.condition for one in verdict.failed if one.condition == "amr"}
    done = msgspec.structs.replace(
        person,
        auth_time=NOW,
        mfa=True if wanted.mfa else person.mfa,
        acr=wanted.acr[0] if wanted.acr else person.acr,
        amr=("hwk", "pwd") if amr else person.amr,
    )
    if not any(one.acr for one in added):  # two lists of acr may have nothing in common
        assert decide(policy, facts(done)).outcome is Outcome.ALLOW


# --- what the gateway reads off a policy -----------------------------------------------------------------------------


def test_what_a_challenge_asks_of_the_login() -> None:
    policy = compile_policy(
        allow=[
            Rule(name="admin", groups=("sre",), auth_age=Duration(900), acr=("phr", "phrh")),
            Rule(name="keyed", groups=("sre",), amr=("hwk",)),
            Rule(name="plain", groups=("sre",), amr=("pwd",), not_=Conditions(acr=("0",))),
        ],
        deny=[Rule(name="weak", mfa=False), Rule(name="old", not_=Conditions(auth_age=Duration(60)), acr=("0",))],
        baselines=[Baseline(name="b", labels=("*",), mfa=True, auth_age=Duration(600), acr=("phrh",))],
    )
    assert policy.wanted("admin") == Wanted(max_age=600, mfa=True, acr=("phrh",))
    assert policy.wanted("keyed") == Wanted(max_age=600, mfa=True, acr=("phrh",))
    assert policy.wanted("weak") == Wanted(mfa=True)
    assert policy.wanted("old") == Wanted(max_age=60)
    assert policy.wanted("no such rule") == Wanted()
    assert compile_policy(allow=[Rule(name="p", groups=("a",), amr=("pwd",))], deny=[]).wanted("p") == Wanted()


@pytest.mark.parametrize(
    ("conditions", "timed", "attributes"),
    [
        ({"groups": ("sre",)}, False, set()),
        ({"groups": ("sre",), "mfa": True}, False, set()),
        ({"groups": ("sre",), "hours": (Hours(),)}, True, set()),
        ({"groups": ("sre",), "auth_age": Duration(60)}, True, set()),
        (
            {"groups": ("sre",), "device": {"managed": True, "os_version": {"macos": "14"}}},
            True,
            {"managed", "os", "os_version"},
        ),
        ({"groups": ("sre",), "not_": Conditions(device={"custom.x": True})}, True, {"custom.x"}),
    ],
)
def test_what_time_and_the_device_can_change(conditions: dict[str, Any], timed: bool, attributes: set[str]) -> None:
    policy = compile_policy(allow=[Rule(name="r", **conditions)], deny=[])
    assert (policy.timed, policy.device_attributes) == (timed, attributes)
    denying = compile_policy(allow=[], deny=[Rule(name="r", **conditions)])
    assert (denying.timed, denying.device_attributes) == (timed, attributes)
    own = {name: value for name, value in conditions.items() if name != "groups"}
    added = Baseline(name="b", labels=("*",), **own or {"networks": ("10.0.0.0/8",)})
    by_baseline = compile_policy(allow=[Rule(name="r", anyone=True)], deny=[], baselines=[added])
    assert (by_baseline.timed, by_baseline.device_attributes) == (timed, attributes)
