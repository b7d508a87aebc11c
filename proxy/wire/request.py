"""Request heads (RFC 9112 §2–6), read strictly and whole.

A head is read only once all of it is there, so it means the same whole, byte by byte or behind another message.
"""

from __future__ import annotations

import re
from typing import Any

from proxy.wire.fields import TOKEN, Field, request_field
from proxy.wire.lines import CHUNKED, Lines, Malformed, connection_tokens, content_length, find_field, without_listed

_METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}").fullmatch
_LINES = Lines(request_field)


class Fields:
    """The fields of one request head: a pure function of their bytes, shared by requests that repeat them.

    `lines` are the field lines that pass on (`name: value`, no CRLF), in the order received. Nothing in it changes;
    `memo` is a place for the gateway to remember what follows from these fields alone.
    """

    __slots__ = (
        "authorization",
        "close",
        "coded",
        "connection",
        "continues",
        "cookies",
        "forwarded_for",
        "host",
        "length",
        "lines",
        "memo",
        "upgrade",
    )

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.host: bytes = b""
        self.authorization: bytes | None = None  # the only one; its line is among `lines` as well
        self.cookies: tuple[bytes, ...] = ()
        self.connection: frozenset[bytes] | None = None  # lower-case tokens; None when the field is absent
        self.close = False  # the client wants the connection closed afterwards
        self.coded = False  # a Transfer-Encoding is there
        self.length = 0  # bytes of body, or CHUNKED
        self.continues = False  # Expect: 100-continue
        self.upgrade = b""
        self.forwarded_for = b""  # every X-Forwarded-For, joined; only for configured proxies to be believed
        self.memo: Any = None

    def field(self, name: bytes) -> bytes | None:
        """The value of the passing field of this lower-case name; None if absent; values joined if repeated."""
        return find_field(self.lines, name)


class RequestHead:
    """A request head: the request line and the fields."""

    __slots__ = ("fields", "method", "old", "target")

    def __init__(self, method: str, target: bytes, old: bool, fields: Fields) -> None:
        self.method = method
        self.target = target
        self.old = old  # HTTP/1.0, whose connections are never kept
        self.fields = fields

    def field(self, name: bytes) -> bytes | None:
        """As `Fields.field`."""
        return find_field(self.fields.lines, name)


def parse_request_head(data: bytes, max_fields: int = 100) -> RequestHead:
    """Read a request head: `data` is everything before the empty line. Raises Malformed."""
    line, _, block = data.partition(b"\r\n")
    return request_head(line, parse_fields(block, max_fields))


def request_head(line: bytes, fields: Fields) -> RequestHead:
    """Put a request line and fields together. Raises Malformed."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise Malformed("the request line is not `METHOD target HTTP/1.1`")
    method, target, version = parts
    old = version != b"HTTP/1.1"
    if old and version != b"HTTP/1.0":
        raise Malformed("the HTTP version is neither 1.1 nor 1.0")
    if old and fields.coded:
        raise Malformed("Transfer-Encoding in HTTP/1.0")
    if not target:
        raise Malformed("the request line has no target")
    return RequestHead(_METHODS.get(method) or _method(method), target, old, fields)


_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


def _method(method: bytes) -> str:
    if _METHOD(method) is None:
        raise Malformed("the method is not an upper-case word")
    return method.decode("ascii")


def parse_fields(block: bytes, max_fields: int = 100) -> Fields:
    """Read the field lines of a request, separated by CRLF. Raises Malformed."""
    lines = block.split(b"\r\n") if block else []
    if len(lines) > max_fields:
        raise Malformed("too many header fields", 431)
    fields = Fields()
    keep = fields.lines
    known = _LINES.seen.get
    lengths: list[bytes] = []
    codings: list[bytes] = []
    host: bytes | None = None
    for line in lines:
        meaning = known(line)
        if meaning is None:
            meaning = _LINES.classify(line)
        if meaning == 0:
            keep.append(line)
        elif meaning != 1:
            field, value = meaning  # type: ignore[misc]  # 0 and 1 are handled above
            if field == Field.HOST:
                if host is not None:
                    raise Malformed("two Host headers")
                host = value
            else:
                _read_request_field(fields, field, value, lengths, codings)
    if host is None:
        raise Malformed("no Host header")
    fields.host = host
    if lengths or codings:
        fields.coded = bool(codings)
        fields.length = _request_length(lengths, codings)
    if fields.connection is not None:
        fields.close = b"close" in fields.connection
        fields.lines = without_listed(keep, fields.connection)
        if b"cookie" in fields.connection:
            fields.cookies = ()
        if b"authorization" in fields.connection:
            fields.authorization = None
    return fields


def _read_request_field(fields: Fields, field: int, value: bytes, lengths: list[bytes], codings: list[bytes]) -> None:
    if field == Field.COOKIE:
        fields.cookies = (*fields.cookies, value)
    elif field == Field.REWRITTEN:
        fields.lines.append(value)
    elif field == Field.AUTHORIZATION:
        if fields.authorization is not None:
            raise Malformed("several Authorization headers")
        fields.authorization = value
        fields.lines.append(b"Authorization: " + value)
    elif field == Field.CONNECTION:
        fields.connection = connection_tokens(value, fields.connection)
    elif field == Field.CONTENT_LENGTH:
        lengths.append(value)
    elif field == Field.TRANSFER_ENCODING:
        codings.append(value)
    elif field == Field.EXPECT:
        if value.lower() != b"100-continue" or fields.continues:
            raise Malformed("unknown expectation", 417)
        fields.continues = True
    elif field == Field.UPGRADE:
        if fields.upgrade:
            raise Malformed("two Upgrade headers")
        fields.upgrade = value
    else:
        fields.forwarded_for = fields.forwarded_for + b", " + value if fields.forwarded_for else value


def _request_length(lengths: list[bytes], codings: list[bytes]) -> int:
    """Where the body ends (RFC 9112 §6.3), refusing everything two readers could see differently (§11.2)."""
    if not codings:
        return content_length(lengths)
    if lengths:
        raise Malformed("Content-Length together with Transfer-Encoding")
    if len(codings) != 1:
        raise Malformed("several Transfer-Encoding headers")
    coding = codings[0].lower()
    if coding == b"chunked":
        return CHUNKED
    words = [word.strip(b" \t") for word in coding.split(b",")]
    if (
        len(words) > 1
        and words[-1] == b"chunked"
        and all(TOKEN(word) for word in words)
        and b"chunked" not in words[:-1]
    ):
        raise Malformed("a transfer coding besides chunked", 501)
    raise Malformed("Transfer-Encoding is not exactly `chunked`")
