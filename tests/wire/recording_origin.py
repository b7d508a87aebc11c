"""The app behind the proxy, as a witness: it writes down every byte it gets and answers from a script."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from strict_reader import Message, NotStrict, read_request


@dataclass
class Answer:
    """What the origin writes, piece by piece, and what it does afterwards: keep, close, reset or tunnel."""

    pieces: list[bytes]
    then: str = "keep"
    early: bool = False  # as soon as the head is there, without waiting for the body
    after: asyncio.Event | None = None  # not before this


def plain(body: bytes, *extra: bytes) -> bytes:
    """A 200 with this body."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *extra]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def echo(request: Message) -> Answer:
    """The default: an answer that only this request can have, so that a mix-up shows."""
    answer = plain(b"answer to " + request.first)
    return Answer([answer.partition(b"answer")[0] if request.first.startswith(b"HEAD ") else answer])


@dataclass
class Witness:
    """What one run saw. `mess` are bytes that no careful sender writes; `partial` requests that never were complete."""

    requests: list[Message] = field(default_factory=list)
    partial: list[bytes] = field(default_factory=list)
    mess: list[str] = field(default_factory=list)
    tunnel: bytes = b""
    ends: int = 0  # how many connections were half-closed or closed by the proxy
    octets: int = 0


class RecordingOrigin:
    """Listens on a loopback port of its own. `script` chooses the answer; `saw` is the record since `forget`."""

    def __init__(self) -> None:
        self.script: Callable[[Message], Answer] = echo
        self.saw = Witness()
        self.connections: set[_Connection] = set()
        self.accepted = 0
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self.sock.getsockname()[1]
        self.reading = True

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), sock=self.sock)

    async def close(self) -> None:
        """Hang up on everybody."""
        self._server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def forget(self) -> None:
        """Begin a new record and the default script."""
        self.saw = Witness()
        self.script = echo
        for connection in self.connections:
            connection.forget()


class _Connection(asyncio.Protocol):
    def __init__(self, origin: RecordingOrigin) -> None:
        self.origin = origin
        self.buffer = b""
        self.arrived: list[bytes] = []
        self.size = self.needs = 0  # bytes arrived since the buffer was looked at; bytes that make it worth a look
        self.tunnel = False
        self.answered = False  # the request in the buffer has its (early) answer
        self.task: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Whatever has not become a request."""
        self.buffer = b""
        self.arrived.clear()
        self.size = self.needs = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream
        self.origin.connections.add(self)
        self.number = self.origin.accepted
        self.origin.accepted += 1
        if not self.origin.reading:
            asyncio.get_running_loop().call_soon(self.transport.pause_reading)  # now is too early for uvloop

    def connection_lost(self, exc: Exception | None) -> None:
        self.origin.connections.discard(self)
        if self.buffer:
            self.origin.saw.partial.append(self.buffer + b"".join(self.arrived))
            self.buffer = b""

    def eof_received(self) -> bool:
        self.origin.saw.ends += 1
        return self.tunnel

    def data_received(self, data: bytes) -> None:
        self.origin.saw.octets += len(data)
        if self.tunnel:
            self.origin.saw.tunnel += data
            return
        self.arrived.append(data)
        self.size += len(data)
        if self.size >= self.needs:  # do not look at a long body again and again
            self.buffer += b"".join(self.arrived)
            self.arrived.clear()
            self.size = 0
            self._read()

    def _read(self) -> None:
        while self.buffer and not self.tunnel and self.task is None:
            try:
                found = read_request(self.buffer)
            except NotStrict as mess:
                self.origin.saw.mess.append(str(mess))
                self.transport.abort()
                return
            if found is None:
                return
            request, size = found
            request.connection = self.number
            if not self.answered:
                answer = self.origin.script(request)
                if request.complete or answer.early:
                    self.answered = True
                    self.task = asyncio.get_running_loop().create_task(self._answer(answer))
            self.needs = max(0, request.needs - len(self.buffer))
            if not request.complete:
                return
            self.origin.saw.requests.append(request)
            self.buffer = self.buffer[size:]

    async def _answer(self, answer: Answer) -> None:
        if answer.after is not None:
            await answer.after.wait()
        for piece in answer.pieces:
            if self.transport.is_closing():
                break
            self.transport.write(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if answer.then == "close":
            self.transport.close()
        elif answer.then == "half":
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        elif answer.then == "reset":
            self.transport.abort()
        elif answer.then == "tunnel":
            self.tunnel = True
            self.origin.saw.tunnel += self.buffer
            self.buffer = b""
        self.answered = False
        self.task = None
        self._read()
