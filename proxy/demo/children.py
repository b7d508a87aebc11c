"""The programs the demo starts: each in a session of its own, ended together, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import msgspec

from proxy.demo.launch import TOKEN_VARIABLE, line
from proxy.demo.layout import DemoError

STOP_TIME = 8.0  # seconds between asking a program to end and ending it


@dataclass(slots=True)
class Child:
    """One running program. `title` is what people are told it is."""

    title: str
    process: asyncio.subprocess.Process

    @property
    def ended(self) -> bool:
        """Whether it has ended, for whatever reason."""
        return self.process.returncode is not None

    def how_it_ended(self) -> str:
        """In words."""
        code = self.process.returncode
        if code is None:
            return "runs"
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


class Children:
    """The programs of one demo."""

    def __init__(self, output: IO[bytes] | None = None) -> None:
        """`output` takes what they print; None leaves it to the terminal."""
        self._output = output
        self.all: list[Child] = []

    async def start(self, title: str, words: Sequence[str], settings: msgspec.Struct | None = None) -> Child:
        """Start `python` with `words`. With `settings`, they are handed over with a one-time token (`launch`)."""
        token = secrets.token_urlsafe(32)
        environment = dict(os.environ)
        if settings is not None:
            environment[TOKEN_VARIABLE] = token
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            stdin=asyncio.subprocess.DEVNULL if settings is None else asyncio.subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the demo; it ends the others
            preexec_fn=_end_with_parent,
        )
        child = Child(title, process)
        self.all.append(child)
        if settings is not None and process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(line(token, settings))
                await process.stdin.drain()
        return child

    async def first_to_end(self) -> Child:
        """Wait until one of them ends by itself."""
        waits = {asyncio.create_task(child.process.wait()): child for child in self.all}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[next(iter(done))]
        finally:
            for wait in waits:
                wait.cancel()

    def refuse_ended(self) -> None:
        """Raise DemoError when one has ended."""
        for child in self.all:
            if child.ended:
                raise DemoError(f"{child.title} {child.how_it_ended()} instead of starting; what it said is above")

    async def stop(self) -> list[str]:
        """End all of them. Returns the titles of those that had to be forced."""
        for child in self.all:
            _signal(child, signal.SIGTERM)
            if child.process.stdin is not None:
                child.process.stdin.close()
        waiting = [asyncio.create_task(child.process.wait()) for child in self.all]
        if waiting:
            await asyncio.wait(waiting, timeout=STOP_TIME)
        forced = [child for child in self.all if not child.ended]
        for child in self.all:
            if child.process.returncode != 0:
                _kill_group(child)  # and whatever it started that is still there
        await asyncio.gather(*waiting)
        return [child.title for child in forced]


def _signal(child: Child, number: signal.Signals) -> None:
    if not child.ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.process.pid, number)


def _kill_group(child: Child) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)


def _end_with_parent() -> None:
    """In the child, before it starts: be told to end should the demo be killed (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
