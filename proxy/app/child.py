"""One worker process, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from typing import Any

import msgspec

from proxy.app.channel import Channel, Message, Order, packed
from proxy.settings.schema import Settings

# The same modules as ours: `-m` would look in the folder we happen to be started from first.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from proxy.app.process import main; sys.exit(main())"
)
_STALE = 3.0  # seconds without a status after which a worker counts as silent


class Child:
    """A running worker process. `settings` is what it has in force, `built` its answer to the order to build."""

    def __init__(self, number: int, settings: Settings, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = number
        self.settings = settings
        self.process = process
        self.built: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.metrics: dict[str, list[list[Any]]] = {}
        self._channel = channel
        self._trouble: dict[str, str] = {}
        self._heard = time.monotonic()
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._number = 0
        self._listening = asyncio.create_task(self._listen(), name=f"worker-{number}")

    @classmethod
    async def start(cls, order: Order, theirs: socket.socket, ours: socket.socket, settings: Settings) -> Child:
        """Start a process and have it build `settings`; `theirs` is its end of the channel, which is closed here."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-c", _START, msgspec.json.encode(order).decode(), json.dumps(sys.path)),
                pass_fds=[theirs.fileno(), *order.sockets.values()],
                stdin=asyncio.subprocess.DEVNULL,
            )
        finally:
            theirs.close()
        channel = await Channel.over(ours)
        channel.say(Message("build", data=packed(settings)))
        return cls(order.number, settings, process, channel)

    def __repr__(self) -> str:
        return f"<Child {self.number} pid={self.process.pid}>"

    async def ended(self) -> int:
        """Wait until the process is gone. Returns its exit code."""
        await asyncio.shield(self._listening)
        code = await self.process.wait()
        await self._channel.close()
        return code

    def trouble(self) -> dict[str, str]:
        """What keeps it from being ready, by part."""
        if time.monotonic() - self._heard > _STALE:
            return {f"worker {self.number}": "does not answer"}
        return self._trouble

    async def _listen(self) -> None:
        async for message in self._channel.messages():
            self._heard = time.monotonic()
            if message.word == "built":
                self.built.set_result(message)
            elif message.word == "status":
                self._trouble = message.data or {}
            else:
                _give(self._asked.pop(message.number, None), message)
        gone = Message("answer", ok=False, text=f"worker {self.number} ended")
        for waiting in [*self._asked.values(), self.built]:
            _give(waiting, gone)
        self._asked.clear()

    async def ask(self, word: str, seconds: float, data: Any = None) -> Message:
        """Ask and wait for the answer; a worker that is gone, or silent for `seconds`, answers not ok."""
        self._number += 1
        message = Message(word, self._number, data=data)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        if self._listening.done():
            return Message("answer", ok=False, text=f"worker {self.number} ended")
        self._asked[message.number] = answer
        self._channel.say(message)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            return Message("answer", ok=False, text=f"worker {self.number} does not answer")
        finally:
            self._asked.pop(message.number, None)

    async def take(self, settings: Settings, seconds: float) -> Message:
        """Put `settings` into force in this worker alone."""
        answer = await self.ask("prepare", seconds, packed(settings))
        if answer.ok:
            answer = await self.ask("commit", seconds)
            self.settings = settings
        return answer

    def drain(self) -> None:
        """Tell it to finish what is under way, and end."""
        self._channel.say(Message("drain"))

    def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


def _give(waiting: asyncio.Future[Message] | None, message: Message) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(message)
