"""The soak's books: which requests were made and answered, and whether the audit record agrees. Pure.

Every request has an id in its path. The rule: one that was answered has exactly one audit line; one that was given up
has at most one. A connection that became a WebSocket has two: its decision when it begins, and its end. After a worker
was killed, lines it had not yet written are excused, for `Kill.grace` seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Kill:
    """A worker was killed at `at` (the clock of the ledger's entries)."""

    at: float
    grace: float = 1.5  # seconds of lines it may have held in memory
    recovery: float = 5.0  # seconds in which requests under way on it may fail

    def excuses_line(self, answered: float) -> bool:
        """The answer came just before the end of the worker that should have recorded it."""
        return self.at - self.grace <= answered <= self.at + 0.5

    def excuses_failure(self, began: float, failed: float) -> bool:
        """The request was under way when its worker ended, or met its closing socket."""
        return began <= self.at + self.recovery and self.at <= failed


@dataclass
class Ledger:
    """What the clients saw. Times are seconds of one monotonic clock."""

    answered: dict[str, float] = field(default_factory=dict)
    given_up: dict[str, float] = field(default_factory=dict)
    upgraded: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    failed: list[tuple[float, float, str]] = field(default_factory=list)  # began, failed, what happened
    cuts: list[float] = field(default_factory=list)  # seconds from a revocation to the end of a stream

    def failures(self, kill: Kill | None) -> list[str]:
        """Failures nothing excuses."""
        return [
            what for began, at, what in self.failed if kill is None or not kill.excuses_failure(began=began, failed=at)
        ]


def discrepancies(ledger: Ledger, recorded: Iterable[str], kill: Kill | None = None) -> list[str]:
    """Where the audit record (ids of its lines) disagrees with what the clients saw, in words."""
    lines = Counter(recorded)
    found = []
    for request, answered in ledger.answered.items():
        count = lines.pop(request, 0)
        if count > 1 and not (count == 2 and request in ledger.upgraded):
            found.append(f"request {request} has {count} audit lines")
        elif count == 1 and request in ledger.upgraded and not (kill and kill.excuses_line(answered)):
            found.append(f"the end of WebSocket {request} is not on record")
        elif count == 0 and not (kill and kill.excuses_line(answered)):
            found.append(f"request {request} was answered, and is not on record")
    for request in ledger.given_up:
        count = lines.pop(request, 0)
        if count > (2 if request in ledger.upgraded else 1):
            found.append(f"request {request}, given up, has {count} audit lines")
    found += [f"request {request} is on record, but nobody made it" for request in lines]
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (Theil–Sen): growth per unit of time, deaf to outliers."""
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(points)
        for later in points[index + 1 :]
        if later[0] > earlier[0]
    ]
    return median(slopes) if slopes else 0.0
