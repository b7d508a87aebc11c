"""Where the body of a request ends, as its bytes come in."""

from __future__ import annotations

from proxy.wire.body import ChunkedReader
from proxy.wire.lines import CHUNKED


class Intake:
    """The body of one request after another on a connection.

    `open` while body bytes are still to come. `take` returns the data in a piece of input; what stands behind the body
    is then in `rest`.
    """

    __slots__ = ("_left", "_reader", "open", "rest")

    def __init__(self) -> None:
        self.open = False
        self.rest = b""
        self._left = 0
        self._reader: ChunkedReader | None = None

    def begin(self, length: int, chunk_overhead: int) -> None:
        """A request with a body of `length` bytes (or CHUNKED) has begun."""
        self.open = length != 0
        self.rest = b""
        self._left = length
        self._reader = ChunkedReader(chunk_overhead) if length == CHUNKED else None

    def take(self, data: bytes) -> bytes:
        """The body bytes at the front of `data`. Raises Malformed, after which the body is over."""
        reader = self._reader
        if reader is None:
            left = self._left
            if len(data) > left:
                data, self.rest = data[:left], data[left:]
            self._left = left - len(data)
            self.open = self._left != 0
            return data
        self.open = False
        found = reader.feed(data)
        self.open = not reader.done
        if reader.done:
            self.rest = reader.rest
            self._reader = None
        return found
