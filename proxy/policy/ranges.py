"""Ranges of whatever has an order, as rules write them: `>=14.2`, `<30`, `>=14.2, <15`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from proxy.policy.logic import FALSE, TRUE, UNKNOWN, Value, truth

Test = Callable[[object, float], Value]  # of a value, at a time in seconds since the epoch
COMPARISON = re.compile(r"(>=|<=|>|<)\s*(\S.*)", re.DOTALL).fullmatch


class Misread(ValueError):
    """What is written cannot be used. `key` says where in the condition, `hint` what to write instead."""

    def __init__(self, message: str, hint: str = "", key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.key = key


class Range(NamedTuple):
    """From `low` to `high`, each itself included or not; None is without end."""

    low: Any = None
    low_included: bool = True
    high: Any = None
    high_included: bool = True

    def holds(self, key: Any) -> bool:
        """Whether it is inside."""
        above = self.low is None or key > self.low or (self.low_included and key == self.low)
        return above and (self.high is None or key < self.high or (self.high_included and key == self.high))

    @property
    def empty(self) -> bool:
        """Whether nothing can be inside."""
        if self.low is None or self.high is None:
            return False
        return bool(self.low > self.high or (self.low == self.high and not (self.low_included and self.high_included)))


def read_range(text: str, read: Callable[[str], Any]) -> Range | None:
    """`>=14.2, <15`; None when it is not a comparison, or what is compared with cannot be read. Raises Misread when
    nothing is in it."""
    found = Range()
    for part in text.split(","):
        match = COMPARISON(part.strip())
        bound = None if match is None else read(match[2].strip())
        if match is None or bound is None:
            return None
        included = match[1].endswith("=")
        one = Range(low=bound, low_included=included) if match[1][0] == ">" else Range(None, True, bound, included)
        found = _both(found, one)
    if found.empty:
        raise Misread(f"nothing is {text}", "is one of the signs the wrong way round?")
    return found


def _both(one: Range, other: Range) -> Range:
    lows = (end for end in (one, other) if end.low is not None)
    highs = (end for end in (one, other) if end.high is not None)
    low = max(lows, key=lambda end: (end.low, not end.low_included), default=one)
    high = min(highs, key=lambda end: (end.high, end.high_included), default=one)
    return Range(low.low, low.low_included, high.high, high.high_included)


def within(ranges: Sequence[Range], read: Callable[[object], Any]) -> Test:
    """Whether a value, once read, is in any of these; unknown when it cannot be read."""
    if len(ranges) == 1:
        holds = ranges[0].holds

        def one(value: object, _time: float) -> Value:
            key = read(value)
            return UNKNOWN if key is None else TRUE if holds(key) else FALSE

        return one

    def several(value: object, _time: float) -> Value:
        key = read(value)
        return UNKNOWN if key is None else truth(any(one.holds(key) for one in ranges))

    return several
