"""What a person is told about their device: which value, how old, from where, what is asked, and how to mend it."""

from __future__ import annotations

from typing import Any

import pytest
from policy_strategies import NOW

from proxy.model.device import Assurance, Device, Observation
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Failed
from proxy.policy import compile_policy, decide
from proxy.settings.schema import Rule

ANN = Identity(kind="person", subject="1", provider="corp", groups=frozenset({"sre"}), auth_time=NOW - 60)


def facts(identity: Identity | None = ANN, device: Device | None = None, **more: Any) -> Facts:
    asked = {"route": "r", "host": "h.example", "method": "GET", "path": "/", "time": NOW}
    return Facts(**asked | more, identity=identity, device=device)


def laptop(**attributes: Any) -> Device:
    return Device(id="d-1", binding="agent", attributes={name: seen(value) for name, value in attributes.items()})


def seen(value: Any, **pedigree: Any) -> Observation:
    return Observation(**({"value": value, "source": "agent", "observed": NOW - 180, "expires": NOW + 60} | pedigree))


def refusal(asked: dict[str, Any], device: Device | None) -> list[Failed]:
    policy = compile_policy(allow=[Rule(name="staff", groups=("sre",), device=asked)], deny=[])
    return list(decide(policy, facts(device=device)).failed)


@pytest.mark.parametrize(
    ("asked", "known", "explanation", "remedy"),
    [
        (
            {"disk_encrypted": True},
            {"disk_encrypted": seen(False), "os": seen("macos")},
            "Disk encryption is off (reported by the agent 3 min ago; disk_encrypted: true is asked).",
            "Turn on FileVault: System Settings, Privacy & Security, FileVault. "
            "Then let the agent report it: ostiary device report.",
        ),
        (
            {"disk_encrypted": True},
            {},
            "Nothing is known about disk encryption.",
            "Start the agent on this device, or let it report now: ostiary device report.",
        ),
        (
            {"managed": True},
            {},
            "It is not known whether this device is managed.",
            "Start the agent on this device, or let it report now: ostiary device report.",
        ),
        (
            {"firewall": True, "max_age": "2m"},
            {"firewall": seen(True)},
            "The firewall is on (reported by the agent 3 min ago; at most 2 min old is asked).",
            "Start the agent on this device, or let it report now: ostiary device report.",
        ),
        (
            {"compliant": True},
            {"compliant": seen(True, source="management:jamf", observed=NOW - 90_000, expires=NOW)},
            "The management says that this device is compliant "
            "(reported by the management system jamf 25 h ago; that is too long ago to count).",
            "Let this device check in with the management system jamf.",
        ),
        (
            {"os_version": {"macos": ">=14.2", "windows": ">=10"}},
            {"os": seen("macos"), "os_version": seen("14.1")},
            "The version of the operating system is 14.1 "
            "(reported by the agent 3 min ago; os_version: >=14.2 is asked).",
            "Install the updates: System Settings, General, Software Update. "
            "Then let the agent report it: ostiary device report.",
        ),
        (
            {"os_version": {"macos": ">=14.2", "windows": ">=10"}},
            {"os": seen("linux"), "os_version": seen("14.1")},
            "The operating system is linux (reported by the agent 3 min ago; os: macos or windows is asked).",
            "Use a device with a system that is asked. Then let the agent report it: ostiary device report.",
        ),
        (
            {"secure_boot": True, "assurance": "attested"},
            {"secure_boot": seen(True)},
            "Secure boot is on (reported by the agent 3 min ago; assurance attested is asked).",
            "Let this device's TPM vouch for its key (ostiary device attest): only what hardware vouches for counts.",
        ),
        (
            {"managed": True, "source": ["management"]},
            {"managed": seen(True, source="claims:corp")},
            "This device is managed "
            "(told by the login provider corp 3 min ago; the word of a management system is asked).",
            "Have this device enrolled in the management of your organisation.",
        ),
        (
            {"score": ">=80"},
            {"score": seen("high")},
            "What is told of this device cannot be used for score "
            "(reported by the agent 3 min ago; score: >=80 is asked).",
            "Start the agent on this device, or let it report now: ostiary device report.",
        ),
        (
            {"patch_age_days": "<30"},
            {"patch_age_days": seen(3, observed=NOW + 3600)},
            "The last update was 3 days ago "
            "(reported by the agent just now; a time that has not come yet: a clock is wrong).",
            "Set the clock of this device.",
        ),
        (
            {"custom.floor": 3},
            {"custom.floor": seen(4, source="inventory")},
            "“floor” is 4 (known from the inventory 3 min ago; custom.floor: 3 is asked).",
            "",
        ),
        (
            {"tags": ["vip"]},
            {"tags": seen((), source="inventory")},
            "The tags of this device are none (known from the inventory 3 min ago; tags: vip is asked).",
            "Ask whoever runs this service.",
        ),
    ],
)
def test_a_refusal_says_which_value_failed_and_how_to_mend_it(
    asked: dict[str, Any], known: dict[str, Observation], explanation: str, remedy: str
) -> None:
    (one,) = refusal(asked, Device(id="d-1", attributes=known))
    assert (one.explanation, one.remedy) == (explanation, remedy)


def test_one_line_for_each_attribute_that_fails() -> None:
    asked = {"managed": True, "disk_encrypted": True, "firewall": True, "screen_lock": True}
    found = refusal(asked, laptop(managed=True, disk_encrypted=False, firewall=False))
    assert [(one.condition, one.unknown) for one in found] == [("device", False), ("device", False), ("device", True)]


def test_without_a_device_the_remedy_is_to_enrol() -> None:
    assert {one.remedy for one in refusal({"managed": True, "firewall": True}, None)} == {
        "Enrol this device from your apps page, and let it report."
    }


def test_nobody_is_told_what_a_rule_asks_of_devices() -> None:
    policy = compile_policy(allow=[Rule(name="r", anyone=True, device={"tags": "secret"})], deny=[])
    verdict = decide(policy, facts(None, laptop(tags=("other",))))
    assert verdict.reason is Reason.LOGIN_REQUIRED
    assert [(one.explanation, one.remedy) for one in verdict.failed] == [("This depends on the device you use.", "")]


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), 10**400, "", "x" * 500, (), ("a",), {"a": 1}])
@pytest.mark.parametrize("attribute", ["managed", "score", "os_version", "last_seen", "tags", "custom.x"])
def test_any_value_can_be_explained(attribute: str, odd: Any) -> None:
    asked = {"managed": True, "score": 1, "os_version": "1", "last_seen": "<1h", "tags": "t", "custom.x": True}
    for observed in (NOW, odd):
        device = Device(id="d", attributes={attribute: seen(odd, observed=observed, source=str(odd)[:9])})
        for one in refusal({attribute: asked[attribute]}, device):
            assert one.explanation.endswith(".")
            assert len(one.explanation) < 300


def test_attested_by_the_agent_only() -> None:
    """What a management system says is managed, never attested."""
    known = Device(id="d", attributes={"secure_boot": seen(True, assurance=Assurance.ATTESTED)})
    assert refusal({"secure_boot": True, "assurance": "attested", "source": "agent"}, known) == []
