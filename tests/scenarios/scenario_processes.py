"""The proxy as an admin runs it: `ostiary serve` in processes of its own, watched from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from scenario_http import Answer, Line
from scenario_world import LIFE, World, eventually, eventually_so, free_port

from proxy.model.identity import Identity
from proxy.sessions.bus import Bus
from proxy.sessions.keyfile import load_or_create_key
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.sessions.store import open_store
from proxy.settings.schema import Sessions as SessionSettings
from proxy.web.endpoints import SESSION_COOKIE

ROOT = Path(__file__).parents[2]
START = 30.0  # seconds; two interpreters and what they import, on a machine that does much else


class Outside(World):
    """A world whose proxy is `ostiary serve`, with two workers unless the configuration says otherwise."""

    def __init__(self, folder: Path, certificates: Path) -> None:
        super().__init__(folder, certificates, https=free_port(), http=free_port())
        self.config["workers"] = 2
        self.process: subprocess.Popen[bytes] | None = None
        self.log_file = folder / "proxy.log"

    # --- the processes

    def launch(self, *words: str) -> subprocess.Popen[bytes]:
        """Start it with the files as they are described now."""
        self.write()
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(self.path), "--log-format", "json", *words]
        return self.run(command, cwd=ROOT)

    def run(self, command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        """Start a command whose output is the log."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)
        return self.process

    async def start(self, *words: str) -> None:
        """Start it and wait until it is ready."""
        count = len(self.logged("ready: "))
        process = self.launch(*words)
        await eventually(lambda: len(self.logged("ready: ")) > count or process.poll() is not None, "a start", START)
        assert process.poll() is None, self.log_file.read_text()

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    async def ended(self, within: float = START) -> int:
        """Wait for the end; the exit code."""
        assert self.process is not None
        return_code = await eventually_so(self._return_code, "the end", within)
        return int(return_code[0])

    async def _return_code(self) -> tuple[int] | None:
        code = self.process.poll() if self.process else None
        return None if code is None else (code,)

    async def stop(self) -> None:
        """End it, whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            workers = self.workers()
            self.process.kill()
            self.process.wait()
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # --- what it says

    def log(self) -> list[dict[str, Any]]:
        """Its log so far; a line that is no JSON is a line all the same."""
        if not self.log_file.exists():
            return []
        return [_parsed(line) for line in self.log_file.read_text().splitlines()]

    def logged(self, text: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if text in line["message"]]

    async def says(self, text: str, times: int = 1) -> dict[str, Any]:
        """Wait until it has logged `text` that often."""
        await eventually(lambda: len(self.logged(text)) >= times, f"{text!r} in the log:\n{self.log_file.read_text()}")
        return self.logged(text)[-1]

    async def admin(self, path: str) -> Answer:
        """Ask the admin address."""
        address = self.config["admin"]["address"]
        async with await Line.open(int(address.rpartition(":")[2])) as line:
            return await line.request("GET", path, address)

    async def ready(self) -> dict[str, Any]:
        return (await self.admin("/readyz")).json

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over the label sets that contain `labels`; 0 when there is none."""
        text = (await self.admin("/metrics")).text
        total = 0.0
        for line in text.splitlines():
            found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                total += float(found[2])
        return total

    # --- people

    async def login(self, who: str, *names: str) -> dict[str, str]:
        """A session for `who`, written to the store as a login does: app name → value of the Cookie header."""
        state = self.folder / "var" / "state.db"
        store = open_store(f"sqlite:{state}")
        sealer = Sealer(load_or_create_key(Path(f"{state}.key")))
        sessions = Sessions(store, Bus(store, None), sealer, SessionSettings())
        try:
            identity = Identity(
                kind="person",
                subject=who,
                provider="corp",
                email=f"{who}@example.com",
                groups=frozenset(LIFE[who]),
                auth_time=time.time(),
            )
            live = await sessions.create(identity, "corp", b"", secrets.token_hex(4), time.time())
            return {
                name: f"{SESSION_COOKIE}={await sessions.new_handle(live.sid, self.host(name).partition(':')[0])}"
                for name in names
            }
        finally:
            await store.close()

    async def command(self, *words: str) -> tuple[int, str]:
        """Run an `ostiary` command on this configuration: its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", *words, "--config", str(self.path)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def lines_on_every_worker(self, name: str, service: str | None = None) -> list[Line]:
        """Enough connections that each worker has at least one; the caller closes them."""
        return [await self.line(name, service) for _ in range(12)]  # 1 in 2,048 that the kernel gives all to one


def _parsed(line: str) -> dict[str, Any]:
    try:
        return json.loads(line)
    except ValueError:
        return {"message": line, "level": "?"}


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.asynccontextmanager
async def outside(folder: Path, certificates: Path) -> AsyncIterator[Outside]:
    """A world without a running proxy yet; whatever runs at the end is ended."""
    world = Outside(folder, certificates)
    try:
        yield world
    finally:
        await world.stop()
