"""What vendors write, as attributes of a device. Pure. What is not clearly one thing or the other is left unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from proxy.model.device import Value

_SYSTEMS: Final = {
    "windows": "windows",
    "macos": "macos",
    "darwin": "macos",
    "mac": "macos",
    "ios": "ios",
    "ipados": "ios",
    "android": "android",
    "chrome": "chromeos",
    "chromeos": "chromeos",
    "linux": "linux",
    **dict.fromkeys(
        ("ubuntu", "debian", "rhel", "centos", "fedora", "sles", "opensuse", "amzn", "arch", "kali", "pop"), "linux"
    ),
}
_VERSION: Final = re.compile(r"(?<![\w.])[0-9]{1,9}(?:\.[0-9]{1,9}){0,7}")
_LONGEST: Final = 255


class Told(NamedTuple):
    """What a system says of one device. `matches` says which (see `Devices.observe`), `observed` when that system last
    heard from it, seconds since the epoch."""

    matches: dict[str, str]
    values: dict[str, Value]
    observed: float


def system_of(text: object) -> dict[str, Value]:
    """`os` from a platform's name, {} for one we do not know."""
    word = re.split(r"[^a-z]", text.strip().lower(), maxsplit=1)[0] if isinstance(text, str) else ""
    return {"os": _SYSTEMS[word]} if word in _SYSTEMS else {}


def version_in(text: object) -> dict[str, Value]:
    """`os_version` from a text such as `macOS 14.2.1` or `10.0.22631.2715`, {} when there is no number in it."""
    found = _VERSION.search(text) if isinstance(text, str) else None
    return {"os_version": found.group()} if found else {}


def one_of(text: object, meaning: Mapping[str, Value], name: str) -> dict[str, Value]:
    """The attribute `name` by a table; {} for a word that is not in it."""
    return {name: meaning[text]} if isinstance(text, str) and text in meaning else {}


def flag(value: object, name: str) -> dict[str, Value]:
    """A boolean, and nothing else, as attribute `name`."""
    return {name: value} if isinstance(value, bool) else {}


def texts(row: Mapping[str, Any], **names: str) -> dict[str, str]:
    """`matches` from a row: our name → its member, those that are short texts and not empty."""
    found = ((ours, row.get(theirs)) for ours, theirs in names.items())
    return {
        ours: value.strip() for ours, value in found if isinstance(value, str) and 0 < len(value.strip()) <= _LONGEST
    }


def moment(text: object) -> float | None:
    """An ISO 8601 time with a zone, as seconds since the epoch; None for anything else and for times long ago."""
    try:
        read = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if read is None or read.tzinfo is None or read.year < 2000:
        return None
    return read.timestamp()
