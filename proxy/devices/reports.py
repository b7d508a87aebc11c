"""What a device may report of itself: names and types of attributes, how much of them, in which order. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from proxy.devices.errors import DeviceRefused
from proxy.model.device import ATTRIBUTES, CUSTOM, Kind, Value
from proxy.model.report import SEQ_AHEAD

MOST_CUSTOM: Final = 32  # attributes `custom.*`
LONGEST: Final = 256  # characters of a text
MOST_MEMBERS: Final = 64  # of a set
_LARGEST_NUMBER: Final = 1e15
_CUSTOM_NAME: Final = re.compile(r"custom\.[a-z0-9][a-z0-9_.-]{0,63}")
_VERSION: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,7}")
# What is ours, or somebody else's, to say about a device; a device that says so itself is refused.
_NOT_ITS_OWN: Final = frozenset(
    ("id", "cert_sha256", "ownership", "managed", "compliant", "approved", "score", "risk", "last_seen", "tags")
)

_NOT_NEGATIVE: Final = frozenset(("patch_age_days",))  # a rule asks for the largest age only


def check_seq(seq: int, last: int, now: float) -> None:
    """The number of a report, after `last`. Raises DeviceRefused."""
    if seq <= last:
        raise DeviceRefused(f"its seq must be greater than {last}: it is old, or another copy reports too")
    if seq > now + SEQ_AHEAD:  # nothing could follow it
        raise DeviceRefused("its seq must be at most a year ahead of the time in seconds since the epoch")


def own_values(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """The attributes of a report, when a device may tell each of them about itself. Raises DeviceRefused."""
    for name in attributes:
        if name in _NOT_ITS_OWN:
            raise DeviceRefused(f"a device cannot say {name!r} about itself")
    return checked(attributes)


def checked(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Attributes of which each is known, of its type and of bounded size. Raises DeviceRefused naming the first that is
    not."""
    if sum(name.startswith(CUSTOM) for name in attributes) > MOST_CUSTOM:
        raise DeviceRefused(f"more than {MOST_CUSTOM} attributes custom.*")
    for name, value in attributes.items():
        kind = ATTRIBUTES.get(name)
        if kind is None and not _CUSTOM_NAME.fullmatch(name):
            raise DeviceRefused(f"{name[:64]!r} is no attribute of devices")
        if not (_is_bounded(value) if kind is None else _is(kind, value)):
            wanted = "a short value" if kind is None else f"a {kind}"
            raise DeviceRefused(f"{name!r} must be {wanted}")
        if name in _NOT_NEGATIVE and isinstance(value, int | float) and value < 0:
            raise DeviceRefused(f"{name!r} cannot be negative")
    return dict(attributes)


def _is(kind: Kind, value: Value) -> bool:
    match kind:
        case Kind.BOOLEAN:
            return isinstance(value, bool)
        case Kind.NUMBER | Kind.TIME:
            return _is_number(value)
        case Kind.VERSION:
            return isinstance(value, str) and _VERSION.fullmatch(value) is not None
        case Kind.TEXT:
            return isinstance(value, str) and _is_bounded(value)
        case Kind.SET:
            return isinstance(value, tuple) and _is_bounded(value)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_NUMBER


def _is_bounded(value: Value) -> bool:
    match value:
        case bool():
            return True
        case str():
            return len(value) <= LONGEST and value.isprintable()
        case tuple():
            return len(value) <= MOST_MEMBERS and all(isinstance(one, str) and _is_bounded(one) for one in value)
        case _:
            return _is_number(value)
