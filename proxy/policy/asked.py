"""What a rule asks of one value that is known of a device: read once, compared strictly by type.

A text is never a number, 1 is never true, and a value that cannot be compared with what is asked is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from math import isfinite
from typing import Final, NamedTuple

from proxy.model.device import ATTRIBUTES, CUSTOM, Kind
from proxy.policy.conditions.base import SKEW, either
from proxy.policy.logic import FALSE, TRUE, UNKNOWN, Value, truth
from proxy.policy.ranges import COMPARISON, Misread, Range, Test, read_range, within
from proxy.policy.version import version

_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?").fullmatch
_DURATION = re.compile(r"(?=[0-9])(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?").fullmatch
_UNITS: Final = (86_400, 3_600, 60, 1)
_COMPARE: Final = 'a comparison such as ">=%s", or "%s" for a range'


class Asked(NamedTuple):
    """What is asked of an attribute. `text` is for sentences."""

    text: str
    test: Test


def duration(text: object) -> float:
    """`1h30m` → 5400.0 seconds. Raises Misread."""
    match = _DURATION(text) if isinstance(text, str) else None
    seconds = 0 if match is None else sum(int(n) * unit for n, unit in zip(match.groups("0"), _UNITS, strict=True))
    if seconds <= 0:
        raise Misread(f"{_shown(text)} is not a length of time", "write a number and a unit, such as 15m, 12h or 7d")
    return float(seconds)


def asked(attribute: str, wanted: object) -> Asked:
    """Read what is asked of an attribute of `model.device.ATTRIBUTES`, or of `custom.…`. Raises Misread."""
    kind = None if attribute.startswith(CUSTOM) else ATTRIBUTES[attribute]
    items = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if not items:
        raise Misread(f'"{attribute}" has an empty list, so nothing could ever match', "name at least one value")
    text = either([_shown(item) for item in items])
    if kind is Kind.BOOLEAN:
        if not isinstance(wanted, bool):
            raise Misread(f'"{attribute}" is true or false, not {text}', f"write {attribute}: true")
        return Asked(text, _boolean(wanted))
    return Asked(text, _READERS[kind](attribute, items))


# --- one kind after the other --------------------------------------------------------------------------------------


def _boolean(wanted: bool) -> Test:
    def test(value: object, _time: float) -> Value:
        return TRUE if value is wanted else FALSE if value is (not wanted) else UNKNOWN

    return test


def _number(value: object) -> float | None:
    if type(value) is float or type(value) is int:  # a bool is neither
        return float(value) if isfinite(value) else None
    return None


def _written_number(text: str) -> float | None:
    return float(text) if _NUMBER(text) else None


def _numbers(attribute: str, items: list[object]) -> Test:
    return within([_number_range(attribute, item) for item in items], _number)


def _number_range(attribute: str, item: object) -> Range:
    exact = _number(item)
    found = read_range(item, _written_number) if isinstance(item, str) else None
    if exact is None and found is None:
        raise Misread(f'"{attribute}" is a number, not {_shown(item)}', f"write 80, or {_COMPARE % (80, '>=60, <80')}")
    return found or Range(low=exact, high=exact)


def _versions(attribute: str, items: list[object]) -> Test:
    return within([_version_range(attribute, item) for item in items], version)


def _version_range(attribute: str, item: object) -> Range:
    if _number(item) is not None:
        hint = f'such as {attribute}: "14.2"; as a number, 14.10 would be 14.1'
        raise Misread(f'"{attribute}" is a version: put it in quotes', hint)
    exact = version(item)
    found = read_range(item, version) if isinstance(item, str) else None
    if exact is None and found is None:
        hint = f"write numbers and points, {_COMPARE % ('14.2', '>=14.2, <15')}"
        raise Misread(f'"{attribute}" is a version, not {_shown(item)}', hint)
    return found or Range(low=exact, high=exact)


def _times(attribute: str, items: list[object]) -> Test:
    ages, moments = [], []
    for item in items:
        age = read_range(item, _age) if isinstance(item, str) else None
        moment = read_range(item, _moment) if isinstance(item, str) and age is None else None
        if age is None and moment is None:
            hint = 'write how long ago, such as "<1h", or a day, such as ">=2026-01-31"'
            raise Misread(f'"{attribute}" is a time, not {_shown(item)}', hint)
        ages += [age] if age else []
        moments += [moment] if moment else []

    def test(value: object, time: float) -> Value:
        at = _number(value)
        if at is None or not at <= time + SKEW:
            return UNKNOWN
        return truth(any(one.holds(max(0.0, time - at)) for one in ages) or any(one.holds(at) for one in moments))

    return test


def _age(text: str) -> float | None:
    try:
        return duration(text)
    except Misread:
        return None


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _texts(attribute: str, items: list[object]) -> Test:
    for item in items:
        if not isinstance(item, str) or not item:
            raise Misread(f'"{attribute}" is a text, not {_shown(item)}', f'write {attribute}: "…"')
        if COMPARISON(item):
            raise Misread(f'"{attribute}" is a text and cannot be compared', "write the values it may have, in a list")
    wanted = frozenset(items)

    def test(value: object, _time: float) -> Value:
        return UNKNOWN if type(value) is not str else TRUE if value in wanted else FALSE

    return test


def _sets(attribute: str, items: list[object]) -> Test:
    _texts(attribute, items)
    wanted = frozenset(items)

    def test(value: object, _time: float) -> Value:
        if not isinstance(value, tuple | list) or not all(isinstance(one, str) for one in value):
            return UNKNOWN
        return truth(not wanted.isdisjoint(value))

    return test


def _custom(attribute: str, items: list[object]) -> Test:
    """Of no fixed type, so each value asked for is compared with those of its own type only."""
    texts: set[object] = set()
    exact: list[Range] = []
    versions: list[Range] = []
    booleans = {item for item in items if isinstance(item, bool)}
    for item in items:
        number = _number(item)
        if number is not None:
            exact.append(Range(low=number, high=number))
        elif isinstance(item, str) and COMPARISON(item):
            found = [read_range(item, read) for read in (_written_number, version)]
            exact += [one for one in found[:1] if one]
            versions += [one for one in found[1:] if one]
            if not any(found):
                hint = f"write {_COMPARE % ('3', '>=3, <5')}; only numbers and versions can be compared"
                raise Misread(f"{_shown(item)} compares with nothing", hint)
        elif isinstance(item, str) and item:
            texts.add(item)
        elif not isinstance(item, bool):
            raise Misread(
                f'"{attribute}" cannot be compared with {_shown(item)}', "write a text, number, true or false"
            )

    def test(value: object, _time: float) -> Value:
        if isinstance(value, bool):
            return truth(value in booleans) if booleans else UNKNOWN
        number = _number(value)
        if number is not None:
            return truth(any(one.holds(number) for one in exact)) if exact else UNKNOWN
        if isinstance(value, tuple | list):
            texts_only = texts and all(isinstance(one, str) for one in value)
            return truth(not texts.isdisjoint(value)) if texts_only else UNKNOWN
        return of_text(value) if isinstance(value, str) else UNKNOWN

    def of_text(value: str) -> Value:
        if value in texts:
            return TRUE
        key = version(value) if versions else None
        if key is None:
            return UNKNOWN if versions or not texts else FALSE
        return truth(any(one.holds(key) for one in versions))

    return test


_READERS: Final[dict[Kind | None, Callable[[str, list[object]], Test]]] = {
    Kind.NUMBER: _numbers,
    Kind.VERSION: _versions,
    Kind.TIME: _times,
    Kind.TEXT: _texts,
    Kind.SET: _sets,
    None: _custom,
}


def _shown(value: object) -> str:
    """As it would be written."""
    return str(value).lower() if isinstance(value, bool) else str(value)
