"""The half of a relay that faces the app: finding a connection, sending the request, trying again, giving up."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, cast

from proxy.gateway.stamp import request_head
from proxy.model.reasons import Reason
from proxy.net.ticker import NEVER
from proxy.wire.body import LAST_CHUNK, encode_chunk
from proxy.wire.lines import CHUNKED, Malformed

if TYPE_CHECKING:
    from proxy.gateway.plan import RoutePlan
    from proxy.net.downstream import Downstream
    from proxy.upstream.connection import Receiver, UpstreamConnection
    from proxy.upstream.pool import Pool
    from proxy.wire.request import RequestHead
    from proxy.wire.websocket import Frames

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))  # RFC 9110 §9.2.2
_REASON = {
    "unreachable": Reason.UPSTREAM_UNREACHABLE,
    "closed": Reason.UPSTREAM_UNREACHABLE,
    "timeout": Reason.UPSTREAM_TIMEOUT,
    "busy": Reason.OVERLOADED,
    "invalid": Reason.UPSTREAM_INVALID,
}


class Sending:
    """Sends an admitted request to an app. `relay.Relay` adds the way back, `http.HttpExchange` the decision."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "chunking",
        "connection",
        "early",
        "frames_to_app",
        "frames_to_client",
        "head",
        "keep",
        "over",
        "plan",
        "pool",
        "request_done",
        "responded",
        "sent_at",
        "status",
        "tried",
        "tunnel",
        "upgrading",
        "upstream",
        "upstream_ms",
    )

    bytes_in: int  # body bytes from the client
    bytes_out: int  # body bytes to the client
    chunking: bool  # the response body goes out in chunks
    connection: Downstream
    early: list[bytes]  # body that came before there was a connection to the app
    frames_to_app: Frames | None  # of a WebSocket
    frames_to_client: Frames | None
    head: RequestHead
    keep: bool  # the client's connection may carry another request
    over: bool
    plan: RoutePlan
    pool: Pool | None
    request_done: bool  # the request body is complete
    responded: bool  # a response head has been written
    sent_at: float  # monotonic; 0 before the request was sent
    status: int
    tried: tuple[Pool, ...]  # that could not be connected to
    tunnel: bool  # an upgrade succeeded
    upgrading: bool  # an upgrade was asked for, and may be granted
    upstream: UpstreamConnection | None
    upstream_ms: float

    # --- what the deciding half provides

    def fail(self, reason: Reason, note: str = "") -> None:
        """Answer with a refusal; only before a response has begun."""
        raise NotImplementedError

    def complete(self, status: int) -> None:
        """The exchange is over: record it."""
        raise NotImplementedError

    def broken(self) -> None:
        """Something of ours broke: refuse, whatever it was."""
        raise NotImplementedError

    # --- the request

    def forward(self) -> None:
        """Find a connection to the app and send the request on it."""
        target = self.plan.target
        pool = self.pool = target.pick(self.tried) if target is not None else None
        if pool is None:
            self.fail(Reason.UPSTREAM_UNAVAILABLE)
            return
        ready = pool.take()
        if ready is not None:
            self.upstream_connected(ready)
            return
        self._wait_for_upstream(pool)

    def _wait_for_upstream(self, pool: Pool) -> None:
        if self.connection.body_incomplete():
            self.connection.hold_body()
        self.sent_at = 0.0
        pool.connect(self._receiver(), self.plan.route.timeouts.connect)

    def upstream_connected(self, connection: UpstreamConnection) -> None:
        """A connection is there: send the head and whatever came of the body meanwhile."""
        if self.over:
            connection.pool.give_back(connection)
            return
        self.upstream = connection
        sending = not self.request_done
        try:
            head = request_head(self, connection.pool.origin.authority)  # type: ignore[arg-type]  # we are the exchange
        except Exception:  # noqa: BLE001  # we may be called by the pool, which must not fall with one exchange
            self.upstream = None
            connection.pool.give_back(connection)
            self.broken()
            return
        self.sent_at = monotonic()
        connection.start(self._receiver(), self.head.method, head, sending=sending, upgrading=self.upgrading)
        chunked = self.head.fields.length == CHUNKED
        for data in self.early:
            connection.write(encode_chunk(data) if chunked else data)
        self.early.clear()
        if chunked and self.request_done:
            connection.write(LAST_CHUNK)
        elif sending and self.head.fields.continues and not self.bytes_in and not self.head.old:
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if sending:
            self.connection.want_body()
        else:
            self._await_response()

    def request_data(self, data: bytes) -> None:
        """Body bytes from the client, or raw bytes in a tunnel."""
        self.bytes_in += len(data)
        upstream = self.upstream
        if self.tunnel:
            if upstream is not None:
                if self.frames_to_app is not None:
                    self.frames_to_app.feed(data)
                upstream.write(data)
                self._alive()
            return
        limit = self.plan.body_limit
        if limit is not None and self.bytes_in > limit:
            self._too_large()
        elif upstream is not None:
            upstream.write(encode_chunk(data) if self.head.fields.length == CHUNKED else data)
        elif not self.over:
            self.early.append(data)
            self.connection.hold_body()

    def _too_large(self) -> None:
        if self.over:
            return
        if self.responded:
            self._break()
        else:
            self.drop_upstream()
            self.fail(Reason.BODY_TOO_LARGE)

    def request_end(self) -> None:
        """The body is complete, or in a tunnel the client will send no more."""
        upstream = self.upstream
        if self.tunnel:
            if upstream is not None and upstream.transport.can_write_eof():
                upstream.transport.write_eof()
            elif upstream is not None:
                self.end_tunnel()
            return
        self.request_done = True
        if upstream is not None:
            if self.head.fields.length == CHUNKED:
                upstream.write(LAST_CHUNK)
            upstream.sent()
            if not self.responded:
                self._await_response()

    def request_malformed(self, mistake: Malformed) -> None:
        """The client broke the framing of its body: the app must not take what came for a whole."""
        self.drop_upstream()
        if self.responded or self.over:
            self._break()
        else:
            self.fail(Reason.BAD_REQUEST, mistake.why)

    def _receiver(self) -> Receiver:
        return cast("Receiver", self)  # with the methods of `relay.Relay`, which every exchange has

    def drop_upstream(self) -> None:
        """Let go of the app's connection, or of the wish for one."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.drop()
        elif self.pool is not None:
            self.pool.forget(self._receiver())

    def upstream_failed(self, kind: str, untouched: bool) -> None:
        """The app failed us: try again where that is safe, else say so."""
        self.upstream = None
        if self.over:
            return
        pool = self.pool
        if self.responded:
            self._count_failure(kind)
            if self.tunnel:
                self.end_tunnel()
            else:
                self._break()
            return
        if untouched and self._may_repeat():
            self._wait_for_upstream(pool)  # type: ignore[arg-type]  # it was sent on a connection of this pool
            return
        self._count_failure(kind)
        if (
            kind in ("unreachable", "timeout")
            and not self.sent_at
            and pool is not None
            and self.plan.target is not None
        ):
            # Not a byte of the request was sent: another upstream may have it.
            self.plan.target.failed(pool)
            self.tried = (*self.tried, pool)
            if self.plan.target.pick(self.tried) is not None:
                self.forward()
                return
        self.fail(_REASON[kind])

    def _may_repeat(self) -> bool:
        """Whether sending the request a second time does no harm, on a fresh connection after a stale one."""
        return self.head.method in _IDEMPOTENT and self.head.fields.length == 0 and not self.upgrading

    def _count_failure(self, kind: str) -> None:
        """For the metrics."""

    # --- deadlines and ends

    def _await_response(self) -> None:
        self.connection.deadline = self._bounded(self.plan.route.timeouts.response)

    def _alive(self) -> None:
        """Something moved: the idle deadline starts anew, unless the client's own deadline for the body is on."""
        if (self.request_done or self.tunnel) and not self.connection.stalled:
            self.connection.deadline = self._bounded(self.plan.route.timeouts.idle)

    def _bounded(self, seconds: float) -> float:
        return min(self.connection.ticker.now + seconds, self.connection.latest)

    def end_tunnel(self) -> None:
        """One side is through: close both, after what is written has left."""
        if not self.over:
            self.over = True
            self.drop_upstream()
            self.complete(self.status)
            self.connection.finished(keep=False)

    def _finish(self) -> None:
        """A complete response has been written."""
        self.over = True
        self.connection.deadline = NEVER
        self.complete(self.status)
        self.connection.finished(self.keep)

    def _break(self) -> None:
        """The response cannot be completed: cut the connection, so that the client knows."""
        if not self.over:
            self.over = True
            self.drop_upstream()
            self.complete(self.status)
            self.connection.abort()
