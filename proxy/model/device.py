"""A device as rules see it: one set of attributes, each value with where it comes from, how old it is and how sure.

`ATTRIBUTES` is the closed table of what can be known; `custom.*` is the open rest. A value that is not there is
unknown: neither true nor false.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final, Literal

import msgspec

Scalar = bool | int | float | str
Value = Scalar | tuple[str, ...]
Binding = Literal["certificate", "agent", "provider"]


class Assurance(IntEnum):
    """How sure a value is. Greater is surer.

    ATTESTED means that a TPM 2.0 of a trusted maker vouches for the key by which the device signed the value, and by
    which it showed itself for this request. So it comes from that machine and from no copy of it; whether the operating
    system there told the truth, no hardware says.
    """

    SELF_REPORTED = 1  # the device says so itself, with a key that may have been copied
    MANAGED = 2  # a management system, or an identity provider, says so about it
    ATTESTED = 3  # the device says so, with a key that its TPM vouches for


class Kind(StrEnum):
    """The type of an attribute."""

    BOOLEAN = "boolean"
    NUMBER = "number"
    TEXT = "text"
    VERSION = "version"  # a text of numbers and points, compared number by number
    TIME = "time"  # seconds since the epoch
    SET = "set"  # of texts


ATTRIBUTES: Final[dict[str, Kind]] = {
    "id": Kind.TEXT,
    "serial": Kind.TEXT,
    "cert_sha256": Kind.TEXT,
    "ownership": Kind.TEXT,  # company or personal
    "managed": Kind.BOOLEAN,
    "compliant": Kind.BOOLEAN,
    "approved": Kind.BOOLEAN,
    "os": Kind.TEXT,  # linux, macos, windows, ios, android, chromeos
    "os_version": Kind.VERSION,
    "patch_age_days": Kind.NUMBER,
    "disk_encrypted": Kind.BOOLEAN,
    "screen_lock": Kind.BOOLEAN,
    "firewall": Kind.BOOLEAN,
    "secure_boot": Kind.BOOLEAN,
    "integrity_ok": Kind.BOOLEAN,
    "edr_running": Kind.BOOLEAN,
    "threat_free": Kind.BOOLEAN,
    "score": Kind.NUMBER,  # 0 to 100, greater is better
    "risk": Kind.TEXT,  # low, medium, high
    "agent_version": Kind.VERSION,
    "last_seen": Kind.TIME,
    "tags": Kind.SET,
}
CUSTOM: Final = "custom."


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value and its pedigree. It counts from `observed` until before `expires`, both seconds since the epoch."""

    value: Value
    source: str  # "claims:PROVIDER", "certificate", "agent", "management:NAME", "inventory"
    observed: float
    expires: float
    assurance: Assurance = Assurance.SELF_REPORTED


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of the device a request comes from, merged from all sources.

    `binding` says how the request is tied to it: by its client certificate, by the agent's proof of its key, or only by
    what the identity provider said at login. `attributes` holds names of `ATTRIBUTES` and `custom.*`.
    """

    id: str = ""  # of the inventory; "" when only an identity provider knows it
    binding: Binding = "provider"
    attributes: dict[str, Observation] = {}


class Bound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a session is tied to a device, kept with the session.

    `certificate`: the SHA-256 of the client certificate the session was made with, and every request must present it.
    `proved_at` and `address`: when and from which client address the agent proved the device's key; a proof is good for
    a while and from that address only. `claims` are the values that the identity provider told at login.
    """

    device: str = ""  # id in the inventory
    binding: Binding = "provider"
    certificate: str = ""
    proved_at: float = 0.0
    address: str = ""
    claims: dict[str, Observation] = {}
