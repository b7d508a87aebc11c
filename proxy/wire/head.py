"""HTTP/1.1 message heads (RFC 9112 §2–5), read strictly and whole.

A head is read only once all of it is there, so it means the same whole, byte by byte or behind another message. Each
field line is classified once and remembered: browsers and apps repeat the same lines with every message, which makes
this reader cheaper than one that calls back for each field. What cannot be read in exactly one way raises `Malformed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from proxy.wire.fields import TOKEN, Field, request_field, response_field, valid_value

CHUNKED: Final = -1  # body length of a message in the chunked coding
UNTIL_CLOSE: Final = -2  # body length of a response that ends with its connection

_METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}").fullmatch
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_DIGITS = re.compile(rb"[0-9]{1,18}").fullmatch
_BARE_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])").search
_PASS: Final = int(Field.PASS)
_DROP: Final = int(Field.DROP)

_REMEMBER_LINES = 4096
_REMEMBER_BYTES = 512
# Lines with these names are read anew each time: what may hold a secret is never kept.
_SECRET = frozenset((b"cookie", b"set-cookie", b"authorization", b"proxy-authorization", b"x-api-key", b"x-auth-token"))


class Malformed(Exception):
    """A message that breaks the grammar. `status` is what its sender should be told (400, 431 or 501)."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class Lines:
    """Classifies field lines, remembering the ones without secrets. Bounded: 4096 lines of at most 512 bytes."""

    def __init__(self, field_of: Callable[[bytes], Field]) -> None:
        self._field_of = field_of
        # line → PASS, DROP, or (field, value)
        self.seen: dict[bytes, int | tuple[int, bytes]] = {}

    def classify(self, line: bytes) -> int | tuple[int, bytes]:
        """What one field line means. Raises Malformed (RFC 9112 §5.1: no blank before the colon, no folding)."""
        name, colon, rest = line.partition(b":")
        if not colon or TOKEN(name) is None:
            raise Malformed("a header line is not `name: value`")
        if not valid_value(rest):
            raise Malformed("a header value holds a control character")
        value = rest.strip(b" \t")
        field = self._field_of(name)
        meaning: int | tuple[int, bytes]
        if field is Field.DROP:
            meaning = _DROP
        elif field is not Field.PASS:
            meaning = (int(field), value)
        elif len(rest) == len(value) + 1 and rest[:1] == b" ":
            meaning = _PASS
        else:
            meaning = (int(Field.REWRITTEN), name + b": " + value)
        if len(line) <= _REMEMBER_BYTES and name.lower() not in _SECRET:
            if len(self.seen) >= _REMEMBER_LINES:
                self.seen.clear()
            self.seen[line] = meaning
        return meaning


_REQUEST_LINES = Lines(request_field)
_RESPONSE_LINES = Lines(response_field)


class Fields:
    """The fields of one request head: a pure function of their bytes, shared by requests that repeat them.

    `lines` are the field lines that pass on (`name: value`, no CRLF), in the order received. Nothing in it changes;
    `memo` is a place for the gateway to remember what follows from these fields alone.
    """

    __slots__ = (
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


def find_field(lines: list[bytes], name: bytes) -> bytes | None:
    """The value of the field `name` (lower case) in normal field lines; repeated ones joined by `, `."""
    size = len(name)
    values = [line[size + 2 :] for line in lines if line[size : size + 1] == b":" and line[:size].lower() == name]
    return b", ".join(values) if values else None


def incomplete_is_malformed(buffer: bytes) -> bool:
    """Whether a head that is not all there yet can already not become one (bare LF or CR, control bytes)."""
    return _BARE_CONTROL(buffer) is not None


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
    known = _REQUEST_LINES.seen.get
    lengths: list[bytes] = []
    codings: list[bytes] = []
    host: bytes | None = None
    for line in lines:
        meaning = known(line)
        if meaning is None:
            meaning = _REQUEST_LINES.classify(line)
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
        _drop_listed(fields)
    return fields


def _read_request_field(fields: Fields, field: int, value: bytes, lengths: list[bytes], codings: list[bytes]) -> None:
    if field == Field.COOKIE:
        fields.cookies = (*fields.cookies, value)
    elif field == Field.REWRITTEN:
        fields.lines.append(value)
    elif field == Field.CONNECTION:
        fields.connection = _tokens(value, fields.connection)
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


def _tokens(value: bytes, before: frozenset[bytes] | None) -> frozenset[bytes]:
    tokens = frozenset(token for part in value.split(b",") if (token := part.strip(b" \t").lower()))
    if any(TOKEN(token) is None for token in tokens):
        raise Malformed("the Connection header is not a list of names")
    return tokens | before if before else tokens


def _drop_listed(head: Fields | ResponseHead) -> None:
    """Remove the fields that Connection names (RFC 9110 §7.6.1). Ours are written afterwards, so none can be listed."""
    listed = (head.connection or frozenset()) - {b"close", b"keep-alive", b"upgrade"}
    if listed:
        head.lines = [line for line in head.lines if line.partition(b":")[0].lower() not in listed]
        if isinstance(head, Fields) and b"cookie" in listed:
            head.cookies = ()


def _content_length(values: list[bytes]) -> int:
    if len(values) != 1:
        raise Malformed("several Content-Length headers")
    if _DIGITS(values[0]) is None:
        raise Malformed("Content-Length is not a number")
    return int(values[0])


def _request_length(lengths: list[bytes], codings: list[bytes]) -> int:
    """Where the body ends (RFC 9112 §6.3), refusing everything two readers could see differently (§11.2)."""
    if not codings:
        return _content_length(lengths)
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
    known = _RESPONSE_LINES.seen.get
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for line in lines:
        meaning = known(line)
        if meaning is None:
            meaning = _RESPONSE_LINES.classify(line)
        if meaning == 0:
            keep.append(line)
        elif meaning != 1:
            field, value = meaning  # type: ignore[misc]  # 0 and 1 are handled above
            _read_response_field(head, field, value, lengths, codings)
    head.length = _response_length(head, lengths, codings, request_method)
    if head.connection is not None:
        _drop_listed(head)
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
        head.connection = _tokens(value, head.connection)
    elif field == Field.TRANSFER_ENCODING:
        codings.append(value)
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
        length = _content_length(lengths)
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
