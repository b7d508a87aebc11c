"""Field lines, as requests and responses both have them (RFC 9112 §5), classified once and remembered.

Browsers and apps repeat the same lines with every message: remembering what each means makes reading a head cheaper
than a parser that calls back for each field. What cannot be read in exactly one way raises `Malformed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from proxy.wire.fields import TOKEN, Field, valid_value

CHUNKED: Final = -1  # body length of a message in the chunked coding
UNTIL_CLOSE: Final = -2  # body length of a response that ends with its connection

_DIGITS = re.compile(rb"[0-9]{1,18}").fullmatch
_BARE_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])").search
_PASS: Final = int(Field.PASS)
_DROP: Final = int(Field.DROP)

_REMEMBER_LINES = 2048
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
    """Classifies field lines, remembering the ones without secrets. Bounded: 2048 lines of at most 512 bytes."""

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
        if field is Field.TRANSFER_ENCODING and b"\t" in rest:
            raise Malformed("a tab beside Transfer-Encoding, where readers disagree")  # llhttp: then not chunked
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


def find_field(lines: list[bytes], name: bytes) -> bytes | None:
    """The value of the field `name` (lower case) in normal field lines; repeated ones joined by `, `."""
    size = len(name)
    values = [line[size + 2 :] for line in lines if line[size : size + 1] == b":" and line[:size].lower() == name]
    return b", ".join(values) if values else None


def incomplete_is_malformed(buffer: bytes, start: int = 0) -> bool:
    """Whether a head that is not all there yet can already not become one (bare LF or CR, control bytes).

    Bytes before `start` have been looked at already.
    """
    return _BARE_CONTROL(buffer, start) is not None


def connection_tokens(value: bytes, before: frozenset[bytes] | None) -> frozenset[bytes]:
    tokens = frozenset(token for part in value.split(b",") if (token := part.strip(b" \t").lower()))
    if any(TOKEN(token) is None for token in tokens):
        raise Malformed("the Connection header is not a list of names")
    return tokens | before if before else tokens


def without_listed(lines: list[bytes], connection: frozenset[bytes]) -> list[bytes]:
    """The field lines that Connection does not name (RFC 9110 §7.6.1). Ours are written later: none can be listed."""
    listed = connection - {b"close", b"keep-alive", b"upgrade"}
    return [line for line in lines if line.partition(b":")[0].lower() not in listed] if listed else lines


def content_length(values: list[bytes]) -> int:
    if len(values) != 1:
        raise Malformed("several Content-Length headers")
    if _DIGITS(values[0]) is None:
        raise Malformed("Content-Length is not a number")
    return int(values[0])
