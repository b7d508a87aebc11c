"""One HTTP/1.1 connection from a client.

Reads one request at a time: what a client sends ahead waits, bounded, in the buffer and then in the kernel. A head is
handed over whole; a body piece by piece, as fast as the taker wants it. Every phase has a deadline, and every buffer a
bound, from `Limits`. What the request means is the door's business.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.net.door import Door, Exchange
from proxy.net.intake import Intake
from proxy.net.ticker import NEVER, Ticker
from proxy.settings.schema import Limits
from proxy.wire.lines import Malformed, incomplete_is_malformed
from proxy.wire.request import Fields, RequestHead, parse_fields, request_head

_LINGER_SECONDS = 3.0
_SLOWEST_BODY = 1024.0  # bytes per second that keep an upload alive in the long run
_WRITE_BUFFER = 256 * 1024
_EMPTY_LINES = 4
_REPEATED_BLOCK = 4096  # longer field blocks are not kept for comparison

_FOR_PIPELINE, _FOR_TAKER = 1, 2  # why reading is paused


class Downstream:
    """See the module. An asyncio protocol by its methods; not a subclass, so that it can be compiled.

    `deadline` is set by whichever phase is on: head, body, linger here; the rest by the exchange.
    """

    __slots__ = (
        "_block",
        "_buffer",
        "_empty_lines",
        "_fields",
        "_intake",
        "_lingering",
        "_paused",
        "_reading",
        "_scanned",
        "address",
        "closing",
        "deadline",
        "door",
        "exchange",
        "half_closed",
        "latest",
        "limits",
        "scratch",
        "ssl_object",
        "stalled",
        "ticker",
        "transport",
        "tunnel",
        "write",
    )

    def __init__(self, door: Door, limits: Limits, ticker: Ticker, address: str) -> None:
        self.door = door
        self.limits = limits
        self.ticker = ticker
        self.address = address  # textual IP address of the peer
        self.deadline = NEVER
        self.exchange: Exchange | None = None
        self.tunnel = False  # an upgrade succeeded: raw bytes both ways
        self.closing = False
        self.latest = NEVER  # no deadline of the exchange is later than this
        self.stalled = False  # the client reads slower than we write
        self.half_closed = False
        self.ssl_object: Any = None
        self.scratch: Any = None  # the door's notes about this connection
        self._empty_lines = 0  # before the next request
        self._scanned = 0  # bytes of a head that is not all there; its deadline runs
        self._block = b""
        self._fields: Fields | None = None
        self._buffer = b""
        self._intake = Intake()
        self._reading = False  # inside _heads: no recursion
        self._paused = 0
        self._lingering = 0  # body bytes that may still be thrown away

    def __repr__(self) -> str:
        return f"<Downstream {self.address} body={self._intake.open} exchange={self.exchange!r}>"

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake, if any, is done."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream transport by construction
        self.write = self.transport.write
        self.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self.ssl_object = transport.get_extra_info("ssl_object")
        self.ticker.watched.add(self)
        self.deadline = self.ticker.now + self.limits.header_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.ticker.watched.discard(self)
        self.closing = True
        exchange, self.exchange = self.exchange, None
        self._buffer = b""
        if exchange is not None:
            exchange.client_gone()
        self.door.closed(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.tunnel:
            if self.exchange is not None:
                self.exchange.request_data(data)
        elif self._intake.open:
            rest = self._body_piece(data)
            if rest and not self.closing:
                self.data_received(rest)
        elif self.exchange is None:
            self._heads(self._buffer + data if self._buffer else data)
        else:
            self._buffer += data
            if len(self._buffer) > self.limits.pipeline_bytes:
                self._pause(_FOR_PIPELINE)

    def eof_received(self) -> bool:
        """The client will send no more. An answer on its way is still delivered (RFC 9112 §9.6)."""
        over_tls = self.ssl_object is not None  # there is no half-closed TLS: the rest closes as well
        if self.tunnel and self.exchange is not None:
            self.exchange.request_end()
            return not over_tls
        self.half_closed = True
        return self.exchange is not None and not self._intake.open and not over_tls

    def pause_writing(self) -> None:
        """Our send buffer is full."""
        if self.exchange is not None:
            self.exchange.client_paused()
        self.stalled = True
        self.deadline = min(self.ticker.now + self.limits.write_stall, self.latest)

    def resume_writing(self) -> None:
        """It has room again."""
        self.stalled = False
        if self.exchange is not None:
            self.deadline = self.latest
            self.exchange.client_resumed()
        elif not self.closing:
            self.deadline = self.ticker.now + self.limits.keepalive

    # --- reading

    def _heads(self, buffer: bytes) -> None:
        """Read requests from `buffer` until one is not answered at once."""
        self._reading = True
        while buffer and self.exchange is None and not self.closing:
            if buffer[:1] == b"\r" and buffer[:2] in (b"\r", b"\r\n"):
                # RFC 9112 §2.2: an empty line before a request is ignored
                if len(buffer) < 2:
                    break
                self._empty_lines += 1
                if self._empty_lines > _EMPTY_LINES:
                    self._refuse(Malformed("empty lines in place of a request"))
                    break
                buffer = buffer[2:]
                self._scanned = 0
                continue
            end = buffer.find(b"\r\n\r\n", 0, self.limits.header_bytes + 4)
            if end < 0:
                self._incomplete(buffer)
                break
            try:
                head = self._head(buffer, end)
            except Malformed as mistake:
                self._refuse(mistake)
                break
            buffer = self._request(head, buffer[end + 4 :])
        self._reading = False
        self._buffer = b"" if self.closing else buffer
        if len(self._buffer) > self.limits.pipeline_bytes and self.exchange is not None:
            self._pause(_FOR_PIPELINE)

    def _head(self, buffer: bytes, end: int) -> RequestHead:
        """Read the head that ends at `end`. Clients repeat themselves: fields that are, byte for byte, those of the
        request before on this connection are not read again."""
        line_end = buffer.find(b"\r\n", 0, end)
        if line_end < 0:
            return request_head(buffer[:end], parse_fields(b""))
        block = buffer[line_end + 2 : end]
        fields = self._fields
        if fields is None or block != self._block:
            fields = parse_fields(block, self.limits.header_fields)
            if len(block) <= _REPEATED_BLOCK:
                self._block, self._fields = block, fields
        return request_head(buffer[:line_end], fields)

    def _request(self, head: RequestHead, rest: bytes) -> bytes:
        """Begin one exchange; returns the bytes that belong to later requests."""
        self.deadline = self.latest = NEVER
        self._scanned = 0
        self._empty_lines = 0
        length = head.fields.length
        piece = b""
        if length:
            intake = self._intake
            intake.begin(length, self.limits.chunk_overhead)
            try:
                # What came with the head is read first: if it is no body, nothing of the request goes anywhere.
                piece = intake.take(rest) if rest else b""
            except Malformed as mistake:
                self._refuse(mistake)
                return b""
            rest = intake.rest
        exchange = self.exchange = self.door.open(self, head)
        exchange.begin()
        if length and self.exchange is exchange:
            self._deliver(exchange, piece)
            if self._intake.open and not self._paused:
                self._expect_body()
        return rest

    def _deliver(self, exchange: Exchange, piece: bytes) -> None:
        if piece:
            exchange.request_data(piece)
        if not self._intake.open and self.exchange is exchange:
            exchange.request_end()

    def _incomplete(self, buffer: bytes) -> None:
        if len(buffer) > self.limits.header_bytes:
            self._refuse(Malformed("the request head is too large", 431))
        elif incomplete_is_malformed(buffer, max(0, self._scanned - 1)):
            self._refuse(Malformed("bad line end or control character"))
        else:
            if not self._scanned:
                self.deadline = self.ticker.now + self.limits.header_timeout
            self._scanned = len(buffer)

    def _refuse(self, mistake: Malformed) -> None:
        self.closing = True  # nothing behind a broken head can be understood
        self.door.refuse(self, mistake)

    def _body_piece(self, data: bytes) -> bytes:
        """Take body bytes from the front of `data`; returns what is behind the body."""
        exchange, intake = self.exchange, self._intake
        if exchange is None:
            self._throw_away(data)
            return b""
        try:
            piece = intake.take(data)
        except Malformed as mistake:
            self.closing = True
            exchange.request_malformed(mistake)
            return b""
        if intake.open:
            self._credit(len(data))
        else:
            self.deadline = self.latest
        self._deliver(exchange, piece)
        return intake.rest

    def _throw_away(self, data: bytes) -> None:
        """Drop what is left of a body that nobody wants; where it ends, the wait for it ends too."""
        self._lingering -= len(data)
        try:
            self._intake.take(data)
        except Malformed:
            self._lingering = -1
        if self._lingering < 0:
            self.abort()
        elif not self._intake.open:
            self.transport.close()

    def _expect_body(self) -> None:
        self.deadline = min(self.ticker.now + self.limits.body_stall, self.latest)

    def _credit(self, size: int) -> None:
        """Body bytes have come: they buy time, so that what stays too slow on the whole runs out of it."""
        if not self._paused:
            earned = min(self.deadline + size / _SLOWEST_BODY, self.ticker.now + self.limits.body_stall)
            self.deadline = min(earned, self.latest)

    # --- for the exchange

    def body_incomplete(self) -> bool:
        """Whether request body bytes are still to come."""
        return self._intake.open

    def held(self) -> bool:
        """Whether reading is paused because the taker of the body asked for it."""
        return bool(self._paused & _FOR_TAKER)

    def hold_body(self) -> None:
        """Read no more body for now."""
        self._pause(_FOR_TAKER)
        if self._intake.open:
            self.deadline = self.latest

    def want_body(self) -> None:
        """Read on."""
        self._resume(_FOR_TAKER)
        if self._intake.open:
            self._expect_body()

    def finished(self, keep: bool) -> None:
        """The answer is written; `keep` the connection for another request if everything else allows it."""
        self.exchange = None
        if not keep or self.half_closed or self.closing or self._intake.open:
            self.close()
            return
        self.deadline = self.ticker.now + (self.limits.write_stall if self.stalled else self.limits.keepalive)
        if self._paused:
            self._resume(_FOR_PIPELINE | _FOR_TAKER)
        if self._buffer and not self._reading:
            self._heads(self._buffer)

    def close(self) -> None:
        """Close once everything written is sent. Body bytes under way are read and dropped for a moment, so that the
        answer is not lost to a connection reset (RFC 9112 §9.6)."""
        self.closing = True
        if self._intake.open and not self.half_closed and not self.transport.is_closing():
            self._lingering = self.limits.drain_bytes
            self.deadline = self.ticker.now + _LINGER_SECONDS
            self._resume(_FOR_PIPELINE | _FOR_TAKER)
            return
        self.deadline = self.ticker.now + self.limits.write_stall
        self.transport.close()

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        self.closing = True
        self.transport.abort()

    def take_early_bytes(self) -> bytes:
        """What the client sent ahead of the answer to its upgrade."""
        early, self._buffer = self._buffer, b""
        self._resume(_FOR_PIPELINE | _FOR_TAKER)
        return early

    # --- deadlines

    def overdue(self, now: float) -> None:
        """Called by the ticker."""
        if self.closing or (self.stalled and self.exchange is None):
            self.abort()
        elif self.exchange is not None:
            self.exchange.overdue(now)
        elif self._buffer:
            self._refuse(Malformed("the request head took too long", 408))
        else:
            self.close()

    def _pause(self, why: int) -> None:
        if not self._paused:
            self.transport.pause_reading()
        self._paused |= why

    def _resume(self, why: int) -> None:
        before = self._paused
        self._paused &= ~why
        if before and not self._paused and not self.transport.is_closing():
            self.transport.resume_reading()
