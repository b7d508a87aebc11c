"""One worker: everything that serves requests, in one process with one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
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
from proxy.audit.journal import Journal
from proxy.authn.refresh import Refresher
from proxy.gateway.door import House, HttpDoor
from proxy.gateway.redirector import RedirectDoor
from proxy.gateway.watch import cut_uncertified
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.net.acceptor import Acceptor
from proxy.net.downstream import Door, Downstream
from proxy.net.ticker import Ticker
from proxy.policy import opens
from proxy.sessions.bus import Bus
from proxy.sessions.keyfile import load_or_create_key
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.sessions.store import bus_folder, open_store
from proxy.settings.schema import Listener, Route, Settings
from proxy.settings.secrets import read_secret
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.process import cost
from proxy.web.app import make_control
from proxy.web.context import WebContext
from proxy.wire.forwarded import Network, networks

_log = logging.getLogger("ostiary")
_SWEEP_SECONDS = 5.0


class Worker:
    """Builds itself from settings and listening sockets (by listener address); then start, reload, drain, close."""

    def __init__(self, settings: Settings, sockets: Mapping[str, socket.socket], number: int) -> None:
        self.settings = settings
        self.number = number
        self.metrics = Metrics([route.name for route in settings.routes])
        self._sockets = sockets
        self._acceptors: list[Acceptor] = []
        self._plan: Plan | None = None
        self._prepared: Plan | None = None
        self._swept = 0.0

    # --- start

    async def start(self) -> None:
        """Build everything and begin to accept. Raises what `Composer.build` raises, OSError, StoreUnavailable…"""
        configuration = self.settings.configuration
        self.journal = Journal(configuration.audit, worker=self.number)
        self._folder = tempfile.mkdtemp(prefix="ostiary-")  # mode 0700: our own pages are reached only from here
        control_socket = str(Path(self._folder) / "control.sock")
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=10), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        self._composer = Composer(self._http, control_socket, time.time, time.monotonic)
        plan = self._plan = self._composer.build(self.settings)
        await self._start_sessions()
        self._refresher = Refresher(
            self.sessions, lambda: self.plan.providers, configuration.sessions, time.time, secrets.token_hex(8)
        )
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
        )
        await self._start_pages(control_socket)
        self.metrics.info("ostiary_configuration_revision_info", self.settings.revision)
        self.ticker.each.append(self._tick)
        self.ticker.start()
        for listener in configuration.listeners:
            self._listen(listener)

    @property
    def plan(self) -> Plan:
        """What is in force."""
        assert self._plan is not None, "the worker has been started"
        return self._plan

    async def _start_sessions(self) -> None:
        configuration = self.settings.configuration
        kind, _, place = configuration.state.partition(":")
        if configuration.sessions.key is not None:
            key = read_secret(configuration.sessions.key)
        elif kind == "sqlite":
            key = load_or_create_key(Path(place + ".key"))
        else:
            key = secrets.token_bytes(32)
        self._sealer = Sealer(key)
        self._store = open_store(configuration.state)
        bus = Bus(self._store, bus_folder(configuration.state))
        self.sessions = Sessions(self._store, bus, self._sealer, configuration.sessions, time.time)
        await self.sessions.start()

    async def _start_pages(self, control_socket: str) -> None:
        context = WebContext(
            settings=lambda: self.plan.settings,
            sessions=self.sessions,
            providers=lambda: self.plan.providers,
            sealer=self._sealer,
            signer=lambda: self.plan.signer,
            clock=time.time,
            visible=self._visible,
            log=logging.getLogger("ostiary.web"),
            record=functools.partial(record_event, self.journal, time.time),
        )
        # Our pages are behind the gateway, which has read the request strictly already.
        self._pages = web.AppRunner(make_control(context), access_log=None, handle_signals=False)
        await self._pages.setup()
        await web.UnixSite(self._pages, control_socket).start()

    def _visible(self, identity: Identity, address: str | None) -> list[Route]:
        """The routes this person may open from there, in the order of the configuration."""
        snapshot = self.plan.snapshot
        shown = []
        for plan in snapshot.plans:
            first_page = Facts(
                route=plan.name,
                host=plan.source.host,
                method="GET",
                path=plan.source.prefix or "/",
                time=time.time(),
                address=address,
            )
            if not plan.route.hidden and not plan.wildcard and opens(plan.policy, identity, first_page):
                shown.append(plan.route)
        return shown

    def _listen(self, listener: Listener) -> None:
        trusted = networks(listener.trusted_proxies)
        tls = self.plan.tls.get(listener.address)
        limits = self.settings.configuration.limits
        door: Door
        acceptor: Acceptor

        def released(address: str) -> None:
            acceptor.released(address)

        if tls is None and listener.cleartext == "redirect":
            door = RedirectDoor(self.house, released)
        else:
            door = HttpDoor(self.house, listener.address, trusted, released)
        acceptor = Acceptor(
            listener.address,
            self._sockets[listener.address],
            tls,
            lambda address: Downstream(door, limits, self.ticker, address),
            limits,
            self,
            exempt=lambda address: bool(trusted) and any(_within(address, network) for network in trusted),
        )
        self._acceptors.append(acceptor)
        acceptor.start()

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
        cut_uncertified(self.house, wall)
        for pool in self.plan.pools.values():
            pool.tick(now)
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            self._refresher.sweep(self.sessions.live(), wall)

    # --- reload

    def prepare(self, settings: Settings) -> None:
        """Build `settings` beside what is in force. Raises, and then nothing has changed."""
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
        for address, listener in old.tls.items():
            listener.adopt(fresh.tls[address])
        configuration = fresh.settings.configuration
        self.sessions.reconfigure(configuration.sessions)
        self._refresher.reconfigure(configuration.sessions)
        self.metrics.set_routes([route.name for route in fresh.settings.routes])
        self.metrics.info("ostiary_configuration_revision_info", fresh.settings.revision)
        for key, pool in old.pools.items():
            if fresh.pools.get(key) is not pool:
                pool.close()
        cut_uncertified(self.house, time.time(), judged_anew=True)

    # --- status, end

    def snapshot(self) -> dict[str, list[list[Any]]]:
        """The metrics of this worker."""
        metrics, name = self.metrics, str(self.number)
        spent = cost()
        metrics.set("ostiary_process_cpu_seconds_total", name, value=spent.cpu_seconds)
        metrics.set("ostiary_process_resident_bytes", name, value=spent.resident_bytes)
        metrics.set("ostiary_process_open_files", name, value=spent.files)
        metrics.set("ostiary_sessions_cached", value=len(self.sessions.live()))
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
        for acceptor in self._acceptors:
            acceptor.stop()
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
        self.ticker.stop()
        for one in list(self.ticker.watched):
            if isinstance(one, Downstream):
                one.abort()
        await asyncio.sleep(0)  # connection_lost of each records its exchange
        for pool in self.plan.pools.values():
            pool.close()
        with contextlib.suppress(OSError):
            await self._pages.cleanup()
        await self._refresher.close()
        await self.sessions.close()
        await self._store.close()
        await self._http.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        await asyncio.to_thread(self.journal.close)
        _log.debug("worker %d (pid %d) ended", self.number, os.getpid())


def _within(address: str, network: Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:
        return False
