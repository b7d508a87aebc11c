"""A worker as a process of its own: started by the supervisor with its sockets, told what to do over a channel.

Started as `python -m proxy.app.process`, with the work order as JSON in its one argument.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvloop

from proxy.app.channel import Channel, Message
from proxy.app.compose import Unusable
from proxy.app.worker import Worker
from proxy.settings.load import load
from proxy.telemetry import log

_log = logging.getLogger("ostiary")
_STATUS_SECONDS = 1.0


class Order(msgspec.Struct):
    """What a worker is started with: descriptors are inherited."""

    config: str
    number: int
    channel: int
    sockets: dict[str, int]  # listener address → descriptor


class Process:
    """Answers the supervisor; ends with it, whatever ends first."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._config = Path(order.config)

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit code."""
        self._channel = await Channel.over(socket.socket(fileno=self._order.channel))
        sockets = {address: socket.socket(fileno=fd) for address, fd in self._order.sockets.items()}
        try:
            settings = await asyncio.to_thread(load, self._config)
            self._worker = Worker(settings, sockets, self._order.number)
            await self._worker.start()
        except Exception as error:  # noqa: BLE001  # whatever it is, the supervisor says it and decides
            self._channel.say(Message("ready", ok=False, text=_text(error)))
            await asyncio.sleep(0.05)
            return 1
        gc.collect()
        gc.freeze()  # what was built at start lives as long as the process: never look at it again
        self._channel.say(Message("ready", text=settings.revision))
        status = asyncio.create_task(self._tell_status())
        async for message in self._channel.messages():
            if message.word == "drain":
                break
            await self._obey(message)
        else:
            _log.error("the supervisor is gone; this worker ends")
        await self._worker.drain()
        status.cancel()
        return 0

    async def _obey(self, message: Message) -> None:
        answer = Message("answer", message.number)
        try:
            if message.word == "prepare":
                await self._prepare(message.text)
            elif message.word == "commit":
                self._worker.commit()
            elif message.word == "discard":
                self._worker.discard()
            elif message.word == "metrics":
                answer.data = self._worker.snapshot()
        except Exception as error:  # noqa: BLE001  # told to the supervisor, which keeps the old configuration
            answer.ok, answer.text = False, _text(error)
        self._channel.say(answer)

    async def _prepare(self, revision: str) -> None:
        settings = await asyncio.to_thread(load, self._config)
        if settings.revision != revision:
            raise Unusable("the configuration changed again while it was being read")
        self._worker.prepare(settings)

    async def _tell_status(self) -> None:
        while True:
            trouble = self._worker.trouble()
            self._channel.say(Message("status", ok=not trouble, data=trouble))
            await asyncio.sleep(_STATUS_SECONDS)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def main() -> int:
    """Entry point of the process."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    log.configure(worker=str(order.number))
    # A terminal sends Ctrl-C to everybody in it: the supervisor is the one who acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Process(order).run())


if __name__ == "__main__":
    sys.exit(main())
