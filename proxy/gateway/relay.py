"""Bytes both ways between a client and an app, once a request is admitted.

Everything is streamed: what one side does not take makes the other side wait. The app's connection is used for this
one exchange, and goes back to its pool only after a complete, well-formed response to a completely sent request.
"""

from __future__ import annotations

from time import monotonic

from proxy.gateway.plan import edited
from proxy.gateway.sending import Sending
from proxy.model.reasons import Reason
from proxy.sessions.cookie import set_cookie_strips
from proxy.wire.body import LAST_CHUNK, encode_chunk
from proxy.wire.response import ResponseHead
from proxy.wire.websocket import Frames, accept_for

_JOIN = 64 * 1024  # a body piece up to this size is copied behind its head, to leave in one write


class Relay(Sending):
    """The half that faces the client: the app's answer, flow control both ways, and deadlines."""

    __slots__ = ()

    # --- from the app

    def upstream_interim(self, head: ResponseHead) -> None:
        """102 and 103 pass on; the client's HTTP/1.0 would not know them."""
        if not self.head.old and not self.responded:
            lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason), *head.lines]
            self.connection.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def upstream_head(self, head: ResponseHead, data: bytes, done: bool) -> None:
        """The app answers: write its head anew, with what came of the body."""
        self.responded = True
        self.upstream_ms = (monotonic() - self.sent_at) * 1000
        self.status = head.status
        connection = self.connection
        if done:
            self.upstream = None
            if not self.request_done:
                self.keep = False  # an early answer: the rest of the body will not be read as a request
        if self.upgrading:
            self.keep = False  # bytes sent ahead belong to a protocol that did not begin
        plan = self.plan
        memo = head.memo
        if memo is not None and memo[0] is plan and memo[1] is self.keep and not self.head.old:
            out, self.chunking = memo[2], memo[3]
        else:
            out = self._response_head(head)
            if not self.head.old:
                head.memo = (plan, self.keep, out, self.chunking)
        if data:
            self.bytes_out += len(data)
            if self.chunking:
                data = encode_chunk(data)
            if len(data) <= _JOIN:
                out += data
                data = b""
        if done and self.chunking and not data:
            out += LAST_CHUNK
        connection.write(out)
        if data:
            connection.write(data)
            if done and self.chunking:
                connection.write(LAST_CHUNK)
        if done:
            self._finish()
        else:
            self._alive()

    def _response_head(self, head: ResponseHead) -> bytes:
        plan = self.plan
        lines = head.lines
        if plan.remove_from_response or plan.set_on_response:
            lines = edited(lines, plan.set_on_response, plan.remove_from_response)
        parts = [b"HTTP/1.1 %d %b" % (head.status, head.reason), *lines]
        if head.cookies:
            parts += [b"Set-Cookie: " + value for value in head.cookies if plan.control or not set_cookie_strips(value)]
        length = head.length
        if length >= 0:
            if head.status not in (204, 304) and self.head.method != "HEAD":
                parts.append(b"Content-Length: %d" % length)
        elif self.head.old:
            self.keep = False  # HTTP/1.0 knows the end of the body by the end of the connection
        else:
            self.chunking = True
            parts.append(b"Transfer-Encoding: chunked")
        if not self.keep:
            parts.append(b"Connection: close")
        parts.append(b"\r\n")
        return b"\r\n".join(parts)

    def upstream_data(self, data: bytes, done: bool) -> None:
        """More of the response, or raw bytes in a tunnel."""
        if self.tunnel:
            if done:
                self.end_tunnel()
            else:
                self.bytes_out += len(data)
                if self.frames_to_client is not None:
                    self.frames_to_client.feed(data)
                self.connection.write(data)
                self._alive()
            return
        self.bytes_out += len(data)
        if self.chunking:
            if data:
                data = encode_chunk(data)
            if done:
                data += LAST_CHUNK
        if done:
            self.upstream = None  # it may serve another already
        if data:
            self.connection.write(data)
        if done:
            if not self.request_done:
                self.keep = False
            self._finish()
        else:
            self._alive()

    def upstream_switched(self, head: ResponseHead, data: bytes) -> None:
        """101 Switching Protocols: check that it is the switch the client asked for, then relay raw bytes."""
        if not self._switch_is_right(head):
            self.drop_upstream()
            self.fail(Reason.UPSTREAM_INVALID, "the app’s 101 does not answer the upgrade")
            return
        self.responded = self.tunnel = True
        self.keep = False
        self.status = 101
        self.upstream_ms = (monotonic() - self.sent_at) * 1000
        lines = [b"HTTP/1.1 101 Switching Protocols", *head.lines]
        lines += [b"Set-Cookie: " + value for value in head.cookies if not set_cookie_strips(value)]
        lines += [b"Connection: Upgrade", b"Upgrade: " + head.upgrade, b"\r\n"]
        self.connection.tunnel = True
        self.connection.write(b"\r\n".join(lines) + data)
        self.bytes_out += len(data)
        if head.upgrade.lower() == b"websocket":
            self.frames_to_app = Frames()
            self.frames_to_client = Frames()
            self.frames_to_client.feed(data)
        self.tunnel_begun()
        early = self.connection.take_early_bytes()
        if early:
            self.request_data(early)
        self._alive()

    def _switch_is_right(self, head: ResponseHead) -> bool:
        wanted = self.head.fields.upgrade.lower()
        if head.old or head.upgrade.lower() != wanted or head.connection is None or b"upgrade" not in head.connection:
            return False
        if wanted != b"websocket":
            return True
        key = self.head.field(b"sec-websocket-key") or b""
        return head.field(b"sec-websocket-accept") == accept_for(key)

    def tunnel_begun(self) -> None:
        """An upgrade succeeded."""

    # --- flow control

    def upstream_paused(self) -> None:
        """The app reads slower than the client sends."""
        self.connection.hold_body()
        self.connection.deadline = self._bounded(self.plan.route.timeouts.idle)

    def upstream_resumed(self) -> None:
        """It caught up."""
        self.connection.want_body()

    def client_paused(self) -> None:
        """The client reads slower than the app sends."""
        if self.upstream is not None:
            self.upstream.hold()

    def client_resumed(self) -> None:
        """It caught up."""
        if self.upstream is not None:
            self.upstream.read_on()
            self._alive()

    # --- deadlines, and a client that leaves

    def overdue(self, now: float) -> None:
        """A deadline has passed: whose it was decides what is said."""
        if self.over:
            return
        if self.connection.transport.get_write_buffer_size() and self.responded:
            self._break()
        elif self.responded:
            if self.tunnel:
                self.end_tunnel()
            else:
                self._break()
        elif not self.request_done and now < self.connection.latest and not self.connection.held():
            self.drop_upstream()
            self.fail(Reason.REQUEST_TIMEOUT)
        else:
            self.drop_upstream()
            self._count_failure("timeout")
            self.fail(Reason.UPSTREAM_TIMEOUT)

    def client_gone(self) -> None:
        """The client is gone: so is its request."""
        if not self.over:
            self.drop_upstream()
            self.over = True
            self.complete(self.status)
