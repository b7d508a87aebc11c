"""How every worker of a machine learns of ended and changed sessions.

The store's events are the truth. A worker reads them four times a second, and at once when it is nudged; it
acknowledges a nudge after it has acted on everything that was there when the nudge came.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from proxy.sessions.nudge import Delivery, Nudge, Nudges
from proxy.sessions.session import SessionEvent
from proxy.sessions.store import SessionStore, StoreUnavailable

log = logging.getLogger(__name__)

Handler = Callable[[Sequence[SessionEvent]], Awaitable[None]]


class Bus:
    """A worker's end of the bus. `folder` holds the sockets (None: this process is the only one).

    `clock` is what `confirmed` is told: the time up to which everything known to the store has been acted on.
    """

    def __init__(
        self,
        store: SessionStore,
        folder: Path | None,
        *,
        interval: float = 0.25,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._interval = interval
        self._clock = clock
        self._nudges = None if folder is None else Nudges(folder, self._nudged)
        self._wake = asyncio.Event()
        self._owed: list[Nudge] = []  # acknowledgements we owe after the next round
        self._cursor: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._quiet = False  # the store's failure has been logged

    async def start(self, handle: Handler, confirmed: Callable[[float], None]) -> None:
        """Begin to listen. `handle` gets events in order, oldest first, possibly some of them again.

        Does not fail when the store is down: it goes on asking, and begins with a `reset` event.
        """
        if self._nudges is not None:
            try:
                self._nudges.open()
            except OSError as error:
                log.warning("sessions end up to %.2f s late in this worker: %s", self._interval, error)
                self._nudges = None
        with contextlib.suppress(StoreUnavailable):
            self._cursor = await self._store.latest_event()
            confirmed(self._clock())
        self._task = asyncio.create_task(self._run(handle, confirmed), name="session-bus")

    async def announce(self, *, wait: float = 1.0) -> Delivery:
        """Make every other worker look now; wait at most `wait` seconds until they have acted."""
        self._wake.set()
        if self._nudges is None:
            return Delivery(0, 0)
        return await self._nudges.announce(wait)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._nudges is not None:
            self._nudges.close()

    def _nudged(self, nudge: Nudge) -> None:
        self._owed.append(nudge)
        self._wake.set()

    async def _run(self, handle: Handler, confirmed: Callable[[float], None]) -> None:
        while True:
            owed, self._owed = self._owed, []
            if await self._round(handle, confirmed) and self._nudges is not None:
                for nudge in owed:
                    self._nudges.acknowledge(nudge)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):  # wait_for may swallow a cancellation before Python 3.12
                    await self._wake.wait()
            self._wake.clear()

    async def _round(self, handle: Handler, confirmed: Callable[[float], None]) -> bool:
        """Read and act on what is new. False when that failed; the next round tries again."""
        began = self._clock()
        try:
            while events := await self._news():
                await handle(events)
                self._cursor = events[-1].id
        except StoreUnavailable as error:
            if not self._quiet:
                log.error("sessions cannot be followed: %s", error)  # noqa: TRY400  a known fault, no traceback needed
            self._quiet = True
            return False
        except Exception:
            log.exception("an event of a session could not be acted on")
            return False
        if self._quiet:
            log.warning("sessions can be followed again")
            self._quiet = False
        confirmed(began)
        return True

    async def _news(self) -> Sequence[SessionEvent]:
        if self._cursor is None:
            return [SessionEvent(kind="reset", id=await self._store.latest_event())]
        return await self._store.events_after(self._cursor)
