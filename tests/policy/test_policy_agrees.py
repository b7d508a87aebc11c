"""The compiled, remembered and indexed policy gives the verdict of the naive reading, for random rules and facts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import policy_reference_verdict as reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_strategies import FACTS, IDENTITIES, REQUESTS, baselines, renamed, rules

from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome, Verdict
from proxy.policy import Policy, compile_policy, decide
from proxy.settings.schema import Baseline, Rule

DEVICE = (Reason.DEVICE_REQUIRED, Reason.DEVICE_NOT_COMPLIANT)
THOROUGH = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def check(
    policy: Policy, allow: list[Rule], deny: list[Rule], public: bool, facts: Facts, added: Sequence[Baseline] = ()
) -> Verdict:
    verdict = decide(policy, facts)
    reason, rule = reference.decide(allow, deny, public, facts, added)
    assert verdict.reason == reason or (reason == "device-" and verdict.reason in DEVICE)
    assert rule is None or verdict.rule == rule
    return verdict


@THOROUGH
@given(rules(True), rules(False, 3), st.booleans(), st.lists(FACTS, min_size=1, max_size=4))
def test_same_verdict(allow: list[Rule], deny: list[Rule], public: bool, asked: list[Facts]) -> None:
    policy = compile_policy(allow=allow, deny=deny, public=public)
    for facts in asked:
        check(policy, allow, deny, public, facts)
        check(policy, allow, deny, public, facts)  # and the same when it is remembered


@THOROUGH
@given(rules(True), rules(False, 2), baselines(), st.booleans(), st.lists(FACTS, min_size=1, max_size=4))
def test_same_verdict_with_baselines(
    allow: list[Rule], deny: list[Rule], added: list[Baseline], public: bool, asked: list[Facts]
) -> None:
    policy = compile_policy(allow=allow, deny=deny, public=public, baselines=added)
    without = compile_policy(allow=allow, deny=deny, public=public)
    for facts in asked:
        verdict = check(policy, allow, deny, public, facts, added)
        if verdict.outcome is Outcome.ALLOW:
            assert decide(without, facts).outcome is Outcome.ALLOW, "a baseline only ever takes away"


@THOROUGH
@given(rules(True), rules(False, 2), IDENTITIES, st.lists(st.fixed_dictionaries(REQUESTS), min_size=2, max_size=6))
def test_same_verdict_for_one_identity_and_many_requests(
    allow: list[Rule], deny: list[Rule], identity: Identity | None, requests: list[dict[str, object]]
) -> None:
    policy = compile_policy(allow=allow, deny=deny)
    for request in requests:
        check(policy, allow, deny, False, Facts(identity=identity, **request))


@settings(THOROUGH, max_examples=40)
@given(rules(True, 6), rules(False, 4), st.lists(FACTS, min_size=1, max_size=4))
def test_same_verdict_when_there_are_enough_rules_for_an_index(
    allow: list[Rule], deny: list[Rule], asked: list[Facts]
) -> None:
    allow = [renamed(rule, f"{rule.name}-{copy}") for copy in range(4) for rule in allow]
    deny = [renamed(rule, f"{rule.name}-{copy}") for copy in range(4) for rule in deny]
    policy = compile_policy(allow=allow, deny=deny)
    for facts in asked:
        check(policy, allow, deny, False, facts)


@THOROUGH
@given(rules(True), rules(False, 2), FACTS)
def test_a_refusal_explains_itself(allow: list[Rule], deny: list[Rule], facts: Facts) -> None:
    policy = compile_policy(allow=allow, deny=deny)
    verdict = decide(policy, facts)
    if verdict.outcome is Outcome.ALLOW:
        assert verdict.failed == ()
        return
    assert {failed.rule for failed in verdict.failed} <= {verdict.rule}
    assert all(failed.explanation.endswith(".") for failed in verdict.failed)
    if allow:
        assert verdict.rule
        assert verdict.failed
    if verdict.outcome is Outcome.CHALLENGE:
        assert verdict.failed


@THOROUGH
@given(rules(True), rules(False, 2), FACTS)
def test_facts_and_verdict_survive_being_recorded(allow: list[Rule], deny: list[Rule], facts: Facts) -> None:
    """A decision can be made again from its record, by another process."""
    again = msgspec.json.decode(msgspec.json.encode(facts), type=Facts)
    first = decide(compile_policy(allow=allow, deny=deny), facts)
    assert decide(compile_policy(allow=allow, deny=deny), again) == first
    assert msgspec.json.decode(msgspec.json.encode(first), type=Verdict) == first


@THOROUGH
@given(rules(True), rules(False, 2), FACTS)
def test_knowing_less_never_opens_anything(allow: list[Rule], deny: list[Rule], facts: Facts) -> None:
    policy = compile_policy(allow=allow, deny=deny)
    if decide(policy, facts).outcome is Outcome.ALLOW or facts.identity is None or facts.identity.kind == "service":
        return
    ignorant = msgspec.structs.replace(
        facts.identity,
        email="",
        claims={},
        auth_time=None,
        groups=frozenset(),
        unknown=frozenset({"groups"}),
        mfa=None,
        acr="",
        amr=(),
        second_factor=(),
        second_factor_at=None,
    )
    less = msgspec.structs.replace(facts, address=None, identity=ignorant, device=None)
    assert decide(policy, less).outcome is not Outcome.ALLOW
