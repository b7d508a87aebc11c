"""A reader of HTTP/1.1 for the tests, written from RFC 9112 alone: it shares no code with the proxy it judges.

It accepts only what a careful sender writes: one blank where one belongs, CRLF, plain chunk sizes, no extensions, no
trailers. What it cannot read that way raises `NotStrict`, so a test fails whenever something sloppy was forwarded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_VISIBLE = rb"[\x21-\x7e\x80-\xff]"
_FIELD = re.compile(
    rb"([!#$%%&'*+.^_`|~0-9A-Za-z-]+): ((?:%(v)s(?:[\t\x20-\x7e\x80-\xff]*%(v)s)?)?)" % {b"v": _VISIBLE}
)
_REQUEST_LINE = re.compile(rb"([A-Z-]+) (/[\x21-\x7e]*) HTTP/1\.1")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
_CHUNK = re.compile(rb"([1-9a-f][0-9a-f]*)\r\n")
_MEANS_NOTHING_TWICE = {b"set-cookie"}


class NotStrict(Exception):
    """Something no careful sender writes."""


@dataclass
class Message:
    """A request or a response. `framing` is none, length, chunked or close."""

    first: bytes
    fields: list[tuple[bytes, bytes]]
    framing: str = "none"
    body: bytes = b""
    complete: bool = False
    raw: bytes = b""
    connection: int = 0
    interim: list[bytes] = field(default_factory=list)
    needs: int = 0  # bytes, head and all, before it can be complete

    def values(self, name: str) -> list[bytes]:
        """The values of every field of this name, in any case."""
        wanted = name.lower().encode()
        return [value for known, value in self.fields if known.lower() == wanted]

    def aliases(self, name: str) -> list[bytes]:
        """The fields that some server reads as `name`: `_` and `.` count as `-`."""
        wanted = folded(name.encode())
        return [known for known, _ in self.fields if folded(known) == wanted]

    @property
    def target(self) -> str:
        """Of a request."""
        return self.first.split(b" ")[1].decode("latin-1")

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.first.split(b" ")[1])


def folded(name: bytes) -> bytes:
    """A field name as the most forgiving server reads it."""
    return re.sub(rb"[^a-z0-9]", b"-", name.lower())


def read_head(data: bytes, first: re.Pattern[bytes]) -> tuple[Message, int] | None:
    """The head at the start of `data` and its size; None when it is not all there."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    if first.fullmatch(lines[0]) is None:
        raise NotStrict(f"first line {lines[0]!r}")
    fields = []
    for line in lines[1:]:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise NotStrict(f"field line {line!r}")
        fields.append((match[1], match[2]))
    return Message(lines[0], fields), end + 4


def _framing(message: Message) -> tuple[str, int]:
    codings = message.values("transfer-encoding")
    lengths = message.values("content-length")
    if codings and lengths:
        raise NotStrict("both framings")
    if codings:
        if codings != [b"chunked"]:
            raise NotStrict(f"transfer coding {codings!r}")
        return "chunked", 0
    if lengths:
        if len(lengths) != 1 or re.fullmatch(rb"0|[1-9][0-9]*", lengths[0]) is None:
            raise NotStrict(f"lengths {lengths!r}")
        return "length", int(lengths[0])
    return "none", 0


def read_chunks(data: bytes) -> tuple[bytes, int, bool]:
    """(body, bytes used, complete) of a chunked body at the start of `data`."""
    body, at = b"", 0
    while True:
        if data.startswith(b"0\r\n\r\n", at):
            return body, at + 5, True
        if b"0\r\n\r\n".startswith(data[at:]):
            return body, at, False
        match = _CHUNK.match(data, at)
        if match is None:
            if b"\r\n" not in data[at : at + 20] and len(data) - at < 20:
                return body, at, False
            raise NotStrict(f"chunk size {data[at : at + 20]!r}")
        size = int(match[1], 16)
        start, stop = match.end(), match.end() + size
        if len(data) < stop + 2:
            return body + data[start:stop], at, False
        if data[stop : stop + 2] != b"\r\n":
            raise NotStrict(f"after a chunk {data[stop : stop + 2]!r}")
        body += data[start:stop]
        at = stop + 2


def read_request(data: bytes) -> tuple[Message, int] | None:
    """The request at the start of `data` and its size; None while the head is not all there; may be incomplete."""
    found = read_head(data, _REQUEST_LINE)
    if found is None:
        return None
    message, size = found
    message.framing, length = _framing(message)
    if message.framing == "chunked":
        message.body, used, message.complete = read_chunks(data[size:])
        size += used
    else:
        message.needs = size + length
        message.body = data[size : size + length]
        message.complete = len(message.body) == length
        size += len(message.body)
    message.raw = data[:size]
    return message, size


def read_response(data: bytes, method: str, *, closed: bool) -> tuple[Message, int] | None:
    """The final response at the start of `data`, interim ones before it noted; None while its head is not there."""
    at = 0
    interim = []
    while True:
        found = read_head(data[at:], _STATUS_LINE)
        if found is None:
            return None
        message, size = found
        if message.status >= 200 or message.status == 101:
            break
        interim.append(data[at : at + size])
        at += size
    message.interim = interim
    rest = data[at + size :]
    message.framing, length = _framing(message)
    bodiless = method == "HEAD" or message.status in (101, 204, 304)
    used = 0
    if bodiless:
        message.complete = True
    elif message.framing == "chunked":
        message.body, used, message.complete = read_chunks(rest)
    elif message.framing == "length":
        message.body = rest[:length]
        used = len(message.body)
        message.complete = used == length
    else:
        message.framing = "close"
        message.body, used, message.complete = rest, len(rest), closed
    message.raw = data[: at + size + used]
    return message, at + size + used
