"""Message bodies: the chunked transfer coding (RFC 9112 §7.1), read strictly and written plainly.

Chunk extensions and trailers are dropped; framing overhead has a budget, so that a body of one-byte chunks with long
extensions cannot make us work for nothing.
"""

from __future__ import annotations

import re

from proxy.wire.lines import Malformed

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*+"'
# RFC 9112 §7.1.1 without its blanks, which only confuse: llhttp refuses them as well.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;%(t)b(?:=(?:%(t)b|%(q)b))?)*+" % {b"t": _TOKEN, b"q": _QUOTED}).fullmatch
_TRAILER = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % _TOKEN).fullmatch
_MAX_LINE = 4096
_MAX_TRAILERS = 32 * 1024
_MAX_TRAILER_FIELDS = 100
_MAX_CHUNK = 1 << 40

LAST_CHUNK = b"0\r\n\r\n"


def encode_chunk(data: bytes) -> bytes:
    """One chunk holding `data` (not empty)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ChunkedReader:
    """Decodes a chunked body fed in pieces of any size.

    `feed` returns the data found; once `done`, `rest` holds the bytes after the body. `overhead` is the number of
    framing bytes allowed beyond twice the data. Raises Malformed.
    """

    __slots__ = ("_budget", "_buffer", "_left", "_state", "_trailer_fields", "_trailers", "done", "rest")

    def __init__(self, overhead: int = 16 * 1024) -> None:
        self.done = False
        self.rest = b""
        self._buffer = b""
        self._left = 0  # data bytes still to come in this chunk
        self._state = 0  # 0 size line, 1 data, 2 CRLF after data, 3 trailers
        self._budget = overhead
        self._trailers = 0  # bytes
        self._trailer_fields = 0

    def feed(self, data: bytes) -> bytes:
        """Decode; the result may be empty."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        out: list[bytes] = []
        position = 0
        end = len(data)
        while position < end or self._state == 1:
            if self._state == 1:
                take = min(self._left, end - position)
                if take == 0:
                    break
                out.append(data[position : position + take])
                position += take
                self._left -= take
                if self._left:
                    break
                self._state = 2
                continue
            stop = data.find(b"\r\n", position, position + _MAX_LINE + 2)
            if stop < 0:
                self._keep(data[position:])
                break
            line = data[position:stop]
            position = stop + 2
            if self._line(line):
                self.rest = data[position:]
                break
        return out[0] if len(out) == 1 else b"".join(out)

    def _keep(self, partial: bytes) -> None:
        """Hold a line that is not all there, unless it can no longer become one."""
        if len(partial) > _MAX_LINE:
            raise Malformed("a line of chunk framing is too long")
        body = partial[:-1] if partial.endswith(b"\r") else partial
        if b"\n" in body or b"\r" in body or (self._state == 2 and body):
            raise Malformed("bad line end in chunk framing")
        self._buffer = partial

    def _line(self, line: bytes) -> bool:
        """Take one framing line; True when it ends the body."""
        if self._state == 2:
            if line:
                raise Malformed("chunk data is longer than its size")
            self._state = 0
            return False
        if self._state == 3:
            return self._trailer(line)
        match = _SIZE(line)
        if match is None:
            raise Malformed("a chunk size is not a hexadecimal number")
        size = int(match[1], 16)
        if size > _MAX_CHUNK:
            raise Malformed("a chunk is too large")
        self._spend(len(line) + 4, size)
        self._left = size
        self._state = 1 if size else 3
        return False

    def _spend(self, framing: int, size: int) -> None:
        # Chunks of four bytes and more pay for themselves; a stream of smaller ones, or of extensions, runs dry.
        self._budget += 2 * size - framing
        if self._budget < 0:
            raise Malformed("too many bytes of chunk framing")

    def _trailer(self, line: bytes) -> bool:
        if not line:
            self.done = True
            return True
        self._trailers += len(line) + 2
        self._trailer_fields += 1
        if self._trailers > _MAX_TRAILERS or self._trailer_fields > _MAX_TRAILER_FIELDS:
            raise Malformed("too many trailers")
        if _TRAILER(line) is None:
            raise Malformed("a trailer is not `name: value`")
        return False
