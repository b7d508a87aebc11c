"""WebSocket messages: every connection sends one, waits for its echo, compares, sends the next."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import cast

import uvloop

from loadtests import wire
from loadtests.frames import BINARY, Frames, frame
from loadtests.processes import CorrectnessError

PAYLOAD = bytes(range(64))


class Conversation(asyncio.Protocol):
    """One WebSocket."""

    def __init__(self, opening: bytes, failed: asyncio.Future[None]) -> None:
        self.opening = opening
        self.failed = failed
        self.transport: asyncio.Transport | None = None
        self.head: bytes | None = b""
        self.frames = Frames()
        self.message = frame(PAYLOAD, masked=True)
        self.echoes = 0
        self.going = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.transport.write(self.opening)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        if self.head is not None:
            self.head += data
            if b"\r\n\r\n" not in self.head:
                return
            if not self.head.startswith(b"HTTP/1.1 101"):
                self._fail(f"the WebSocket was refused: {self.head[:200]!r}")
            self.head = None
            self.transport.write(self.message)
            return
        for message in self.frames.feed(data):
            if message != (BINARY, PAYLOAD):
                self._fail("an echo differs from what was sent")
            self.echoes += 1
            if self.going:
                self.transport.write(self.message)

    def connection_lost(self, error: Exception | None) -> None:
        if self.going:
            self._fail(f"a WebSocket was lost ({error})")

    def _fail(self, why: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(CorrectnessError(why))


async def measure(args: argparse.Namespace) -> dict[str, float]:
    """How many echoes came back, and in how many seconds."""
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    context = wire.client_context(args.ca) if args.ca else None
    opening = wire.handshake(args.authority, args.cookie, args.origin)
    started = time.monotonic()
    conversations = []
    for _ in range(args.connections):
        _, conversation = await loop.create_connection(
            lambda: Conversation(opening, failed),
            "127.0.0.1",
            args.port,
            ssl=context,
            server_hostname=args.host if context else None,
        )
        conversations.append(conversation)
    await asyncio.wait([failed], timeout=args.seconds)
    if failed.done():
        failed.result()
    for conversation in conversations:
        conversation.going = False
    seconds = time.monotonic() - started
    await asyncio.sleep(0.1)  # the last echoes come home
    return {"echoes": sum(conversation.echoes for conversation in conversations), "seconds": seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--authority", required=True, help="what to send as Host")
    parser.add_argument("--cookie", required=True)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--ca", type=Path, help="use TLS and verify against this authority")
    print(json.dumps(uvloop.run(measure(parser.parse_args()))))
