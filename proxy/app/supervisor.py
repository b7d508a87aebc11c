"""The parent process: binds, starts one worker per core, keeps them running, reloads and stops them together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from aiohttp import web

from proxy.admin import make_admin
from proxy.app.channel import Channel, Message
from proxy.app.compose import restart_needed
from proxy.app.process import Order
from proxy.net.sockets import AddressUnusable, bind, split_address
from proxy.settings.load import load
from proxy.settings.problems import ConfigError
from proxy.settings.schema import Settings
from proxy.settings.watch import Watcher
from proxy.telemetry.exposition import exposition
from proxy.telemetry.metrics import Metrics, merge, retired

_log = logging.getLogger("ostiary")
_ANSWER_SECONDS = 30.0
_STATUS_STALE = 5.0
_RESTART_SECONDS = (0.0, 0.2, 1.0, 3.0, 10.0)  # before the first, second, … restart in quick succession
_STEADY_SECONDS = 30.0


class CannotStart(Exception):
    """The proxy cannot start; the message says what to change."""


class _Child:
    """One worker process, as the supervisor sees it."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = number
        self.process = process
        self.channel = channel
        self.ready: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.trouble: dict[str, str] = {"worker": "starting"}
        self.heard = time.monotonic()
        self.metrics: dict[str, list[list[Any]]] = {}
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._number = 0

    async def listen(self) -> None:
        """Take what the worker says until it is gone."""
        async for message in self.channel.messages():
            self.heard = time.monotonic()
            if message.word == "ready":
                if not self.ready.done():
                    self.ready.set_result(message)
            elif message.word == "status":
                self.trouble = message.data or {}
            else:
                waiting = self._asked.pop(message.number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
        gone = Message("answer", ok=False, text="the worker ended")
        for waiting in [*self._asked.values(), self.ready]:
            if not waiting.done():
                waiting.set_result(gone)
        self._asked.clear()

    async def ask(self, word: str, text: str = "") -> Message:
        """Ask and wait for the answer; a worker that is gone or silent answers not ok."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self.channel.say(Message(word, number, text=text))
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            self._asked.pop(number, None)
            return Message("answer", ok=False, text="the worker does not answer")


class Supervisor:
    """Runs the proxy described by a configuration file until it is told to stop."""

    def __init__(self, config: Path, settings: Settings) -> None:
        self.config = config.absolute()
        self.settings = settings
        self.count = settings.configuration.workers or os.cpu_count() or 1
        self.metrics = Metrics()
        self._sockets: dict[str, list[socket.socket]] = {}
        self._children: dict[int, _Child] = {}
        self._retired: list[dict[str, list[list[Any]]]] = []
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life

    async def run(self, on_ready: Callable[[], None] | None = None) -> int:
        """Serve until SIGTERM or SIGINT. Returns 0. Raises CannotStart, AddressUnusable."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon, "SIGHUP")
        self._bind()
        admin = await self._start_admin()
        try:
            await self._start_all()
            watcher = Watcher(lambda: self.settings.files, lambda: self._reload_soon("a file changed"))
            await watcher.start()
            self._announce()
            if on_ready is not None:
                on_ready()
            await self._stopping.wait()
            _log.info("shutting down: requests under way may finish")
            await watcher.stop()
        finally:
            self._stopping.set()
            await self._stop_all()
            await admin.cleanup()
        return 0

    def _announce(self) -> None:
        addresses = ", ".join(one.address for one in self.settings.configuration.listeners)
        workers = "1 worker" if self.count == 1 else f"{self.count} workers"
        _log.info(
            "ready: %s on %s; %d routes, revision %s; admin on http://%s",
            workers,
            addresses,
            len(self.settings.routes),
            self.settings.revision,
            self.settings.configuration.admin.address,
        )

    def _bind(self) -> None:
        for listener in self.settings.configuration.listeners:
            self._sockets[listener.address] = bind(listener.address, self.count)

    async def _start_admin(self) -> web.AppRunner:
        address = self.settings.configuration.admin.address
        host, port = split_address(address)
        runner = web.AppRunner(make_admin(self._ready, self._exposition), access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise AddressUnusable(f"admin {address}: {error.strerror or error}") from None
        return runner

    # --- workers

    async def _start_all(self) -> None:
        children = [await self._start(number) for number in range(self.count)]
        for child in children:
            message = await child.ready
            if not message.ok:
                raise CannotStart(message.text)
            child.trouble = {}

    async def _start(self, number: int) -> _Child:
        ours, theirs = socket.socketpair()
        sockets = {address: socks[number].fileno() for address, socks in self._sockets.items()}
        order = Order(str(self.config), number, theirs.fileno(), sockets)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy.app.process",
            msgspec.json.encode(order).decode(),
            pass_fds=[theirs.fileno(), *sockets.values()],
            stdin=asyncio.subprocess.DEVNULL,
        )
        theirs.close()
        child = self._children[number] = _Child(number, process, await Channel.over(ours))
        self._spawn(self._mind(child))
        return child

    async def _mind(self, child: _Child) -> None:
        """Stay with a worker to its end, and put another in its place unless we are stopping."""
        started = time.monotonic()
        await child.listen()
        code = await child.process.wait()
        self._retired = [merge([*self._retired, retired(child.metrics)])] if child.metrics else self._retired
        restarts = 0
        while not self._stopping.is_set():
            _log.error("worker %d ended unexpectedly (exit %s); starting another", child.number, code)
            self.metrics.add("ostiary_worker_restarts_total")
            restarts = 0 if time.monotonic() - started > _STEADY_SECONDS else restarts + 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RESTART_SECONDS[min(restarts, len(_RESTART_SECONDS) - 1)] + 0.001):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return
            started = time.monotonic()
            successor = await self._start(child.number)
            message = await successor.ready
            if message.ok:
                successor.trouble = {}
                return
            _log.error("worker %d cannot start: %s", child.number, message.text)
            code = await successor.process.wait()

    async def _stop_all(self) -> None:
        for child in self._children.values():
            child.channel.say(Message("drain"))
        bound = self.settings.configuration.limits.shutdown + 5
        for child in self._children.values():
            try:
                async with asyncio.timeout(bound):
                    await child.process.wait()
            except TimeoutError:
                _log.error("worker %d did not end in time and is killed", child.number)
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()
                await child.process.wait()

    # --- reload

    def _reload_soon(self, why: str) -> None:
        self._spawn(self.reload(why))

    async def reload(self, why: str) -> bool:
        """Read the configuration again; all workers take it over, or none does and the log says why."""
        async with self._reloading:
            try:
                fresh = await asyncio.to_thread(load, self.config)
            except ConfigError as error:
                return self._not_reloaded(str(error))
            except OSError as error:
                return self._not_reloaded(str(error))
            if fresh.revision == self.settings.revision and why != "SIGHUP":
                return True
            obstacle = restart_needed(self.settings, fresh)
            if obstacle:
                return self._not_reloaded(obstacle)
            return await self._hand_over(fresh, why)

    async def _hand_over(self, fresh: Settings, why: str) -> bool:
        children = list(self._children.values())
        answers = await asyncio.gather(*(child.ask("prepare", fresh.revision) for child in children))
        bad = [answer.text for answer in answers if not answer.ok]
        await asyncio.gather(*(child.ask("discard" if bad else "commit") for child in children))
        if bad:
            return self._not_reloaded(bad[0])
        self.settings = fresh
        self.metrics.add("ostiary_reloads_total", "ok")
        _log.info("reloaded (%s): %d routes, revision %s", why, len(fresh.routes), fresh.revision)
        return True

    def _not_reloaded(self, why: str) -> bool:
        self.metrics.add("ostiary_reloads_total", "refused")
        _log.error("not reloaded, revision %s stays in force: %s", self.settings.revision, why)
        return False

    # --- what the admin address shows

    def _ready(self) -> tuple[bool, dict[str, str]]:
        trouble: dict[str, str] = {}
        if len(self._children) < self.count:
            trouble["workers"] = "starting"
        for child in self._children.values():
            trouble.update(child.trouble)
            if time.monotonic() - child.heard > _STATUS_STALE:
                trouble[f"worker {child.number}"] = "silent"
        if self._stopping.is_set():
            trouble["proxy"] = "shutting down"
        return not trouble, trouble or {"configuration": "ok", "store": "ok", "audit": "ok"}

    async def _exposition(self) -> bytes:
        children = list(self._children.values())
        for child, answer in zip(
            children, await asyncio.gather(*(child.ask("metrics") for child in children)), strict=True
        ):
            if answer.ok and answer.data:
                child.metrics = answer.data
        snapshots = [child.metrics for child in children if child.metrics]
        return exposition(merge([self.metrics.snapshot(), *self._retired, *snapshots]))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def serve(config: Path, *, on_ready: Callable[[], None] | None = None) -> int:
    """Run the proxy in the foreground. Raises ConfigError, CannotStart, AddressUnusable."""
    settings = load(config)

    async def run() -> int:
        return await Supervisor(config, settings).run(on_ready)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
