"""How a tunnel is ended from outside: a WebSocket is told why, both ways, if that can be said between two frames."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from proxy.wire.lines import Malformed
from proxy.wire.websocket import GOING_AWAY, POLICY_VIOLATION, Frames, close_frame

if TYPE_CHECKING:
    from proxy.gateway.http import HttpExchange
    from proxy.model.reasons import Reason
    from proxy.net.downstream import Downstream

_SECONDS = 1.0  # for the client to answer a Close


def part(exchange: HttpExchange, reason: Reason) -> None:
    """End this tunnel now. The app hears 1001 (the client is gone), the client 1008 (policy violation) and the reason's
    code (RFC 6455 §7.4.1); whoever is in the middle of a frame, or does not read, is hung up on."""
    to_app, to_client = exchange.frames_to_app, exchange.frames_to_client
    upstream, exchange.upstream = exchange.upstream, None
    if upstream is not None:
        if to_app is not None and to_app.between():
            upstream.part(close_frame(GOING_AWAY, mask=os.urandom(4)))  # §5.3: not to be foreseen
        else:
            upstream.drop()
    connection = exchange.connection
    if to_app is None or to_client is None or not to_client.between() or _unread(connection):
        connection.abort()
        return
    connection.write(close_frame(POLICY_VIOLATION, reason.value))
    connection.exchange = Farewell(connection, to_app)
    connection.deadline = connection.ticker.now + _SECONDS


def _unread(connection: Downstream) -> bool:
    return connection.transport.is_closing() or connection.transport.get_write_buffer_size() > 0


class Farewell:
    """Waits a moment for the client's Close, so that ours is not lost to a reset (§7.1.1); the rest is not read."""

    __slots__ = ("connection", "frames")

    def __init__(self, connection: Downstream, frames: Frames) -> None:
        self.connection = connection
        self.frames = frames
        if frames.closing:
            connection.close()

    def begin(self) -> None:
        """Nothing begins."""

    def request_data(self, data: bytes) -> None:
        """Bytes for an app that does not get them any more."""
        self.frames.feed(data)
        if self.frames.closing or self.frames.broken:
            self.connection.close()

    def request_end(self) -> None:
        """The client will send no more."""
        self.connection.close()

    def request_malformed(self, mistake: Malformed) -> None:
        """Cannot be: a tunnel has no framing of ours."""
        del mistake
        self.connection.abort()

    def client_gone(self) -> None:
        """The client has closed the connection."""

    def client_paused(self) -> None:
        """Nothing is sent any more."""

    def client_resumed(self) -> None:
        """Nothing is sent any more."""

    def overdue(self, now: float) -> None:
        """The client did not answer."""
        del now
        self.connection.abort()
