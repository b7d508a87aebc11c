"""The verdicts of `verdicts.yaml`: who asked for what, under which rules, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from proxy.model.device import Assurance, Device, Observation
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.verdict import Failed
from proxy.policy import Policy, compile_policy, decide, opens
from proxy.settings.schema import Baseline, Rule

TABLE = yaml.safe_load((Path(__file__).parent / "verdicts.yaml").read_text("utf-8"))
CASES = [
    pytest.param(policy, case, id=f"{policy['about']}: {case.get('who', 'nobody')} {case['ask']} #{number}")
    for policy in TABLE["policies"]
    for number, case in enumerate(policy["cases"])
]


def seconds(moment: datetime) -> float:
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def person(name: str) -> Identity:
    described = dict(TABLE["people"][name])
    for time in ("auth_time", "second_factor_at"):
        if time in described:
            described[time] = seconds(described[time])
    return msgspec.convert(described, Identity)


def compiled(policy: dict[str, Any]) -> Policy:
    def rules(key: str) -> list[Rule]:
        return msgspec.convert(policy.get(key, []), list[Rule], dec_hook=lambda kind, value: kind(value))

    added = [{"labels": ["*"], **one} for one in policy.get("baselines", [])]
    return compile_policy(
        allow=rules("allow"),
        deny=rules("deny"),
        public=policy.get("public", False),
        baselines=msgspec.convert(added, list[Baseline], dec_hook=lambda kind, value: kind(value)),
    )


def facts(case: dict[str, Any]) -> Facts:
    method, path = case["ask"].split(" ")
    return Facts(
        route="app",
        host="app.example",
        method=method,
        path=path,
        time=seconds(case.get("at", datetime(2024, 3, 4, 8, 1, tzinfo=UTC))),
        address=case.get("from", "192.0.2.1"),
        identity=person(case["who"]) if "who" in case else None,
        certificate_problem=case.get("certificate_problem"),
        device=device(case["with"]) if "with" in case else None,
    )


def device(name: str) -> Device:
    described = TABLE["devices"][name]
    attributes = {
        attribute: Observation(
            value=told[0],
            source=told[1],
            observed=seconds(told[2]),
            expires=seconds(told[2]) + 3600,
            assurance=Assurance.MANAGED if told[1].startswith("management") else Assurance.SELF_REPORTED,
        )
        for attribute, told in described["attributes"].items()
    }
    return Device(id=described.get("id", ""), attributes=attributes)


@pytest.mark.parametrize(("policy", "case"), CASES)
def test_case(policy: dict[str, Any], case: dict[str, Any]) -> None:
    verdict = decide(compiled(policy), facts(case))
    assert (verdict.outcome, verdict.reason) == (case["outcome"], case["reason"])
    if "rule" in case:
        assert verdict.rule == case["rule"]
        assert [named(failed, verdict.rule) for failed in verdict.failed] == case.get("says", [])


def named(failed: Failed, rule: str) -> str:
    """`mfa?`, or `BASELINE/mfa?` when it is not a condition of the rule itself."""
    return f"{failed.rule}/" * (failed.rule != rule) + failed.condition + "?" * failed.unknown


def test_a_refusal_tells_a_person_what_is_missing_in_plain_words() -> None:
    policy = compiled(TABLE["policies"][0])
    said = [
        [failed.explanation for failed in decide(policy, facts(case)).failed]
        for case in (
            {"who": "bob", "ask": "GET /"},
            {"who": "blank", "ask": "GET /"},
            {"who": "ann", "ask": "POST /"},
            {"who": "ann", "ask": "GET /", "from": "10.9.1.2"},
            {"who": "cron", "ask": "POST /api/annotations/1"},
        )
    ]
    assert said == [
        ["You are not in the group sre."],
        ["Your groups are not known: the identity provider did not tell them."],
        ["The method POST is not among GET or HEAD."],
        ["Your network address 10.9.1.2 is in 10.9.0.0/16."],
        ["The service spiffe://example.org/cron is not spiffe://example.org/ci/deploy."],
    ]


def test_a_refusal_tells_nobody_in_particular_nothing_about_the_rules() -> None:
    rule = {
        "name": "inside",
        "users": ["ann@example.com"],
        "groups": ["secret-group"],
        "claims": {"secret-claim": "secret"},
        "paths": ["/secret/**"],
        "networks": ["10.7.0.0/16"],
        "methods": ["PURGE"],
        "hours": [{"from": "03:07"}],
        "not": {"services": ["secret.example"]},
    }
    for case in ({"ask": "GET /"}, {"ask": "PURGE /secret/x", "from": "10.7.0.1"}):
        verdict = decide(compiled({"allow": [rule]}), facts(case))
        said = " ".join(failed.explanation for failed in verdict.failed)
        assert verdict.failed
        for secret in ("ann@", "secret-", "10.7.0.0", "03:07", "secret.example", "/secret/**"):
            assert secret not in said


def test_other_people_on_the_list_are_nobodys_business() -> None:
    policy = compiled({"allow": [{"name": "two", "users": ["ceo@example.com", "cfo@example.com"]}]})
    (failed,) = decide(policy, facts({"who": "ann", "ask": "GET /"})).failed
    assert failed.explanation == "You (ann@example.com) are not one of them."


def test_the_portal_lists_what_opens_perhaps_after_confirming() -> None:
    careful = compiled(TABLE["policies"][3])
    template = facts({"ask": "GET /", "at": datetime(2024, 3, 4, 20, 0, tzinfo=UTC)})
    assert opens(careful, person("ann"), template)
    assert not opens(careful, person("bob"), template)
    assert not opens(careful, None, template)
