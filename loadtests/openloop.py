"""Latency at a fixed rate: an open-loop generator, because wrk only knows as fast as possible.

A request is due every 1/rate seconds whether or not earlier ones were answered (a timerfd(2) of the kernel wakes us: an
event loop's own timers only know milliseconds). Latency counts from when a request was *due*, so a stall of the proxy
shows in every request it held up (no coordinated omission). One process, uvloop, raw protocols.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import struct
import time
from collections import deque
from pathlib import Path
from typing import cast

import uvloop

from loadtests import wire
from loadtests.processes import CorrectnessError
from loadtests.shapes import SHAPES

_CLOCK_MONOTONIC = 1
_NONBLOCKING = os.O_NONBLOCK
_LIBC = ctypes.CDLL(None, use_errno=True)


class Answer(asyncio.Protocol):
    """One kept connection: knows when its request was due, reads the whole answer."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.transport: asyncio.Transport | None = None
        self.due = 0.0
        self.data = b""
        self.missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def send(self, due: float) -> None:
        """Send the request that was due at `due` on the monotonic clock."""
        assert self.transport is not None
        self.due = due
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        if not self.missing:
            self.data += data
            found = wire.head_of(self.data)
            if found is None:
                return
            status, head, length = found
            if status != 200:
                self.load.fail(f"answered {status}")
            self.missing = head + length - len(self.data)
            self.data = b""
        else:
            self.missing -= len(data)
        if self.missing == 0:
            self.load.answered(self)
        elif self.missing < 0:
            self.load.fail("bytes after the end of an answer")

    def connection_lost(self, error: Exception | None) -> None:
        self.load.fail(f"a connection was lost ({error})")


class Load:
    """Requests at a fixed rate over a fixed number of connections; those that find none free wait their turn."""

    def __init__(self, request: bytes, rate: float, count: int) -> None:
        self.request = request
        self.rate = rate
        self.count = count
        self.sent = 0
        self.latencies: list[float] = []
        self.free: deque[Answer] = deque()
        self.waiting: deque[float] = deque()
        self.first = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Send everything and wait for every answer. Raises CorrectnessError when one is wrong or missing."""
        loop = asyncio.get_running_loop()
        timer = _timer(1 / self.rate)
        try:
            self.first = time.monotonic()
            loop.add_reader(timer, self._tick, timer)
            await asyncio.wait_for(asyncio.shield(self.done), self.count / self.rate + 30)
        finally:
            loop.remove_reader(timer)
            os.close(timer)

    def _tick(self, timer: int) -> None:
        os.read(timer, 8)
        now = time.monotonic()
        while self.sent < self.count and self.first + self.sent / self.rate <= now:
            due = self.first + self.sent / self.rate
            self.sent += 1
            if self.free:
                self.free.popleft().send(due)
            else:
                self.waiting.append(due)

    def answered(self, connection: Answer) -> None:
        """Note the latency and put the connection to use again."""
        self.latencies.append(time.monotonic() - connection.due)
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.free.append(connection)
        if len(self.latencies) == self.count and not self.done.done():
            self.done.set_result(None)

    def fail(self, why: str) -> None:
        """End the run: something is wrong."""
        if not self.done.done():
            self.done.set_exception(CorrectnessError(why))


def _timer(interval: float) -> int:
    """A periodic kernel timer as a file descriptor. Raises OSError."""
    descriptor = _LIBC.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCKING)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    whole, part = divmod(round(interval * 1e9), 1_000_000_000)
    if _LIBC.timerfd_settime(descriptor, 0, struct.pack("4q", whole, part, whole, part), None) != 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return int(descriptor)


def percentile(ordered: list[float], share: float) -> float:
    """The value below which `share` (0–1) of `ordered` lies, by nearest rank."""
    return ordered[max(0, min(len(ordered) - 1, int(share * len(ordered) + 0.999999) - 1))]


async def measure(args: argparse.Namespace) -> dict[str, float]:
    """Latencies in milliseconds."""
    shape = next(shape for shape in SHAPES if shape.name == args.shape)
    load = Load(wire.request(shape, args.authority, args.cookie), args.rate, int(args.rate * args.seconds))
    context = wire.client_context(args.ca) if args.ca else None
    loop = asyncio.get_running_loop()
    for _ in range(args.connections):
        _, connection = await loop.create_connection(
            lambda: Answer(load), "127.0.0.1", args.port, ssl=context, server_hostname=args.host if context else None
        )
        load.free.append(connection)
    await load.run()
    ordered = sorted(load.latencies[len(load.latencies) // 10 :])  # the first tenth opens upstream connections
    return {"count": len(load.latencies), "p50": percentile(ordered, 0.5) * 1e3, "p99": percentile(ordered, 0.99) * 1e3}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--authority", required=True, help="what to send as Host")
    parser.add_argument("--cookie", required=True)
    parser.add_argument("--shape", choices=[shape.name for shape in SHAPES], default="page")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--ca", type=Path, help="use TLS and verify against this authority")
    print(json.dumps(uvloop.run(measure(parser.parse_args()))))
