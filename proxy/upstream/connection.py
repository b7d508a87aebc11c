"""One HTTP/1.1 connection to an app.

An app is trusted no more than a client when it comes to framing: what does not parse in one way, or comes unasked, is
an error, and the connection is never used again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from proxy.wire.body import ChunkedReader
from proxy.wire.lines import CHUNKED, UNTIL_CLOSE, Malformed
from proxy.wire.response import ResponseHead, parse_response_head

if TYPE_CHECKING:
    from proxy.upstream.pool import Pool

_MAX_HEAD = 64 * 1024
_MAX_INTERIM = 16
_REPEATED_HEAD = 4096
_CHUNK_OVERHEAD = 1 << 40  # an app may send what it says in chunks as small as it likes


class Receiver(Protocol):
    """Who asked: told everything that becomes of the request, in order."""

    def upstream_interim(self, head: ResponseHead) -> None:
        """A 1xx response other than 100 and 101."""

    def upstream_head(self, head: ResponseHead, data: bytes, done: bool) -> None:
        """The response head with the first body bytes; `done` when that is all."""

    def upstream_data(self, data: bytes, done: bool) -> None:
        """More body; `done` with the last of it (perhaps empty)."""

    def upstream_switched(self, head: ResponseHead, data: bytes) -> None:
        """101: from now on both sides are raw bytes; `data` came right behind."""

    def upstream_failed(self, kind: str, untouched: bool) -> None:
        """No (complete) response: `kind` is unreachable, timeout, busy, closed or invalid; `untouched` when not a
        byte of an answer was seen on a connection that had served before, so it may just have been stale."""

    def upstream_connected(self, connection: UpstreamConnection) -> None:
        """The connection asked for is there."""

    def upstream_paused(self) -> None:
        """The app reads slower than we send."""

    def upstream_resumed(self) -> None:
        """It caught up."""


class UpstreamConnection:
    """A connection that carries one request at a time for the `Receiver` it was started for.

    An asyncio protocol by its methods; not a subclass, so that it can be compiled.
    """

    __slots__ = (
        "_buffer",
        "_held",
        "_interim",
        "_keep",
        "_known",
        "_left",
        "_method",
        "_reader",
        "_state",
        "_touched",
        "_upgrading",
        "idle_since",
        "pool",
        "receiver",
        "sending",
        "served",
        "transport",
        "write",
    )

    IDLE: Final = 0
    HEAD: Final = 1
    BODY: Final = 2
    TUNNEL: Final = 3
    DEAD: Final = 4

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.receiver: Receiver | None = None
        self.served = 0
        self.idle_since = 0.0
        self.sending = False  # the request body is still being sent
        self._state = self.IDLE
        self._buffer = b""
        self._method = ""
        self._left = 0
        self._reader: ChunkedReader | None = None
        self._keep = True
        self._upgrading = False
        self._held = False  # reading is paused
        self._interim = 0  # 1xx responses so far
        self._touched = False  # something of an answer has come
        self._known: tuple[bytes, bool, ResponseHead] | None = None

    def __repr__(self) -> str:
        state = ("idle", "waiting", "receiving", "tunnel", "dead")[self._state]
        return f"<UpstreamConnection {self.pool.origin.text} {state} served={self.served}>"

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there (after TLS, if any)."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream transport by construction
        self.write = self.transport.write
        self.pool.live.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the app."""
        state = self._state
        try:
            if state == self.HEAD:
                self._head(data)
            elif state == self.BODY:
                self._body(data)
            elif state == self.TUNNEL:
                self.receiver.upstream_data(data, False)  # type: ignore[union-attr]  # a tunnel has one
            else:
                self.drop()  # bytes nobody asked for
        except Malformed:
            self._fail("invalid")

    def eof_received(self) -> bool | None:
        """The app will send no more."""
        if self._state == self.BODY and self._left == UNTIL_CLOSE:
            self._keep = False
            self._finish(b"")
        elif self._state == self.TUNNEL:
            self.receiver.upstream_data(b"", True)  # type: ignore[union-attr]
            return True
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.pool.lost(self)
        if self._state == self.BODY and self._left == UNTIL_CLOSE and exc is None:
            self._finish(b"")
        elif self._state == self.TUNNEL:
            receiver, self.receiver = self.receiver, None
            self._state = self.DEAD
            receiver.upstream_failed("closed", False)  # type: ignore[union-attr]
        elif self.receiver is not None:
            self._fail("closed")
        self._state = self.DEAD

    def pause_writing(self) -> None:
        """Our send buffer is full."""
        if self.receiver is not None:
            self.receiver.upstream_paused()

    def resume_writing(self) -> None:
        """It has room again."""
        if self.receiver is not None:
            self.receiver.upstream_resumed()

    # --- for the exchange

    def start(self, receiver: Receiver, method: str, head: bytes, *, sending: bool, upgrading: bool) -> None:
        """Send a request head (with what body there is); `sending` when body bytes will follow through `write`."""
        self.receiver = receiver
        self.sending = sending
        self._method = method
        self._upgrading = upgrading
        self._touched = False
        self._interim = 0
        self._state = self.HEAD
        self.write(head)

    def hold(self) -> None:
        """Read no more for now: the client is slower than the app."""
        if not self._held and self.receiver is not None:
            self._held = True
            self.transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        if self._held:
            self._held = False
            self.transport.resume_reading()

    def sent(self) -> None:
        """The whole request has been written."""
        self.sending = False

    def drop(self) -> None:
        """Close at once; whoever asked is not told (they do the dropping)."""
        self.receiver = None
        self._state = self.DEAD
        self.transport.abort()

    def part(self, last_words: bytes) -> None:
        """Say this and close, without waiting for an answer; whoever asked is told no more. An app that does not read
        is left without a word."""
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.drop()
            return
        self.receiver = None
        self._state = self.DEAD
        self.write(last_words)
        self.transport.close()

    def usable(self) -> bool:
        """Whether it may carry another request."""
        return self._state == self.IDLE and not self.transport.is_closing()

    # --- reading

    def _head(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        self._touched = True
        while True:
            end = buffer.find(b"\r\n\r\n", 0, _MAX_HEAD)
            if end < 0:
                if len(buffer) > _MAX_HEAD:
                    raise Malformed("the response head is too large")
                self._buffer = buffer
                return
            head = self._read(buffer[:end])
            buffer = buffer[end + 4 :]
            if head.status >= 200:
                break
            if head.status == 101:
                self._switch(head, buffer)
                return
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise Malformed("too many interim responses")
            if head.status != 100:
                self.receiver.upstream_interim(head)  # type: ignore[union-attr]  # HEAD state has a receiver
                if self._state != self.HEAD:  # dropped meanwhile
                    return
        self._buffer = b""
        self._begin_body(head, buffer)

    def _read(self, block: bytes) -> ResponseHead:
        """Read a head, unless it is byte for byte the one before on this connection."""
        about_body = self._method == "HEAD"
        known = self._known
        if known is not None and known[0] == block and known[1] is about_body:
            return known[2]
        head = parse_response_head(block, self._method)
        self._known = (block, about_body, head) if len(block) <= _REPEATED_HEAD and not head.cookies else None
        return head

    def _begin_body(self, head: ResponseHead, data: bytes) -> None:
        self._keep = head.keep_alive and not self._upgrading
        self._left = left = head.length
        done = False
        if left >= 0:
            if len(data) > left:
                raise Malformed("bytes after the end of the response")
            self._left = left - len(data)
            done = self._left == 0
        elif left == CHUNKED:
            self._reader = ChunkedReader(_CHUNK_OVERHEAD)
            data = self._reader.feed(data)
            done = self._chunked_done()
        receiver = self.receiver
        if done:
            self._release()
        else:
            self._state = self.BODY
        receiver.upstream_head(head, data, done)  # type: ignore[union-attr]  # HEAD state has a receiver

    def _body(self, data: bytes) -> None:
        left = self._left
        if left > 0:
            if len(data) < left:
                self._left = left - len(data)
                self.receiver.upstream_data(data, False)  # type: ignore[union-attr]
                return
            self._keep = self._keep and len(data) == left
            self._finish(data[:left])
        elif left == CHUNKED:
            data = self._reader.feed(data)  # type: ignore[union-attr]  # set with CHUNKED
            if self._chunked_done():
                self._finish(data)
            elif data:
                self.receiver.upstream_data(data, False)  # type: ignore[union-attr]
        else:
            self.receiver.upstream_data(data, False)  # type: ignore[union-attr]

    def _chunked_done(self) -> bool:
        reader = self._reader
        if reader is None or not reader.done:
            return False
        if reader.rest:
            self._keep = False
            if self._state == self.HEAD:
                raise Malformed("bytes after the end of the response")
        return True

    def _switch(self, head: ResponseHead, data: bytes) -> None:
        if not self._upgrading:
            raise Malformed("a 101 nobody asked for")
        self._state = self.TUNNEL
        self._buffer = b""
        self.receiver.upstream_switched(head, data)  # type: ignore[union-attr]

    def _finish(self, data: bytes) -> None:
        receiver = self.receiver
        self._release()
        receiver.upstream_data(data, True)  # type: ignore[union-attr]

    def _release(self) -> None:
        """The response is complete: back to the pool, or away."""
        self.receiver = None
        self._reader = None
        self.served += 1
        self.read_on()  # whoever has it next must hear the app
        if self._keep and not self.sending:
            self._state = self.IDLE
            self.pool.give_back(self)
        else:
            self._state = self.DEAD
            self.transport.close()

    def _fail(self, kind: str) -> None:
        receiver = self.receiver
        untouched = self.served > 0 and not self._touched
        self.drop()
        if receiver is not None:
            receiver.upstream_failed(kind, untouched)
