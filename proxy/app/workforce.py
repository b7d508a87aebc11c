"""All worker processes: started, kept running, asked and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.app.channel import Order
from proxy.app.child import Child
from proxy.app.errors import CannotStart
from proxy.settings.schema import Settings
from proxy.telemetry.log import Format
from proxy.telemetry.metrics import Metrics, merge, retired

_log = logging.getLogger("ostiary")
_PAUSES = (0.0, 0.2, 1.0, 3.0, 10.0)  # seconds before the first, second, … start in quick succession
_STEADY = 30.0  # a worker that lived so long had nothing wrong with it from the start
_BUILD = 60.0
_SERVE = 10.0
_METRICS = 2.0

Rows = dict[str, list[list[Any]]]


class Workforce:
    """`count` worker processes, one per set of sockets. `settings` is what each of them has, or is to have, in force.

    Hold `changing` while changing that: a worker that is put in another's place waits for it and starts with the new.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[Mapping[str, socket.socket]],
        folder: str,
        metrics: Metrics,
        log: tuple[Format, str],
    ) -> None:
        self.settings = settings
        self.changing = asyncio.Lock()
        self._sockets = sockets
        self._folder = folder
        self._metrics = metrics
        self._log = log
        self._alive: dict[int, Child] = {}  # also those that still build
        self._serving: dict[int, Child] = {}
        self._retired: Rows = {}
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def serving(self) -> list[Child]:
        """The workers that accept requests."""
        return list(self._serving.values())

    # --- life

    async def start(self) -> None:
        """Start all of them; they begin to accept when all are built. Raises CannotStart when one cannot."""
        children = await asyncio.gather(*(self._spawn(number) for number in range(len(self._sockets))))
        for child in children:
            try:
                message = await asyncio.wait_for(asyncio.shield(child.built), _BUILD)
            except TimeoutError:
                raise CannotStart(f"worker {child.number} is not ready after {_BUILD:.0f} s") from None
            if not message.ok:
                raise CannotStart(message.text)
        for child in children:
            await self._put_to_work(child)
            self._keepers.append(asyncio.create_task(self._keep(child), name=f"keeper-{child.number}"))

    async def _spawn(self, number: int) -> Child:
        ours, theirs = socket.socketpair()
        sockets = {address: sock.fileno() for address, sock in self._sockets[number].items()}
        order = Order(number, theirs.fileno(), sockets, self._folder, *self._log)
        child = self._alive[number] = await Child.start(order, theirs, ours, self.settings)
        if self._stopping.is_set():
            child.drain()
        return child

    async def _put_to_work(self, child: Child) -> bool:
        async with self.changing:
            if child.settings is not self.settings and not (await child.take(self.settings, _BUILD)).ok:
                return False
            if not (await child.ask("serve", _SERVE)).ok:
                return False
            self._serving[child.number] = child
            return True

    async def _keep(self, child: Child) -> None:
        """Stay with a worker to its end, and put another in its place until we are stopping."""
        number, quick = child.number, -1
        while True:
            began = time.monotonic()
            code = await child.ended()
            self._serving.pop(number, None)
            self._retire(child)
            if self._stopping.is_set():
                return
            quick = 0 if time.monotonic() - began > _STEADY else quick + 1
            pause = _PAUSES[min(quick, len(_PAUSES) - 1)]
            _log.error("worker %d ended unexpectedly (%s); another starts in %.1f s", number, _how(code), pause)
            self._metrics.add("ostiary_worker_restarts_total")
            if await self._stopped_within(pause):
                return
            child = await self._spawn(number)
            built = await child.built
            if not built.ok:
                _log.error("worker %d cannot start: %s", number, built.text)
            elif await self._put_to_work(child):
                _log.info("worker %d serves again", number)
            else:
                child.kill()

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def stop(self, seconds: float) -> None:
        """Let all of them finish what is under way, at most `seconds`, then end them."""
        self._stopping.set()
        children = list(self._alive.values())
        for child in children:
            child.drain()
        ends = [asyncio.create_task(child.ended()) for child in children]
        if ends:
            _, late = await asyncio.wait(ends, timeout=seconds)
            if late:
                _log.error("%d of %d workers did not end in time and are killed", len(late), len(ends))
        self.kill()
        if ends:
            await asyncio.wait(ends)
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def kill(self) -> None:
        """End all of them now."""
        self._stopping.set()
        for child in self._alive.values():
            child.kill()

    # --- asking

    def trouble(self) -> dict[str, str]:
        """What keeps us from being ready, by part."""
        trouble: dict[str, str] = {}
        for number in range(len(self._sockets)):
            child = self._serving.get(number)
            trouble |= {f"worker {number}": "starting"} if child is None else child.trouble()
        return trouble

    async def rows(self) -> Rows:
        """The metrics of all workers there are and were."""
        children = self.serving
        answers = await asyncio.gather(*(child.ask("metrics", _METRICS) for child in children))
        for child, answer in zip(children, answers, strict=True):
            if answer.ok and answer.data:
                child.metrics = answer.data  # else those of the last time: a counter must not go back
        return merge([self._retired, *(child.metrics for child in children if child.metrics)])

    def _retire(self, child: Child) -> None:
        if child.metrics:
            self._retired = merge([self._retired, retired(child.metrics)])


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
