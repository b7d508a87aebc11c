"""How collectors look at a machine: files below a root, and commands with fixed words, a time limit and a bound.

Tests put a recorded machine in its place: a folder as root, and a runner that answers from what was recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

SYSTEM_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where commands are looked for: never in the folders of the user's own PATH."""

_LARGEST: Final = 1 << 20  # bytes of a file or of a command's output
_PATIENCE: Final = 20.0  # seconds for one command
_LAST_WORDS: Final = 2.0  # seconds for the end of one that was killed
_AT_ONCE: Final = 4  # commands
_PASSED_ON: Final = (  # what commands need of our environment to find the person's session
    *("HOME", "USER", "LOGNAME", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA"),
    *("PROGRAMDATA", "PROGRAMFILES", "PSMODULEPATH", "PATHEXT"),
)


class Output(msgspec.Struct, frozen=True):
    """What a command said: its exit code and both streams, as text."""

    code: int
    out: str
    err: str = ""


Runner = Callable[[Sequence[str]], Awaitable[Output | None]]
"""Runs one command. None: it is not there, took too long or said too much."""


class Probe:
    """A machine to look at. `environment` is that of the person's session."""

    def __init__(
        self, *, root: Path = Path("/"), run: Runner | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.environment = os.environ if environment is None else environment
        self._root = root
        self._run = run or Commands(self.environment)

    def path(self, name: str) -> Path:
        """Where the file `name` ("/etc/os-release") of this machine is."""
        return self._root / name.lstrip("/")

    def data(self, name: str) -> bytes | None:
        """The content of a file, at most its first MiB; None when it is not there or may not be read."""
        try:
            with self.path(name).open("rb") as file:
                return file.read(_LARGEST)
        except OSError:
            return None

    def text(self, name: str) -> str | None:
        """The same as text; bytes that are none are replaced."""
        data = self.data(name)
        return None if data is None else data.decode("utf-8", "replace")

    def tail(self, name: str) -> str:
        """The last MiB of a log; "" when it is not there or may not be read."""
        try:
            with self.path(name).open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LARGEST))
                return file.read(_LARGEST).decode("utf-8", "replace")
        except OSError:
            return ""

    def names(self, folder: str) -> list[str] | None:
        """The names in a folder, sorted; None when it is not there or may not be read."""
        try:
            return sorted(each.name for each in self.path(folder).iterdir())
        except OSError:
            return None

    def link(self, name: str) -> str:
        """The last part of where a link leads; "" when it is none."""
        try:
            return self.path(name).readlink().name
        except OSError:
            return ""

    def modified(self, name: str) -> float | None:
        """When a file was last written, seconds since the epoch."""
        try:
            return self.path(name).stat().st_mtime
        except OSError:
            return None

    async def ask(self, *words: str) -> Output | None:
        """Run a command. None when it could not be run, or said too much."""
        return await self._run(words)

    async def said(self, *words: str) -> str:
        """What a command that succeeded wrote to its standard output; "" when it did not succeed."""
        found = await self._run(words)
        return found.out.strip() if found is not None and found.code == 0 else ""


class Commands:
    """The real runner."""

    def __init__(self, environment: Mapping[str, str], *, patience: float = _PATIENCE, largest: int = _LARGEST) -> None:
        self._environment = {name: environment[name] for name in _PASSED_ON if name in environment} | {"LC_ALL": "C"}
        if sys.platform == "win32":
            folder = environment.get("SYSTEMROOT", r"C:\Windows") + r"\System32"
            self._path = os.pathsep.join((folder, folder + r"\WindowsPowerShell\v1.0"))
        else:
            self._path = SYSTEM_PATH
        self._environment["PATH"] = self._path
        self._patience = patience
        self._largest = largest
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, words: Sequence[str]) -> Output | None:
        """Run one command; see `Runner`."""
        program = words[0] if Path(words[0]).is_absolute() else shutil.which(words[0], path=self._path)
        if program is None:
            return None
        async with self._turns:
            try:
                process = await asyncio.create_subprocess_exec(
                    program,
                    *words[1:],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=self._environment,
                    start_new_session=True,
                )
            except OSError:
                return None
            try:
                return await asyncio.wait_for(self._output(process), self._patience)
            except TimeoutError:
                return None
            finally:
                await _end(process)

    async def _output(self, process: asyncio.subprocess.Process) -> Output | None:
        assert process.stdout is not None
        assert process.stderr is not None
        streams = (process.stdout, process.stderr)
        reading = [asyncio.ensure_future(_bounded(stream, self._largest)) for stream in streams]
        try:
            parts = await asyncio.gather(*reading)
        except _TooMuch:
            return None
        finally:
            for each in reading:
                each.cancel()
        out, err = (part.decode("utf-8", "replace").replace("\r\n", "\n") for part in parts)
        return Output(await process.wait(), out, err)


class _TooMuch(Exception):
    """A command says more than anybody wants to know."""


async def _bounded(stream: asyncio.StreamReader, largest: int) -> bytes:
    """All of a stream. Raises _TooMuch when that is more than `largest` bytes."""
    found = bytearray()
    while chunk := await stream.read(1 << 16):
        found += chunk
        if len(found) > largest:
            raise _TooMuch
    return bytes(found)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what still runs, with all it started, and let go of its pipes: a process counts as gone when they are read
    to their end. What left its process group may keep them open; it is not waited for."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORDS):
            for stream in (process.stdout, process.stderr):
                while stream is not None and await stream.read(1 << 16):
                    pass
            await process.wait()
