"""A client that says exactly what it is told to, and sees exactly what comes back: one HTTP/1.1 connection."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

PATIENCE = 10.0  # seconds; for a machine that does much else
Headers = Sequence[tuple[str, str]]


class Ended(Exception):
    """The other side closed the connection before the answer was complete. `so_far` is what came of the body."""

    def __init__(self, so_far: bytes = b"") -> None:
        super().__init__(f"connection closed after {len(so_far)} bytes")
        self.so_far = so_far


@dataclass
class Answer:
    """One response. `interim` are the 1xx before it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    interim: list[Answer] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The only value of a field; None when it is absent."""
        found = self.all(name)
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """One connection to the proxy (or to anybody)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None = None, server_name: str | None = None) -> Self:
        """`server_name` None with `tls` sends no SNI."""
        async with asyncio.timeout(PATIENCE):
            return cls(
                *await asyncio.open_connection(
                    "127.0.0.1", port, ssl=tls, server_hostname=(server_name or "") if tls else None, limit=2**20
                )
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def request(
        self, method: str, target: str, host: str, headers: Headers = (), body: bytes | None = None
    ) -> Answer:
        """Send a request and read the whole answer."""
        self.ask(method, target, host, headers, body)
        return await self.answer(method)

    def ask(self, method: str, target: str, host: str, headers: Headers = (), body: bytes | None = None) -> None:
        """Send a request."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.say("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    async def answer(self, method: str = "GET") -> Answer:
        """Read one whole answer, with the 1xx before it. Raises Ended."""
        interim = []
        while (head := await self.head()).status < 200 and head.status != 101:
            interim.append(head)
        head.interim = interim
        if method != "HEAD" and head.status not in (101, 204, 304):
            head.body = await self.body(head)
        return head

    async def head(self) -> Answer:
        """Read one response head. Raises Ended."""
        try:
            async with asyncio.timeout(PATIENCE):
                raw = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Ended(getattr(error, "partial", b"")) from None
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ")
        assert version == "HTTP/1.1", first
        return Answer(int(status), [(name, value.strip()) for name, _, value in (x.partition(":") for x in lines)])

    async def body(self, head: Answer) -> bytes:
        """Read the body of a response. Raises Ended."""
        length = head.header("content-length")
        body = b""
        try:
            async with asyncio.timeout(PATIENCE):
                if (head.header("transfer-encoding") or "").lower() == "chunked":
                    assert length is None, "both lengths"
                    while chunk := await self._chunk():
                        body += chunk
                    return body
                if length is None:
                    return await self.reader.read()
                return await self.reader.readexactly(int(length))
        except asyncio.IncompleteReadError as error:
            raise Ended(body + error.partial) from None
        except OSError:
            raise Ended(body) from None

    async def _chunk(self) -> bytes:
        size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def until(self, wanted: bytes) -> bytes:
        """Read on until `wanted` has come. Raises Ended."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.reader.readuntil(wanted)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Ended(getattr(error, "partial", b"")) from None

    async def closed(self, within: float = PATIENCE) -> bytes:
        """Wait until the other side closes; what it still said. Raises TimeoutError."""
        said = b""
        async with asyncio.timeout(within):
            try:
                while data := await self.reader.read(2**16):
                    said += data
            except OSError:
                pass
        return said


def trusting(ca: str, cert: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """A client's TLS that trusts `ca`, perhaps with a certificate of its own."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False  # stories about names look at the certificate themselves
    if cert:
        context.load_cert_chain(cert, key)
    return context
