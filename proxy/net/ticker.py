"""One clock for all deadlines of a worker.

A timer per request would cost more than the request: instead each connection carries one `deadline`, and all of them
are looked at twice a second. Deadlines are therefore kept to half a second, which is what limits of seconds need.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

NEVER = float("inf")
_log = logging.getLogger("ostiary.net")


class Ticking(Protocol):
    """Something with a deadline, in seconds of the monotonic clock; NEVER when there is none."""

    deadline: float

    def overdue(self, now: float) -> None:
        """The deadline has passed; called again each tick until it is moved."""


class Ticker:
    """Calls `overdue` on what is late, and the `each` callbacks once a tick. `now` is the time of the last tick."""

    def __init__(self, clock: Callable[[], float], interval: float = 0.5) -> None:
        self.now = clock()
        self.watched: set[Ticking] = set()
        self.each: list[Callable[[float], None]] = []
        self._clock = clock
        self._interval = interval
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin ticking on the running loop."""
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(self._interval, self._beat, loop)

    def stop(self) -> None:
        """Stop ticking."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = loop.call_later(self._interval, self._beat, loop)
        self.tick(self._clock())

    def tick(self, now: float) -> None:
        """One tick at `now`."""
        self.now = now
        calls = [one.overdue for one in self.watched if one.deadline <= now]
        for call in [*calls, *self.each]:
            try:
                call(now)
            except Exception:  # noqa: BLE001  # one broken exchange must not keep all others from their deadlines
                _log.exception("a deadline could not be kept; the others are")
