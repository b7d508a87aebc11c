"""Noticing that files changed, by looking at them: works with editors, `git pull`, atomic renames and mounted
Kubernetes volumes (whose links are swapped) alike, on every file system, without losing events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence

from proxy.settings.load import YAML_ENDINGS

log = logging.getLogger(__name__)

SETTLE = 0.1
"""Seconds between two looks while something is being written."""
MOST_LOOKS = 5
"""After so many, a file that keeps changing is reported all the same."""

Signature = tuple[object, ...]


def signature(path: str) -> Signature:
    """What changes when a file does; for a folder, the names and signatures of the YAML files in it."""
    try:
        found = os.stat(path)  # noqa: PTH116 - called for thousands of paths, a Path object would double the cost
        if not os.path.isdir(path):  # noqa: PTH112 - same
            return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        with os.scandir(path) as entries:
            names = sorted(
                entry.name for entry in entries if entry.name.endswith(YAML_ENDINGS) and entry.name[0] != "."
            )
    except OSError as error:
        return (error.errno,)
    return tuple((name, signature(os.path.join(path, name))) for name in names)  # noqa: PTH118 - same


def snapshot(paths: Sequence[str]) -> dict[str, Signature]:
    """Signatures of all paths."""
    return {path: signature(path) for path in paths}


class Watcher:
    """Calls `changed` on the event loop when one of the files is edited, added to a folder, removed or replaced.

    `files_of` is asked before each look, so that the list follows a reload. What it names when the watcher is made is
    the first baseline; a path seen for the first time later is a baseline, not a change. Changes that follow each
    other within 0.1 s are reported once. An exception in `changed` is logged; watching goes on.
    """

    def __init__(
        self,
        files_of: Callable[[], Sequence[str]],
        changed: Callable[[], None],
        interval: float = 0.5,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._files_of = files_of
        self._changed = changed
        self._interval = interval
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        self._known = snapshot(files_of())

    def look(self) -> bool:
        """Compare with the last look. True when anything is different. Does not call `changed`."""
        return self._compare(snapshot(self._files_of()))

    def _compare(self, seen: dict[str, Signature]) -> bool:
        different = any(self._known.get(path, now) != now for path, now in seen.items())
        self._known = seen
        return different

    async def start(self) -> None:
        """Begin watching in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="settings-watcher")

    async def stop(self) -> None:
        """Stop watching. Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await self._sleep(self._interval)
            try:
                if await self._look_aside():
                    await self._settled()
                    self._changed()
            except Exception:
                log.exception("reload failed; the previous configuration stays in force")

    async def _settled(self) -> None:
        for _ in range(MOST_LOOKS):
            await self._sleep(SETTLE)
            if not await self._look_aside():
                return

    async def _look_aside(self) -> bool:
        """`look`, with the reading of the file system in a thread: it may be a slow network mount."""
        paths = self._files_of()
        return self._compare(await asyncio.to_thread(snapshot, paths))
