"""What people are told about their device: which value failed, how old it is, who told it, and how to mend it."""

from __future__ import annotations

from typing import Final

from proxy.model.device import ATTRIBUTES, CUSTOM, Kind, Observation
from proxy.model.facts import Facts
from proxy.policy.conditions.base import either, span
from proxy.policy.mending import HOW, NOBODY_BUT_ADMINS, REPORT
from proxy.policy.pedigree import LEVELS, Pedigree, Shortcoming, kind

_LONGEST: Final = 64  # characters of a value that are shown
_MAX_TIME: Final = 1e12
NOUNS: Final = {
    "id": "which device this is",
    "serial": "the serial number of this device",
    "cert_sha256": "the certificate of this device",
    "ownership": "whose device this is",
    "managed": "whether this device is managed",
    "compliant": "whether this device is compliant",
    "approved": "whether this device is approved",
    "os": "the operating system",
    "os_version": "the version of the operating system",
    "patch_age_days": "how long ago this device was updated",
    "disk_encrypted": "disk encryption",
    "screen_lock": "the screen lock",
    "firewall": "the firewall",
    "secure_boot": "secure boot",
    "integrity_ok": "the integrity of the system",
    "edr_running": "the endpoint protection",
    "threat_free": "threats on this device",
    "score": "the security score of this device",
    "risk": "the risk of this device",
    "agent_version": "the version of the agent",
    "last_seen": "when this device was last seen",
    "tags": "the tags of this device",
}
_TRUE_FALSE: Final = {
    "managed": ("This device is managed", "This device is not managed"),
    "compliant": (
        "The management says that this device is compliant",
        "The management says that this device is not compliant",
    ),
    "approved": ("This device is approved", "This device is not approved yet"),
    "disk_encrypted": ("Disk encryption is on", "Disk encryption is off"),
    "screen_lock": ("The screen lock is on", "The screen lock is off"),
    "firewall": ("The firewall is on", "The firewall is off"),
    "secure_boot": ("Secure boot is on", "Secure boot is off"),
    "integrity_ok": ("The system is intact", "The integrity of the system is in doubt"),
    "edr_running": ("The endpoint protection is running", "The endpoint protection is not running"),
    "threat_free": ("No threat was found on this device", "A threat was found on this device"),
}
_VALUES: Final = {
    "id": "This is device {}",
    "serial": "The serial number of this device is {}",
    "cert_sha256": "The certificate of this device is {}",
    "ownership": "This is a {} device",
    "os": "The operating system is {}",
    "os_version": "The version of the operating system is {}",
    "patch_age_days": "The last update was {} days ago",
    "score": "The security score of this device is {}",
    "risk": "The risk of this device is {}",
    "agent_version": "The version of the agent is {}",
    "tags": "The tags of this device are {}",
}


def sentence(attribute: str, facts: Facts, wanted: str, why: Shortcoming | None, needed: Pedigree) -> str:
    """`Disk encryption is off (reported by the agent 3 min ago; disk_encrypted: true is asked).`

    `wanted` is what is asked, "" when it is met; `why` is what keeps the value from counting, None when it counts.
    """
    found = None if facts.device is None else facts.device.attributes.get(attribute)
    if found is None:
        noun = _noun(attribute)
        clause = noun.split(" ")[0] in ("how", "when", "whether", "which", "whose")
        return f"It is not known {noun}." if clause else f"Nothing is known about {noun}."
    told = f"{_told_by(found.source)} {_ago(found.observed, facts.time)}"
    if why is Shortcoming.TYPE:
        return f"What is told of this device cannot be used for {attribute} ({told}; {wanted})."
    limit = _limit(why, needed)
    note = "; ".join(part for part in (told, limit, "" if limit else wanted) if part)
    return f"{_value(attribute, found, facts.time)} ({note})."


def _limit(why: Shortcoming | None, needed: Pedigree) -> str:
    """What about the value itself is not enough."""
    if why is Shortcoming.EXPIRED:
        return "that is too long ago to count"
    if why is Shortcoming.FUTURE:
        return "a time that has not come yet: a clock is wrong"
    if why is Shortcoming.OLD and needed.max_age is not None:
        return f"at most {span(needed.max_age)} old is asked"
    if why is Shortcoming.SOURCE:
        return f"the word of {either([_source(one) for one in sorted(needed.sources)])} is asked"
    if why is Shortcoming.ASSURANCE:
        return f"assurance {next(name for name, level in LEVELS.items() if level == needed.assurance)} is asked"
    return ""


def _noun(attribute: str) -> str:
    return NOUNS.get(attribute) or f"“{attribute.removeprefix(CUSTOM)}” of this device"


def _value(attribute: str, found: Observation, time: float) -> str:
    value = found.value
    if isinstance(value, bool):
        pair = _TRUE_FALSE.get(attribute)
        if pair is not None:
            return pair[0] if value else pair[1]
        return f"“{attribute.removeprefix(CUSTOM)}” is {str(value).lower()}"
    if ATTRIBUTES.get(attribute) is Kind.TIME:
        return f"This device was last seen {_ago(value, time)}"
    shown = (", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value))[:_LONGEST] or "none"
    pattern = _VALUES.get(attribute)
    return f"“{attribute.removeprefix(CUSTOM)}” is {shown}" if pattern is None else pattern.format(shown)


def _source(source: str) -> str:
    name = source.partition(":")[2]
    return {
        "agent": "the agent",
        "certificate": "the device certificate",
        "inventory": "the inventory",
        "management": f"the management system {name}" if name else "a management system",
        "claims": f"the login provider {name}" if name else "a login provider",
    }.get(kind(source), source[:_LONGEST])


def _told_by(source: str) -> str:
    verb = "reported" if kind(source) in ("agent", "management") else "known" if source == "inventory" else "told"
    return f"{verb} {'from' if source == 'inventory' else 'by'} {_source(source)}"


def _ago(at: object, time: float) -> str:
    seconds = time - at if isinstance(at, float | int) and abs(at) < _MAX_TIME else None
    if seconds is None:
        return "at an unknown time"
    return f"{span(seconds)} ago" if seconds > 0 else "just now"


def remedy(attribute: str, facts: Facts, why: Shortcoming | None, needed: Pedigree) -> str:
    """How to mend it: for the system in question, and for what is wrong."""
    device = facts.device
    found = None if device is None else device.attributes.get(attribute)
    if device is None or (found is None and not device.id):
        return "Enrol this device from your apps page, and let it report."
    if why is Shortcoming.FUTURE:
        return "Set the clock of this device."
    if attribute in NOBODY_BUT_ADMINS:
        return HOW.get(attribute, {}).get("", "") or "Ask whoever runs this service."
    if why in (Shortcoming.SOURCE, Shortcoming.ASSURANCE):
        return _surer(needed)
    if why is not None:
        return _again(found)
    system = device.attributes.get("os")
    ways = HOW.get(attribute, {})
    way = ways.get(str(system.value)) if system is not None else None
    return " ".join(part for part in (way or ways.get("", ""), "" if found is None else _then(found.source)) if part)


def _again(found: Observation | None) -> str:
    if found is not None and kind(found.source) == "management":
        return f"Let this device check in with {_source(found.source)}."
    if found is not None and kind(found.source) == "claims":
        return "Log in again, so that the login provider tells it anew."
    return REPORT


def _then(source: str) -> str:
    """What makes the mended value known here."""
    if kind(source) == "agent":
        return "Then let the agent report it: ostiary device report."
    if kind(source) == "management":
        return f"Then let this device check in with {_source(source)}."
    return "Then log out and in again." if kind(source) == "claims" else ""


def _surer(needed: Pedigree) -> str:
    if needed.assurance == LEVELS["attested"]:
        return "Let this device's TPM vouch for its key (ostiary device attest): only what hardware vouches for counts."
    if needed.sources and {kind(one) for one in needed.sources} == {"agent"}:
        return REPORT
    return "Have this device enrolled in the management of your organisation."
