"""An app behind the proxy, on plain sockets, that writes down every request it gets and plays a part by path.

/download/N   N bytes            /stream   events until somebody hangs up     /ws     a WebSocket that echoes
/hold         waits for `gate`   /early    103 before 200                     else    what it was asked, as JSON
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BLOCK = bytes(range(256)) * 256


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass
class App:
    """`seen` are the requests so far, `open` the connections now, `hung_up` those that ended while we answered."""

    name: str = "app"
    seen: list[Seen] = field(default_factory=list)
    open: int = 0
    connections: int = 0
    hung_up: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    path: str = ""
    client_names: list[object] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"unix:{self.path}" if self.path else f"http://127.0.0.1:{self.port}"

    def last(self) -> Seen:
        assert self.seen, f"{self.name} was asked nothing"
        return self.seen[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.connections += 1
        certificate = writer.get_extra_info("peercert")
        self.client_names.append(certificate.get("subjectAltName") if certificate else None)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):  # the stage is struck
            while await self._one(reader, writer):
                pass
        self.open -= 1
        writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        seen = Seen(method, target, [(name, value.strip()) for name, _, value in (x.partition(":") for x in lines)])
        self.seen.append(seen)
        if seen.header("upgrade") and seen.path != "/deaf":
            return await self._websocket(seen, reader, writer)
        await self._read_body(seen, reader)
        part, _, rest = seen.path.strip("/").partition("/")
        play = getattr(self, f"_play_{part}", None)
        if play is None:
            self._say(writer, 200, json.dumps(self._told(seen)).encode(), method=method)
        else:
            try:
                await play(seen, rest, reader, writer)
            except OSError:
                self.hung_up += 1
                raise
        await writer.drain()
        return True

    async def _read_body(self, seen: Seen, reader: asyncio.StreamReader) -> None:
        if (seen.header("transfer-encoding") or "") == "chunked":
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                seen.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif length := seen.header("content-length"):
            seen.body = await reader.readexactly(int(length))

    def _told(self, seen: Seen) -> dict[str, object]:
        digest = hashlib.sha256(seen.body).hexdigest()
        return {
            "app": self.name,
            "method": seen.method,
            "target": seen.target,
            "headers": seen.headers,
            "size": len(seen.body),
            "sha256": digest,
        }

    def _say(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        body: bytes,
        *lines: str,
        method: str = "GET",
        kind: str = "json",
    ) -> None:
        head = [f"HTTP/1.1 {status} Said", f"Content-Type: application/{kind}", f"Content-Length: {len(body)}"]
        head += ["Server: app", "X-Kept: yes", *lines, "", ""]
        writer.write("\r\n".join(head).encode() + (b"" if method == "HEAD" else body))

    async def _play_download(self, seen: Seen, rest: str, _: object, writer: asyncio.StreamWriter) -> None:
        left = int(rest)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n".encode())
        while left:
            piece = BLOCK[: min(left, len(BLOCK))]
            writer.write(piece)
            await writer.drain()
            left -= len(piece)

    async def _play_stream(
        self, seen: Seen, rest: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        number = 0
        while True:
            number += 1
            event = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await self._unless_gone(reader, asyncio.sleep(0.02))

    async def _play_hold(
        self, seen: Seen, rest: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Sends `rest` bytes of an answer of twice that length, and the others when the gate opens."""
        size = int(rest or 0)
        if size:
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {2 * size}\r\n\r\n".encode() + b"a" * size)
        await self._unless_gone(reader, self.gate.wait())
        if size:
            writer.write(b"b" * size)
        else:
            self._say(writer, 200, b"{}")

    async def _unless_gone(self, reader: asyncio.StreamReader, work: object) -> None:
        """Wait for `work`; raises ConnectionResetError when the proxy hangs up before."""
        gone = asyncio.ensure_future(reader.read(1))
        done = asyncio.ensure_future(work)  # type: ignore[arg-type]  # any awaitable
        await asyncio.wait({gone, done}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            done.cancel()
            raise ConnectionResetError
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone

    async def _play_early(self, seen: Seen, rest: str, _: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        self._say(writer, 200, b"{}", method=seen.method)

    async def _play_bare(self, seen: Seen, rest: str, _: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * int(rest))
        await writer.drain()
        writer.close()
        raise asyncio.IncompleteReadError(b"", None)

    async def _play_cookie(self, seen: Seen, rest: str, _: object, writer: asyncio.StreamWriter) -> None:
        own, ours = "Set-Cookie: theme=dark; Path=/", "Set-Cookie: __Host-ostiary=stolen; Secure; Path=/"
        self._say(writer, 200, b"{}", own, ours, method=seen.method)

    async def _websocket(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Greets, then echoes raw bytes: what is in the frames is not the proxy's business."""
        key = (seen.header("sec-websocket-key") or "").encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        writer.write("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode() + b"hello.")
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
        return False


@contextlib.asynccontextmanager
async def serving(app: App, *, unix: str = "", tls: ssl.SSLContext | None = None) -> AsyncIterator[App]:
    """Run an app until the end of the block."""
    if unix:
        app.path = unix
        server = await asyncio.start_unix_server(app.serve, unix)
    else:
        server = await asyncio.start_server(app.serve, "127.0.0.1", app.port, ssl=tls, limit=2**20)
        app.port = server.sockets[0].getsockname()[1]
    try:
        yield app
    finally:
        server.close()
