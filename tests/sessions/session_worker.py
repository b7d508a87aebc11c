"""A worker process for the tests: one line of JSON in, one line of JSON out.

`python session_worker.py STATE_URL`. Commands: ["load", handle, host], ["cached", handle, host], ["login"],
["end", sid], ["consume", [keys]], ["lease", name], ["cuts"], ["spin", n] (log in n times, saying each sid at once).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.bus import Bus
from proxy.sessions.live import Gone, LiveSession
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.sessions.store import bus_folder, open_store
from proxy.settings import schema

ANN = Identity(kind="person", subject="sub-ann", provider="corp", email="ann@example.com")


class Stream:
    """An open exchange; says when it was cut."""

    def __init__(self, live: LiveSession, cuts: list[str]) -> None:
        self.live, self.cuts = live, cuts
        live.streams.add(self)

    def cut(self, reason: Reason) -> None:
        self.cuts.append(reason)
        self.live.streams.discard(self)


class Worker:
    """What a command does; each returns something JSON can say."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.cuts: list[str] = []

    async def load(self, handle: str, host: str) -> str:
        found = await self.sessions.load(handle.encode(), host)
        return self._told(found)

    async def cached(self, handle: str, host: str) -> str:
        return self._told(self.sessions.cached(handle.encode(), host, time.time()))

    async def login(self, host: str = "app") -> list[str]:
        live = await self.sessions.create(ANN, "corp", b"tokens", "op", time.time())
        return [live.sid, await self.sessions.new_handle(live.sid, host)]

    async def end(self, sid: str) -> bool:
        return await self.sessions.end(sid)

    async def consume(self, keys: list[str]) -> list[str]:
        return [key for key in keys if await self.sessions.store.consume(key, time.time() + 60)]

    async def lease(self, name: str) -> bool:
        return await self.sessions.store.lease(name, str(os.getpid()), 60, time.time())

    async def cuts_seen(self) -> list[str]:
        return self.cuts

    async def spin(self, count: int) -> None:
        for _ in range(count):
            live = await self.sessions.create(ANN, "corp", b"", "op", time.time())
            say(live.sid)

    def _told(self, found: LiveSession | Gone | None) -> str:
        if isinstance(found, LiveSession):
            if not found.streams:
                Stream(found, self.cuts)
            return "live"
        return found.reason if found else "ask the store"


def say(answer: object) -> None:
    """One line out."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main(url: str) -> None:
    """Serve commands until the input ends."""
    store = open_store(url)
    sessions = Sessions(store, Bus(store, bus_folder(url)), Sealer(b"k" * 32), schema.Sessions())
    await sessions.start()
    worker = Worker(sessions)
    say("ready")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command: list[Any] = json.loads(line)
        say(await getattr(worker, command[0])(*command[1:]))
    await sessions.close()
    await store.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
