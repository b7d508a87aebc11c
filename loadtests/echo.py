"""The WebSocket upstream: echoes frames on `/ws`, answers `POST /digest` with the length and SHA-256 of the body.

One raw `asyncio.Protocol`, so that it is not what is being measured. Single frames up to 64 KiB, which is all our own
client sends; anything else closes the connection.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
from typing import cast

import uvloop

from loadtests.frames import Frames, frame

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


class Echo(asyncio.Protocol):
    """One connection: an HTTP head first, then either WebSocket frames or a body to digest."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.head = b""
        self.frames: Frames | None = None
        self.digest = hashlib.sha256()
        self.length = 0
        self.missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        if self.frames is not None:
            answer = [frame(payload, opcode) for opcode, payload in self.frames.feed(data)]
            if answer:
                self.transport.write(b"".join(answer))
        elif self.missing:
            self._body(data)
        else:
            self.head += data
            head, end, rest = self.head.partition(b"\r\n\r\n")
            if end:
                self.head = b""
                self._request(head, rest)

    def _request(self, head: bytes, rest: bytes) -> None:
        assert self.transport is not None
        lines = head.split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        key = fields.get(b"sec-websocket-key")
        if key is not None:
            accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.frames = Frames()
            if rest:
                self.data_received(rest)
            return
        self.missing = int(fields.get(b"content-length", b"0"))
        self.length = self.missing
        self.digest = hashlib.sha256()
        self._body(rest)

    def _body(self, data: bytes) -> None:
        assert self.transport is not None
        self.digest.update(data)
        self.missing -= len(data)
        if self.missing <= 0:
            body = f"{self.length} {self.digest.hexdigest()}\n".encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            self.missing = 0


async def serve(port: int) -> None:
    """Listen on 127.0.0.1 until cancelled."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(serve(parser.parse_args().port))
