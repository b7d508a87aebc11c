"""A worker as a process of its own: started by the supervisor with its sockets, told what to do over a channel.

Its one argument is the work order, as JSON; everything else, the configuration first, comes over the channel. It ends
when the supervisor says so, and as well when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import Iterator

import msgspec
import uvloop

from proxy.app.channel import Channel, Message, Order, settings_in
from proxy.app.errors import Unusable
from proxy.app.worker import Worker
from proxy.telemetry import log

_log = logging.getLogger("ostiary")
_STATUS_SECONDS = 1.0
_TURN = 0.0005  # seconds that a thread keeps the interpreter while another waits for it; usually ten times that


@contextlib.contextmanager
def _yielding() -> Iterator[None]:
    """For long work in a thread: thousands of routes take seconds, and requests must hardly notice."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    gc.disable()  # nothing of what is built is garbage: looking for cycles stops everybody
    try:
        yield
    finally:
        gc.enable()
        sys.setswitchinterval(interval)


class Process:
    """Obeys the supervisor; ends with it, whatever ends first."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._channel: Channel
        self._worker: Worker | None = None
        self._status: asyncio.Task[None] | None = None
        self._orders: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit code."""
        self._channel = await Channel.over(socket.socket(fileno=self._order.channel))
        told_to_end = False
        async for message in self._channel.messages():
            if message.word == "drain":
                told_to_end = True
                break
            if message.word == "build":
                if not await self._build(message):
                    await self._channel.close()
                    return 1
            else:
                order = asyncio.create_task(self._obey(message))  # the next may come before this one is carried out
                self._orders.add(order)
                order.add_done_callback(self._orders.discard)
        if not told_to_end:
            _log.error("the supervisor is gone; this worker finishes what is under way and ends")
        if self._status is not None:
            self._status.cancel()
        if self._worker is not None:
            await self._worker.drain()
        return 0

    async def _build(self, message: Message) -> bool:
        sockets = {address: socket.socket(fileno=fd) for address, fd in self._order.sockets.items()}
        try:
            worker = Worker(settings_in(message), sockets, self._order.number, folder=self._order.folder)
            await worker.build()
        except Exception as error:  # noqa: BLE001  # whatever it is, the supervisor says it and decides
            if not isinstance(error, Unusable):
                _log.debug("cannot start", exc_info=True)
            self._channel.say(Message("built", ok=False, text=text_of(error)))
            return False
        self._worker = worker
        gc.collect()
        gc.freeze()  # what was built at start lives as long as the process: never look at it again
        self._channel.say(Message("built"))
        self._status = asyncio.create_task(self._tell_status(worker))
        return True

    async def _obey(self, message: Message) -> None:
        answer = Message("answer", message.number)
        worker = self._worker
        assert worker is not None, "the first order is to build"
        try:
            if message.word == "serve":
                worker.serve()
            elif message.word == "prepare":
                with _yielding():
                    await asyncio.to_thread(lambda: worker.prepare(settings_in(message)))
            elif message.word == "commit":
                worker.commit()
                gc.freeze()  # as at the start
            elif message.word == "discard":
                worker.discard()
            elif message.word == "metrics":
                answer.data = worker.snapshot()
        except Unusable as error:
            answer.ok, answer.text = False, str(error)
        except Exception as error:  # noqa: BLE001  # told to the supervisor, which keeps the old configuration
            _log.exception("order to %s not carried out", message.word)
            answer.ok, answer.text = False, text_of(error)
        self._channel.say(answer)

    async def _tell_status(self, worker: Worker) -> None:
        while True:
            trouble = worker.trouble()
            self._channel.say(Message("status", ok=not trouble, data=trouble))
            await asyncio.sleep(_STATUS_SECONDS)


def text_of(error: Exception) -> str:
    """What went wrong, never empty."""
    return str(error) or type(error).__name__


def main() -> int:
    """Entry point of the process."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    log.configure(format=order.log_format, level=order.log_level, worker=str(order.number))
    # A terminal sends Ctrl-C, an init system SIGTERM, to everybody at once: the supervisor is the one who acts on it.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Process(order).run())
