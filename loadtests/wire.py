"""HTTP/1.1 as our own load generators speak it: requests as bytes, answers with a Content-Length, checked strictly."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from pathlib import Path

from loadtests.processes import CorrectnessError
from loadtests.shapes import Shape

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+) *(?:\r\n|$)", re.IGNORECASE)
WEBSOCKET_KEY = base64.b64encode(b"sixteen byte key")


def request(shape: Shape, authority: str, cookie: str, body: bytes = b"") -> bytes:
    """One request of a shape as bytes, in the order wrk sends fields."""
    fields = {"Host": authority, **shape.headers, "Cookie": cookie}
    if body:
        fields |= {"Content-Type": "application/octet-stream", "Content-Length": str(len(body))}
    method = "POST" if body else "GET"
    lines = [f"{method} {shape.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def handshake(authority: str, cookie: str, origin: str, path: str = "/ws") -> bytes:
    """A WebSocket opening handshake (RFC 6455 §4.1) as a page of `origin` makes it."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nOrigin: {origin}\r\nCookie: {cookie}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {WEBSOCKET_KEY.decode()}\r\n\r\n"
    ).encode()


def head_of(data: bytes) -> tuple[int, int, int] | None:
    """`(status, length of the head, length of the body)` once the head is complete. Raises CorrectnessError."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end]
    status, length = _STATUS.match(head), _LENGTH.search(head)
    if status is None or (length is None and status[1] not in (b"101", b"204")):
        raise CorrectnessError(f"an answer without status or Content-Length: {head[:300]!r}")
    return int(status[1]), end + 4, int(length[1]) if length else 0


def client_context(ca: Path, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """TLS as a careful client: verified against `ca`; `pair` is our own certificate and key."""
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["http/1.1"])
    if pair is not None:
        context.load_cert_chain(str(pair[0]), str(pair[1]))
    return context


def connect(
    port: int, host: str, context: ssl.SSLContext | None, source: str = "127.0.0.1", timeout: float = 20
) -> socket.socket:
    """A connection to 127.0.0.1, TLS when there is a context, with `host` as SNI."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain if context is None else context.wrap_socket(plain, server_hostname=host)


def receive(connection: socket.socket, held: bytes = b"") -> tuple[int, bytes, bytes]:
    """Read one whole answer: `(status, head with its blank line, body)`. Raises CorrectnessError when cut short."""
    found = head_of(held)
    data = bytearray(held)
    while found is None or len(data) < found[1] + found[2]:
        chunk = connection.recv(262_144)
        if not chunk:
            raise CorrectnessError(f"the connection ended after {len(data)} bytes of an answer: {bytes(data[:200])!r}")
        data += chunk
        if found is None:
            found = head_of(bytes(data))
    status, head, length = found
    if len(data) > head + length:
        raise CorrectnessError(f"{len(data) - head - length} bytes after the end of an answer")
    return status, bytes(data[:head]), bytes(data[head:])
