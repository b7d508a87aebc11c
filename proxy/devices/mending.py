"""What is wrong with a device, as sentences for the person whose it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.devices.record import DeviceRecord
from proxy.model.device import Observation

WAITING: Final = "It waits until an administrator approves it."
_FALSE: Final[Mapping[str, str]] = {
    "compliant": "The management system says that it does not comply.",
    "disk_encrypted": "The disk is not encrypted.",
    "screen_lock": "The screen does not lock by itself.",
    "firewall": "The firewall is off.",
    "secure_boot": "Secure boot is off.",
    "integrity_ok": "The system was tampered with, or protection against that is off.",
    "edr_running": "The security agent (EDR) does not run.",
    "threat_free": "A threat was found on it.",
}
_OLD_PATCHES: Final = 30.0  # days


def troubles(record: DeviceRecord, attributes: Mapping[str, Observation], now: float) -> list[str]:
    """What a person would want to mend, most of it whatever any rule asks; [] when all is well. `attributes` are those
    that count."""
    said = [] if record.approved else [WAITING]
    for name, sentence in _FALSE.items():
        one = attributes.get(name)
        if one is not None and one.expires > now and one.value is False:
            said.append(sentence)
    patches = attributes.get("patch_age_days")
    if patches is not None and patches.expires > now and isinstance(patches.value, int | float):
        days = patches.value
        if days > _OLD_PATCHES:
            said.append(f"Updates were last installed {days:.0f} days ago.")
    return said


def silent_since(record: DeviceRecord, now: float) -> str:
    """A sentence when the agent has stopped reporting, "" otherwise."""
    reported = [one for one in record.statements if one.source == "agent"]
    if record.key is None or record.revoked:
        return ""
    if not reported:
        return "It has not reported yet: start the agent’s service."
    return (
        "" if max(one.expires for one in reported) > now else "Its last report is too old: start the agent’s service."
    )
