"""Durations and sizes as people write them. Pure; reading and writing are each other's inverse."""

from __future__ import annotations

import re

from proxy.settings.schema import Duration, Size

_DURATION = re.compile(
    r"(?=[0-9])(?:(?P<d>[0-9]{1,6})d)?(?:(?P<h>[0-9]{1,6})h)?(?:(?P<m>[0-9]{1,6})m)?"
    r"(?:(?P<s>[0-9]{1,8})s)?(?:(?P<ms>[0-9]{1,8})ms)?"
)
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
LONGEST = 3650 * 86_400.0
"""Ten years: more is surely a mistake."""

_SIZE = re.compile(r"([0-9]{1,16})(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)?")
_BYTES = {
    None: 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
LARGEST = 1 << 50

DURATION_FORM = "write a number and a unit, such as 250ms, 10s, 15m, 12h, 7d, or a sum such as 1h30m"
SIZE_FORM = "write bytes or a number and a unit, such as 512, 32KiB, 10MiB, 2GiB, 5MB"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read_duration(text: object) -> Duration:
    """`1h30m` → 5400.0 seconds. Raises ValueError, whose text is the message for the admin."""
    if _is_number(text):
        raise ValueError("a duration needs a unit")
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("this is not a duration")
    milliseconds = sum(_MILLISECONDS[unit] * int(count) for unit, count in match.groupdict().items() if count)
    if milliseconds > LONGEST * 1000:
        raise ValueError("this duration is longer than ten years")
    return Duration(milliseconds / 1000)


def write_duration(seconds: float) -> str:
    """The shortest form that reads back as the same number of milliseconds: 5400 → `1h30m`."""
    rest = round(seconds * 1000)
    parts = []
    for unit, worth in _MILLISECONDS.items():
        count, rest = divmod(rest, worth)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def read_size(text: object) -> Size:
    """`32KiB` → 32768. Raises ValueError, whose text is the message for the admin."""
    written = str(text) if _is_number(text) else text
    match = _SIZE.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise ValueError("this is not a size")
    count = int(match[1]) * _BYTES[match[2]]
    if count > LARGEST:
        raise ValueError("this size is larger than 1024 TiB")
    return Size(count)


def write_size(count: int) -> str:
    """The shortest exact form in powers of two: 32768 → `32KiB`, 1000 → `1000`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return str(count)


def decode_hook(wanted: type, value: object) -> object:
    """msgspec's `dec_hook`: turns what was written into a Duration or a Size."""
    if wanted is Duration:
        return read_duration(value)
    if wanted is Size:
        return read_size(value)
    raise NotImplementedError(wanted)


def encode_hook(value: object) -> object:
    """msgspec's `enc_hook`: how a Duration or a Size is written."""
    if isinstance(value, Duration):
        return write_duration(value)
    if isinstance(value, Size):
        return write_size(value)
    raise NotImplementedError(type(value))
