"""What the gateway answers itself: refusals and redirects."""

from __future__ import annotations

from collections.abc import Iterable
from http.client import responses
from typing import Literal

from proxy.net.downstream import Downstream
from proxy.web.refusals import Refusal, render

_PHRASES = {status: phrase.encode() for status, phrase in responses.items()}


def write_answer(
    connection: Downstream,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    *,
    keep: bool,
    head_only: bool = False,
) -> int:
    """Write a complete response; `headers` include Content-Length. Returns the number of body bytes written."""
    lines = [b"HTTP/1.1 %d %b" % (status, _PHRASES.get(status, b""))]
    lines += [name + b": " + value for name, value in headers]
    if not keep:
        lines.append(b"Connection: close")
    data = b"\r\n".join(lines) + b"\r\n\r\n"
    connection.write(data if head_only else data + body)
    return 0 if head_only else len(body)


def write_refusal(
    connection: Downstream,
    refusal: Refusal,
    *,
    want: Literal["html", "json"],
    keep: bool,
    head_only: bool = False,
) -> tuple[int, int]:
    """Write a refusal; returns its status and the number of body bytes."""
    status, headers, body = render(refusal, want=want)
    return status, write_answer(connection, status, headers, body, keep=keep, head_only=head_only)


def write_redirect(connection: Downstream, status: int, location: str, *, keep: bool) -> int:
    """Write a redirect that no cache keeps."""
    headers = (
        (b"Location", location.encode("ascii", "backslashreplace")),
        (b"Cache-Control", b"no-store"),
        (b"Content-Length", b"0"),
    )
    return write_answer(connection, status, headers, b"", keep=keep)
