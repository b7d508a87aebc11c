"""One worker: everything that serves requests, in one process with one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from proxy.app.compose import Composer, Plan
from proxy.app.events import record_event
from proxy.app.listening import Listening
from proxy.app.state import State
from proxy.audit.journal import Journal
from proxy.authn.refresh import Refresher
from proxy.gateway.door import House
from proxy.net.downstream import Downstream
from proxy.net.ticker import Ticker
from proxy.sessions.store import StoreUnavailable
from proxy.settings.schema import Settings
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.process import report
from proxy.web.app import RUNNER_LIMITS, make_control
from proxy.web.context import WebContext
from proxy.web.visibility import Visibility

_log = logging.getLogger("ostiary")
_SWEEP_SECONDS = 5.0


class Worker:
    """Builds itself from settings and listening sockets (by listener address); then serve, reload, drain, close.

    `folder` is a private one (mode 0700) for a socket of our own; without, the worker makes one.
    """

    def __init__(
        self, settings: Settings, sockets: Mapping[str, socket.socket], number: int, folder: str | None = None
    ) -> None:
        self.settings = settings
        self.number = number
        self.metrics = Metrics([route.name for route in settings.routes])
        self._sockets = sockets
        self._folder = folder
        self._own_folder = ""
        self._began = time.time()
        self._plan: Plan | None = None
        self._prepared: Plan | None = None
        self._swept = 0.0

    # --- start

    async def start(self) -> None:
        """Build everything and begin to accept. Raises as `build` does."""
        await self.build()
        self.serve()

    async def build(self) -> None:
        """Build everything, so that `serve` cannot fail. Raises Unusable, KeyFileUnusable, OSError."""
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=10), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        try:
            await self._build()
        except BaseException:
            await self._http.close()
            raise

    async def _build(self) -> None:
        configuration = self.settings.configuration
        if self._folder is None:
            self._folder = self._own_folder = tempfile.mkdtemp(prefix="ostiary-")
        control_socket = str(Path(self._folder) / f"control-{self.number}.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(control_socket)  # noqa: PTH108  # left by a predecessor that was killed
        self._composer = Composer(self._http, control_socket, time.time, time.monotonic, self._first_seen)
        # As with `prepare`, in a thread: a provider's first RSA key takes up to a second.
        plan = self._plan = await asyncio.to_thread(self._composer.build, self.settings)
        self._state = State(configuration)
        self.sessions = self._state.sessions
        self.devices = self._state.devices
        await self._state.start()
        self._refresher = Refresher(
            self.sessions, lambda: self.plan.providers, configuration.sessions, time.time, secrets.token_hex(8)
        )
        self.journal = Journal(configuration.audit, worker=self.number)  # late: what cannot start leaves no trace in it
        self.ticker = Ticker(time.monotonic)
        self.house = House(
            plan.snapshot,
            sessions=self.sessions,
            journal=self.journal,
            metrics=self.metrics,
            signer=plan.signer,
            ticker=self.ticker,
            clock=time.time,
            renewal=self._refresher,
            devices=self.devices,
            workloads=plan.workloads,
        )
        self.sessions.device_changed = self._device_changed
        await self._start_pages(control_socket)
        self.metrics.info("ostiary_configuration_revision_info", self.settings.revision)
        self.ticker.each.append(self._tick)
        self._listening = Listening(plan, self._sockets, self.house, self)

    def serve(self) -> None:
        """Begin to accept."""
        self._state.management.adopt(self.plan.management)
        self.ticker.start()
        self._listening.start()

    @property
    def plan(self) -> Plan:
        """What is in force."""
        assert self._plan is not None, "the worker has been started"
        return self._plan

    async def _first_seen(self, key: str, now: float, expires: float) -> float:
        return await self._state.store.first_seen(key, now, expires)

    async def _device_changed(self, device: str, at: float) -> None:
        await self.devices.changed(device, at)
        self.house.device_news(device, at)

    async def _start_pages(self, control_socket: str) -> None:
        context = WebContext(
            settings=lambda: self.plan.settings,
            sessions=self.sessions,
            providers=lambda: self.plan.providers,
            saml=lambda: self.plan.saml,
            sealer=self._state.sealer,
            signer=lambda: self.plan.signer,
            clock=time.time,
            visible=Visibility(lambda: self.plan.settings, time.time),
            log=logging.getLogger("ostiary.web"),
            factors=self._state.factors,
            devices=self.devices,
            management=self._state.management,
            record=functools.partial(record_event, self.journal, time.time),
        )
        # Our pages are behind the gateway, which has read the request strictly already.
        how: dict[str, Any] = {"access_log": None, "handle_signals": False, "shutdown_timeout": 1.0, **RUNNER_LIMITS}
        self._pages = web.AppRunner(make_control(context), **how)
        await self._pages.setup()
        await web.UnixSite(self._pages, control_socket).start()

    # --- counts (net.acceptor.Counts)

    def connections(self, listener: str, open_now: int) -> None:
        """For the metrics."""
        self.metrics.set("ostiary_connections", listener, value=open_now)

    def handshake(self, result: str) -> None:
        """For the metrics."""
        self.metrics.add("ostiary_tls_handshakes_total", result)

    # --- twice a second

    def _tick(self, now: float) -> None:
        wall = time.time()
        self.sessions.expire(wall)
        self.house.watch.look(wall)
        for pool in self.plan.pools.values():
            pool.tick(now)
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            self._refresher.sweep(self.sessions.lives(), wall)

    # --- reload

    def prepare(self, settings: Settings) -> None:
        """Build `settings` beside what is in force. Raises, and then nothing has changed. Takes seconds when there are
        thousands of routes, or keys to make: call it in a thread, as `Process` does."""
        self._prepared = self._composer.build(settings, self.plan)

    def discard(self) -> None:
        """Forget what was prepared."""
        self._prepared = None

    def commit(self) -> None:
        """Put what was prepared into force, at once and whole. Requests under way end under the old."""
        fresh, self._prepared = self._prepared, None
        if fresh is None:
            return
        old = self.plan
        self._plan = fresh
        self.settings = fresh.settings
        self.house.snapshot = fresh.snapshot
        self.house.signer = fresh.signer
        self.house.workloads = fresh.workloads
        configuration = fresh.settings.configuration
        self._listening.adopt(fresh)
        self._state.reconfigure(configuration)
        self._state.management.adopt(fresh.management)
        self._refresher.reconfigure(configuration.sessions)
        self.metrics.set_routes([route.name for route in fresh.settings.routes])
        self.metrics.info("ostiary_configuration_revision_info", fresh.settings.revision)
        for key, pool in old.pools.items():
            if fresh.pools.get(key) is not pool:
                pool.close()
        self.house.watch.look(time.time())

    # --- status, end

    def snapshot(self) -> dict[str, list[list[Any]]]:
        """The metrics of this worker."""
        metrics = self.metrics
        report(metrics, str(self.number), self._began)
        metrics.set("ostiary_sessions_cached", value=len(self.sessions.lives()))
        metrics.set("ostiary_audit_lost_total", value=self.journal.lost)
        metrics.set("ostiary_audit_healthy", value=int(self.journal.writable))
        return metrics.snapshot()

    def trouble(self) -> dict[str, str]:
        """What keeps this worker from being ready, by part."""
        trouble = {}
        if not self.journal.healthy:
            trouble["audit"] = "the record cannot be written"
        if not self.sessions.trusted():
            trouble["store"] = "the session store does not answer"
        if self.house.draining:
            trouble["worker"] = "shutting down"
        return trouble

    async def drain(self) -> None:
        """Accept no more, let what is under way finish within the configured bound, then close."""
        self.house.draining = True
        self._listening.stop()
        self._close_idle()
        until = time.monotonic() + self.settings.configuration.limits.shutdown
        while self.house.exchanges and time.monotonic() < until:
            await asyncio.sleep(0.05)
            self._close_idle()
        await self.close()

    def _close_idle(self) -> None:
        for one in list(self.ticker.watched):
            if isinstance(one, Downstream) and one.exchange is None and not one.closing:
                one.close()

    async def close(self) -> None:
        """End everything; the record is flushed last."""
        self._listening.stop()
        self.ticker.stop()
        for one in list(self.ticker.watched):
            if isinstance(one, Downstream):
                one.abort()
        await asyncio.sleep(0)  # connection_lost of each records its exchange
        for pool in self.plan.pools.values():
            pool.close()
        ends = (self._pages.cleanup, self._refresher.close, self._state.close, self._http.close)
        for end in ends:
            try:
                await end()
            except (StoreUnavailable, OSError) as error:  # what comes after must end all the same, the record above all
                _log.error("while ending: %s", error)  # a known fault, no traceback needed
        if self._own_folder:
            shutil.rmtree(self._own_folder, ignore_errors=True)
        await asyncio.to_thread(self.journal.close)
        _log.debug("worker %d (pid %d) ended", self.number, os.getpid())
