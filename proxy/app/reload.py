"""A changed configuration, into force in all workers or in none."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.app.channel import packed
from proxy.app.workforce import Workforce
from proxy.settings.load import Checked, check
from proxy.settings.problems import ConfigError, Problem
from proxy.settings.schema import Listener, Settings
from proxy.settings.secrets import SecretUnavailable, read_secret
from proxy.settings.watch import Watcher
from proxy.telemetry.metrics import Metrics

_log = logging.getLogger("ostiary")
_PREPARE = 60.0
_COMMIT = 10.0
_REMIND_EVERY = 6 * 3600.0  # certificates come to their end without any file changing


def read(config: Path, said: set[str]) -> Checked:
    """Load a configuration, and log its warnings that are not in `said` yet."""
    checked = check(config, strict_files=True, now=time.time())
    warnings = {_warning(problem) for problem in checked.problems if problem.severity == "warning"}
    for warning in sorted(warnings - said):
        _log.warning("%s", warning)
    said.clear()
    said |= warnings
    return checked


def _warning(problem: Problem) -> str:
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    return f"{place}: {problem.message}" + (f"; {problem.hint}" if problem.hint else "")


class Reloading:
    """Watches the files of a configuration, and puts what changed into force. `said` are the warnings given so far."""

    def __init__(self, config: Path, workforce: Workforce, metrics: Metrics, said: set[str]) -> None:
        self._config = config
        self._workforce = workforce
        self._metrics = metrics
        self._said = said
        self._key = _sealing_key(workforce.settings)
        self._watcher = self._watching(workforce.settings.files)
        self._wanted: list[str] = []
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to watch."""
        await self._watcher.start()
        self._tasks = [asyncio.create_task(self._run(), name="reload"), asyncio.create_task(self._remind())]

    async def stop(self) -> None:
        """Stop watching. A reload under way is left where it is."""
        await self._watcher.stop()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _watching(self, files: Sequence[str]) -> Watcher:
        """A watcher that knows how these files are now, and reports what comes after."""
        return Watcher(lambda: files, lambda: self.soon("a file changed"))

    def soon(self, why: str) -> None:
        """Read the configuration again, once for all who ask before that begins."""
        self._wanted.append(why)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            why, self._wanted = ", ".join(dict.fromkeys(self._wanted)), []
            try:
                await self.now(why)
            except Exception:  # noqa: BLE001  # the next change must still be looked at
                _log.exception("the reload broke")
                self._refused("see the error above")

    async def now(self, why: str) -> bool:
        """Read the configuration; all workers take it over, or none does and the log says why."""
        checked, watcher, changed = await asyncio.to_thread(self._read)
        old, self._watcher = self._watcher, watcher
        await old.stop()
        await watcher.start()
        if changed:
            self.soon("a file changed while it was read")
        fresh = checked.settings
        if fresh is None:
            return self._refused(str(ConfigError(checked.problems)))
        obstacle = restart_needed(self._workforce.settings, fresh)
        if obstacle:
            return self._refused(obstacle)
        async with self._workforce.changing:
            return await self._hand_over(fresh, why)

    def _read(self) -> tuple[Checked, Watcher, bool]:
        """In a thread: what the files say, a watcher of what they are now, and whether they changed meanwhile."""
        self._watcher.look()
        checked = read(self._config, self._said)
        # Also what is not usable yet is watched, so that its repair is noticed.
        watcher = self._watching(checked.files)
        return checked, watcher, self._watcher.look()

    async def _hand_over(self, fresh: Settings, why: str) -> bool:
        workforce = self._workforce
        children = workforce.serving
        data = await asyncio.to_thread(packed, fresh)
        answers = await asyncio.gather(*(child.ask("prepare", _PREPARE, data) for child in children))
        bad = [answer.text for answer in answers if not answer.ok]
        if bad:
            await asyncio.gather(*(child.ask("discard", _COMMIT) for child in children))
            return self._refused(bad[0])
        workforce.settings = fresh  # whoever dies from here on is followed by one that has it
        answers = await asyncio.gather(*(child.ask("commit", _COMMIT) for child in children))
        for child, answer in zip(children, answers, strict=True):
            if answer.ok:
                child.settings = fresh
            else:
                _log.error("%s; it is replaced", answer.text)
                child.kill()
        self._metrics.add("ostiary_reloads_total", "ok")
        _log.info("reloaded (%s): %d routes, revision %s", why, len(fresh.routes), fresh.revision)
        if _sealing_key(fresh) != self._key:
            _log.warning("sessions.key has changed: it is used from the next restart on, which ends all sessions")
        return True

    def _refused(self, why: str) -> bool:
        self._metrics.add("ostiary_reloads_total", "refused")
        _log.error("not reloaded, revision %s stays in force: %s", self._workforce.settings.revision, why)
        return False

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(_REMIND_EVERY)
            self._said.clear()
            await asyncio.to_thread(read, self._config, self._said)


def _sealing_key(settings: Settings) -> bytes:
    """What tells one key from another, and nothing about it."""
    reference = settings.configuration.sessions.key
    if reference is None:
        return b""
    try:
        return hashlib.sha256(read_secret(reference)).digest()
    except SecretUnavailable:
        return b""


def restart_needed(old: Settings, new: Settings) -> str:
    """What a reload cannot change, if that is what changed; "" when all of it can."""
    before, after = old.configuration, new.configuration
    changed = [name for name in ("state", "audit", "admin", "workers") if getattr(before, name) != getattr(after, name)]
    if before.sessions.key != after.sessions.key:
        changed.append("sessions.key")
    changed += _changed_listeners(before.listeners, after.listeners)
    return f"{', '.join(changed)}: a change here takes a restart" if changed else ""


def _changed_listeners(before: Sequence[Listener], after: Sequence[Listener]) -> list[str]:
    """Addresses that came or went, and those whose nature is another."""
    old, new = ({one.address: (one.tls is None, one.cleartext) for one in each} for each in (before, after))
    return [
        *(f"listeners ({address} is new)" for address in new if address not in old),
        *(f"listeners ({address} is gone)" for address in old if address not in new),
        *(
            f"listeners (tls or cleartext of {address})"
            for address in new
            if old.get(address, new[address]) != new[address]
        ),
    ]
