"""The parent process: binds, has one worker per core serve, reloads and ends them together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop
from aiohttp import web

from proxy.admin import make_admin
from proxy.app.reload import Reloading, read
from proxy.app.workforce import Workforce
from proxy.net.sockets import AddressUnusable, bind, split_address
from proxy.settings.problems import ConfigError
from proxy.settings.schema import Limits, Settings
from proxy.telemetry.exposition import exposition
from proxy.telemetry.log import Format
from proxy.telemetry.metrics import Metrics, merge
from proxy.telemetry.process import report

_log = logging.getLogger("ostiary")
_GRACE = 5.0  # beyond `limits.shutdown`, for workers to write the end of their record
_WELL = {"configuration": "ok", "store": "ok", "audit": "ok"}


class Supervisor:
    """Runs the proxy that a configuration describes until it is told to stop."""

    def __init__(self, config: Path, settings: Settings, said: set[str], log: tuple[Format, str]) -> None:
        """`said` are the warnings about the configuration that have been logged; `log` is format and level."""
        self._config = config.absolute()
        self._settings = settings
        self._said = said
        self._log = log
        self._count = settings.configuration.workers or os.cpu_count() or 1
        self._metrics = Metrics()
        self._started = time.time()
        self._sockets: dict[str, list[socket.socket]] = {}
        self._stopping = asyncio.Event()
        self._workforce: Workforce | None = None

    async def run(self, on_ready: Callable[[], None] | None = None) -> int:
        """Serve until SIGTERM or SIGINT. Returns 0. Raises CannotStart, AddressUnusable."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        _raise_descriptor_limit(self._settings.configuration.limits)
        folder = tempfile.mkdtemp(prefix="ostiary-")  # mode 0700: our own pages are reached only from inside
        try:
            self._bind()
            workforce = self._workforce = Workforce(self._settings, self._seats(), folder, self._metrics, self._log)
            admin = await self._start_admin(workforce)
            reloading = Reloading(self._config, workforce, self._metrics, self._said)
            loop.add_signal_handler(signal.SIGHUP, reloading.soon, "SIGHUP")
            try:
                await self._serve(workforce, reloading, on_ready)
            finally:
                self._close_sockets()  # new connections are refused, and may go elsewhere, from now on
                await workforce.stop(self._settings.configuration.limits.shutdown + _GRACE)
                await admin.cleanup()
        finally:
            self._close_sockets()
            shutil.rmtree(folder, ignore_errors=True)
        _log.info("ended")
        return 0

    async def _serve(self, workforce: Workforce, reloading: Reloading, on_ready: Callable[[], None] | None) -> None:
        starting = asyncio.create_task(workforce.start())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        stopping.cancel()
        await starting
        await reloading.start()
        self._announce()
        if on_ready is not None:
            on_ready()
        await self._stopping.wait()
        _log.info("shutting down: requests under way may finish; another signal ends them")
        self._settings = workforce.settings
        await reloading.stop()

    def _told_to_stop(self) -> None:
        if self._stopping.is_set() and self._workforce is not None:
            _log.warning("told twice: ending at once")
            self._workforce.kill()
        self._stopping.set()

    def _announce(self) -> None:
        configuration = self._settings.configuration
        _log.info(
            "ready: %s on %s; %d routes, revision %s; admin on http://%s",
            "1 worker" if self._count == 1 else f"{self._count} workers",
            ", ".join(one.address for one in configuration.listeners),
            len(self._settings.routes),
            self._settings.revision,
            configuration.admin.address,
        )

    # --- sockets

    def _bind(self) -> None:
        for listener in self._settings.configuration.listeners:
            self._sockets[listener.address] = bind(listener.address, self._count)

    def _seats(self) -> list[dict[str, socket.socket]]:
        """For each worker its sockets, by address."""
        return [{address: each[number] for address, each in self._sockets.items()} for number in range(self._count)]

    def _close_sockets(self) -> None:
        for each in self._sockets.values():
            for sock in each:
                sock.close()

    # --- the admin address

    async def _start_admin(self, workforce: Workforce) -> web.AppRunner:
        def ready() -> tuple[bool, dict[str, str]]:
            trouble = workforce.trouble()
            if self._stopping.is_set():
                trouble["proxy"] = "shutting down"
            return not trouble, trouble or _WELL

        async def metrics() -> bytes:
            report(self._metrics, "supervisor", self._started)
            return exposition(merge([self._metrics.snapshot(), await workforce.rows()]))

        admin = self._settings.configuration.admin
        host, port = split_address(admin.address)
        application = make_admin(ready, metrics, hosts=admin.hosts)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise AddressUnusable(f"admin.address {admin.address}: {_why(error)}") from None
        return runner


def _raise_descriptor_limit(limits: Limits) -> None:
    """Allow ourselves, and so the workers, as many open files as we may; each connection takes up to two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft != resource.RLIM_INFINITY and soft < 2 * limits.connections:
        _log.warning(
            "limits.connections is %d per worker, but a process may open %d files only: from about %d connections on, "
            "new ones wait; raise the limit (LimitNOFILE of the service, ulimit -n) or lower limits.connections",
            limits.connections,
            soft,
            soft // 2,
        )


def _why(error: OSError) -> str:
    text = os.strerror(error.errno) if error.errno else str(error)
    return f"{text.lower()}; stop the program that listens there, or choose another address"


def serve(
    config: Path,
    *,
    on_ready: Callable[[], None] | None = None,
    log_format: Format = "auto",
    log_level: str = "info",
) -> int:
    """Run the proxy in the foreground. Raises ConfigError, CannotStart, AddressUnusable. The workers log as told."""
    said: set[str] = set()
    checked = read(config, said)
    if checked.settings is None:
        raise ConfigError(checked.problems)
    settings = checked.settings

    async def run() -> int:
        return await Supervisor(config, settings, said, (log_format, log_level)).run(on_ready)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
