"""Response heads (RFC 9112 §4–6), read as strictly as requests: an app is trusted no more when it comes to framing."""

from __future__ import annotations

import re
from typing import Any

from proxy.wire.fields import Field, response_field
from proxy.wire.lines import (
    CHUNKED,
    UNTIL_CLOSE,
    Lines,
    Malformed,
    connection_tokens,
    content_length,
    find_field,
    without_listed,
)

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_LINES = Lines(response_field)


class ResponseHead:
    """A response head from an upstream. `lines` as in RequestHead; `length` may be UNTIL_CLOSE."""

    __slots__ = ("connection", "cookies", "length", "lines", "memo", "old", "reason", "status", "upgrade")

    def __init__(self, status: int, reason: bytes, old: bool) -> None:
        self.status = status
        self.reason = reason
        self.old = old
        self.lines: list[bytes] = []
        self.cookies: list[bytes] = []  # Set-Cookie values
        self.connection: frozenset[bytes] | None = None
        self.length = UNTIL_CLOSE
        self.upgrade = b""
        self.memo: Any = None  # as in Fields

    @property
    def keep_alive(self) -> bool:
        """Whether the upstream keeps the connection open."""
        return not self.old and (self.connection is None or b"close" not in self.connection)

    def field(self, name: bytes) -> bytes | None:
        """As `RequestHead.field`."""
        return find_field(self.lines, name)


def parse_response_head(data: bytes, request_method: str, max_fields: int = 200) -> ResponseHead:
    """Read a response head: `data` is everything before the empty line. `request_method` decides about the body."""
    first, *lines = data.split(b"\r\n")
    if len(lines) > max_fields:
        raise Malformed("too many header fields")
    match = _STATUS_LINE(first)
    if match is None:
        raise Malformed("the status line is not `HTTP/1.1 200 reason`")
    status = int(match[2])
    head = ResponseHead(status, match[3] or b"", match[1] == b"0")
    keep = head.lines
    known = _LINES.seen.get
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for line in lines:
        meaning = known(line)
        if meaning is None:
            meaning = _LINES.classify(line)
        if meaning == 0:
            keep.append(line)
        elif meaning != 1:
            field, value = meaning  # type: ignore[misc]  # 0 and 1 are handled above
            _read_response_field(head, field, value, lengths, codings)
    head.length = _response_length(head, lengths, codings, request_method)
    if head.connection is not None:
        head.lines = without_listed(head.lines, head.connection)
    return head


def _read_response_field(
    head: ResponseHead, field: int, value: bytes, lengths: list[bytes], codings: list[bytes]
) -> None:
    if field == Field.CONTENT_LENGTH:
        lengths.append(value)
    elif field == Field.SET_COOKIE:
        head.cookies.append(value)
    elif field == Field.REWRITTEN:
        head.lines.append(value)
    elif field == Field.CONNECTION:
        head.connection = connection_tokens(value, head.connection)
    elif field == Field.TRANSFER_ENCODING:
        codings.append(value)
    elif head.upgrade:
        raise Malformed("two Upgrade headers")
    else:
        head.upgrade = value


def _response_length(head: ResponseHead, lengths: list[bytes], codings: list[bytes], method: str) -> int:
    """RFC 9112 §6.3 for responses, as strict as for requests."""
    length = UNTIL_CLOSE
    if codings:
        if lengths:
            raise Malformed("Content-Length together with Transfer-Encoding")
        if head.old or len(codings) != 1 or codings[0].lower() != b"chunked":
            raise Malformed("Transfer-Encoding is not exactly `chunked`")
        length = CHUNKED
    elif lengths:
        length = content_length(lengths)
    status = head.status
    if status < 200 or status == 204:
        if codings or (lengths and length != 0):
            raise Malformed("a body announced where none can be")
        return 0
    if status == 304 or method == "HEAD":
        # The length describes what GET would have sent: it is passed on, the body is not there.
        if lengths:
            head.lines.append(b"Content-Length: %d" % length)
        return 0
    return length
