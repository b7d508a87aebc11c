"""What happens to sessions as time passes: they expire, are written as seen, are purged.

Driven by one call a second. Nothing here blocks: the store is written in background tasks, one at a time, and what
could not be written is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from proxy.model.reasons import Reason
from proxy.sessions.cache import Cache, Deadlines
from proxy.sessions.live import LiveSession
from proxy.sessions.session import CLOCK_STEP, SEEN_LAG
from proxy.sessions.store import SessionStore, StoreUnavailable

log = logging.getLogger(__name__)

_AT_ONCE = 1000  # sessions looked at in one turn of the loop
_PURGE_EVERY = 60.0
_SEEN_EVERY = 60.0
_NO_DELETION = 3600.0  # monotonic seconds after a jump of the clock
_SETTLING = 600.0  # the same after the start: the clock of a machine that boots may be wrong for a while


class Upkeep:
    """Deadlines, last_seen and purge of one worker's sessions. `expired` is told of each session whose time is over."""

    def __init__(
        self,
        store: SessionStore,
        cache: Cache,
        expired: Callable[[LiveSession, float], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.idle = 3600.0
        self._store = store
        self._cache = cache
        self._expired = expired
        self._monotonic = monotonic
        self._deadlines = Deadlines()
        self._holder = secrets.token_hex(8)
        self._seen: list[LiveSession] = []  # to be written at the next tick
        self._again: deque[tuple[float, LiveSession]] = deque()  # written; to be looked at again at that time
        self._ends: dict[str, tuple[float, float | None]] = {}  # not written yet: sid → when, and unless seen since
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told: set[str] = set()
        self._last: tuple[float, float] | None = None  # wall, monotonic
        self._next_purge = 0.0  # monotonic
        self._keep_until = monotonic() + _SETTLING

    def watch(self, live: LiveSession, now: float) -> None:
        """A session has come into memory."""
        self._deadlines.add(self._look(live, now), live)

    def seen(self, live: LiveSession) -> None:
        """Its last_seen is newer than what the store has; at most once per session until that is settled."""
        live.touching = True
        self._seen.append(live)

    def write_end(self, sid: str, now: float, *, unseen_since: float | None = None) -> None:
        """This session's end is to be written; with `unseen_since` unless another worker saw it after that."""
        self._ends[sid] = (now, unseen_since)

    def dying(self, sid: str) -> bool:
        """Is the end of this session not in the store yet?"""
        return sid in self._ends

    def reschedule(self) -> None:
        """Deadlines may have moved: look at all of them anew."""
        if self._last is not None:
            now = self._last[0]
            self._deadlines.rebuild((self._look(each, now), each) for each in list(self._cache.by_sid.values()))

    def tick(self, now: float) -> None:
        """One round of everything."""
        self._check_clock(now)
        self._expire(now)
        self._gather_seen(now)
        if self._seen:
            self._start("seen", self._write_seen)
        if self._ends:
            self._start("ends", self._write_ends)
        if self._monotonic() >= self._next_purge:
            self._next_purge = self._monotonic() + _PURGE_EVERY
            self._start("purge", lambda: self._purge(now))

    async def close(self) -> None:
        """Write what is unwritten."""
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        self._seen += [live for _, live in self._again if live.last_seen != live.written]
        self._again.clear()
        await self._write_seen()
        await self._write_ends()

    # --- expiry

    def _look(self, live: LiveSession, now: float) -> float:
        """When to look at it next. At half the idle time, so that one with open streams is written as seen in time."""
        return min(live.expires_at, now + self.idle / 2)

    def _expire(self, now: float) -> None:
        due = self._deadlines.due(now, _AT_ONCE)
        for sid in due:
            live = self._cache.by_sid.get(sid)
            if live is not None and live.ended is None:
                self._settle(live, now)
        if len(due) == _AT_ONCE:
            asyncio.get_running_loop().call_soon(self._expire, now)
        elif len(self._deadlines) > 2 * len(self._cache.by_sid) + _AT_ONCE:
            self.reschedule()

    def _settle(self, live: LiveSession, now: float) -> None:
        if now >= live.expires_at:
            self._expired(live, now)
            return
        if live.streams:
            live.last_seen = now
            if not live.touching:
                self.seen(live)
        elif now - live.last_seen >= self.idle:
            self._cache.forget(live)  # another worker may have seen it: the store knows at its next request
        self._deadlines.add(self._look(live, now), live)

    async def _write_ends(self) -> None:
        for unseen_since in {each for _, each in self._ends.values()}:
            ends = {sid: when for sid, (when, since) in self._ends.items() if since == unseen_since}
            latest = max(ends.values(), default=0.0)
            await self._store.revoke_many(ends, Reason.SESSION_EXPIRED, latest, unseen_since=unseen_since)
            for sid in ends:
                self._ends.pop(sid, None)

    # --- last_seen

    @property
    def _interval(self) -> float:
        """At most once a minute per session; more often only where the idle time itself is counted in minutes."""
        return min(_SEEN_EVERY, self.idle / 10)

    def _gather_seen(self, now: float) -> None:
        while self._again and self._again[0][0] <= now:
            live = self._again.popleft()[1]
            if live.ended is not None or live.last_seen == live.written:
                live.touching = False
            else:
                self._seen.append(live)

    async def _write_seen(self) -> None:
        batch, self._seen = [live for live in self._seen if live.ended is None], []
        if not batch:
            return
        rows = [(live.sid, live.last_seen) for live in batch]
        try:
            await self._store.touch(rows)
        except StoreUnavailable:
            self._seen += batch
            raise
        for live, (_, seen) in zip(batch, rows, strict=True):
            live.written = seen
            self._again.append((seen + self._interval, live))

    # --- the rest

    async def _purge(self, now: float) -> None:
        if await self._store.lease("purge", self._holder, _PURGE_EVERY - 5, now):
            slack = SEEN_LAG + self._interval
            await self._store.purge(now, idle=self.idle + slack, delete=self._monotonic() >= self._keep_until)

    def _check_clock(self, now: float) -> None:
        monotonic = self._monotonic()
        if self._last is not None:
            jump = (now - self._last[0]) - (monotonic - self._last[1])
            if abs(jump) > CLOCK_STEP:
                log.warning("the clock jumped by %.0f s; nothing is deleted for an hour", jump)
                self._keep_until = monotonic + _NO_DELETION
                self._again = deque((now, live) for _, live in self._again)
                self._last = (now, monotonic)
                self.reschedule()
        self._last = (now, monotonic)

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        running = self._tasks.get(name)
        if running is None or running.done():
            self._tasks[name] = asyncio.create_task(self._guarded(name, work), name=f"session-{name}")

    async def _guarded(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
            self._told.discard(name)
        except StoreUnavailable as error:
            if name not in self._told:  # once, until it works again
                self._told.add(name)
                log.warning("sessions: %s not written yet: %s", name, error)
