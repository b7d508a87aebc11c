"""`hours`: weekly windows of wall-clock time in a time zone.

A window whose end is before its start runs past midnight and belongs to the day on which it starts. Daylight saving
follows the wall clock: an hour that does not exist matches nothing, one that comes twice matches twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.model.facts import Facts
from proxy.policy.asker import Asker
from proxy.policy.conditions.base import RequestCondition, told
from proxy.policy.logic import TRUE, UNKNOWN, Value, truth
from proxy.policy.rule import WindowSpec

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MIDNIGHT = 24 * 60


class Hours(RequestCondition):
    """Now lies in one of these windows."""

    name = "hours"

    def __init__(self, windows: Sequence[WindowSpec]) -> None:
        if not windows:
            raise ValueError("the list is empty, so nothing could ever match: write at least one window")
        self._windows = [_Window(window) for window in windows]
        self._latest: tuple[int, Value] = (-1, UNKNOWN)  # the last second asked about, and its answer

    def of_request(self, facts: Facts) -> Value:
        """The value for these facts."""
        try:
            second = int(facts.time // 1)
            latest, value = self._latest
            if latest != second:
                value = truth(any(window.covers(second) for window in self._windows))
                self._latest = (second, value)
        except (ValueError, OverflowError, OSError):
            return UNKNOWN
        return value

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        if value == UNKNOWN:
            return "The time is not known."
        where = "within" if value == TRUE else "outside"
        return f"It is {where} {told(asker, [window.text for window in self._windows], 'hours')}."


class _Window:
    """One window, in minutes of the day."""

    def __init__(self, spec: WindowSpec) -> None:
        self._zone = _zone(spec.zone)
        self._start, self._end = _minutes(spec.start), _minutes(spec.end)
        self._days = frozenset(_DAYS.index(day) for day in _known_days(spec.days))
        if self._start == self._end:
            raise ValueError(f"from and to are both {spec.start}: leave both out for the whole day")
        days = "every day" if len(self._days) == len(_DAYS) else " ".join(_DAYS[day] for day in sorted(self._days))
        self.text = f"{days} {spec.start}–{spec.end} ({spec.zone})"

    def covers(self, second: int) -> bool:
        """Whether this second since the epoch lies in the window."""
        now = datetime.fromtimestamp(second, self._zone)
        minute, today = now.hour * 60 + now.minute, now.weekday()
        if self._start < self._end:
            return today in self._days and self._start <= minute < self._end
        yesterday = (today - 1) % len(_DAYS)
        return (today in self._days and minute >= self._start) or (yesterday in self._days and minute < self._end)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is not a time zone on this machine: write an IANA name like Europe/Berlin (package tzdata)"
        ) from None


def _minutes(text: str) -> int:
    hours, colon, minutes = text.partition(":")
    total = int(hours) * 60 + int(minutes) if colon and (hours + minutes).isdecimal() else -1
    if not 0 <= total <= _MIDNIGHT or int(minutes) > 59:
        raise ValueError(f"{text!r} is not a time of day: write it like 09:30")
    return total


def _known_days(days: Sequence[str]) -> Sequence[str]:
    if not days or not set(_DAYS).issuperset(days):
        raise ValueError(f"days are a list of {', '.join(_DAYS)}")
    return days
