"""Connections to one address: kept while idle, bounded in number, queued for when all are busy."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from proxy.upstream.connection import Receiver, UpstreamConnection
from proxy.upstream.origin import Origin, context_of
from proxy.upstream.peer_identity import WrongPeer, check_spiffe_id

_log = logging.getLogger("ostiary.upstream")

_IDLE_SECONDS = 50.0  # below the keep-alive of common servers (60–75 s), so that we are the one who closes
_QUEUE_PER_CONNECTION = 4


class Pool:
    """The connections of one worker to one origin.

    `take` answers at once with an idle connection, or None; then `connect` makes one, or queues for one, and tells the
    receiver (`upstream_connected`, or `upstream_failed` with unreachable, timeout or busy). `failures` counts connects
    in a row that failed, for the target's passive health.
    """

    def __init__(self, origin: Origin, limit: int, clock: Callable[[], float]) -> None:
        self.origin = origin
        self.limit = limit
        self.failures = 0
        self.ejected_until = 0.0
        self.live: set[UpstreamConnection] = set()
        self._connecting = 0
        self.closed = False
        self._idle: list[UpstreamConnection] = []
        self._waiting: deque[tuple[Receiver, float]] = deque()
        self._clock = clock
        self._context: ssl.SSLContext | None = (
            context_of(origin.tls, origin.authorities) if origin.tls is not None else None
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        busy = f"{self.count}/{self.limit} idle={len(self._idle)} waiting={len(self._waiting)}"
        return f"<Pool {self.origin.text} {busy}>"

    @property
    def count(self) -> int:
        """Connections open or being opened."""
        return self._connecting + len(self.live)

    def take(self) -> UpstreamConnection | None:
        """The idle connection used last, which is the least likely to be stale."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
        return None

    def connect(self, receiver: Receiver, seconds: float) -> None:
        """Make a connection for `receiver`, or queue it; `seconds` covers the TLS handshake too."""
        if self.count < self.limit:
            self._connecting += 1
            task = asyncio.get_running_loop().create_task(self._open(receiver, seconds))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif len(self._waiting) < self.limit * _QUEUE_PER_CONNECTION:
            self._waiting.append((receiver, self._clock() + seconds))
        else:
            receiver.upstream_failed("busy", False)

    def forget(self, receiver: Receiver) -> None:
        """`receiver` no longer waits."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not receiver)

    async def _open(self, receiver: Receiver, seconds: float) -> None:
        origin = self.origin
        loop = asyncio.get_running_loop()
        server_name = (origin.tls.server_name or origin.host) if origin.tls is not None else None
        kind = ""
        try:
            async with asyncio.timeout(seconds):
                if origin.path:
                    _, made = await loop.create_unix_connection(self._new, origin.path)
                else:
                    _, made = await loop.create_connection(
                        self._new, origin.host, origin.port, ssl=self._context, server_hostname=server_name
                    )
                    self._check_peer(made)
        except TimeoutError:
            kind = "timeout"
        except (OSError, ssl.SSLError, ValueError):
            kind = "unreachable"
        except WrongPeer as why:
            kind = "unreachable"
            made.drop()
            if self.failures == 0:  # once in a row of failures
                _log.warning("upstream %s is not used: %s", origin.text, why)
        finally:
            self._connecting -= 1
        if kind:
            self.failures += 1
            receiver.upstream_failed(kind, False)
            self._serve_next()
            return
        self.failures = 0
        if self.closed:
            made.drop()
            receiver.upstream_failed("unreachable", False)
        else:
            receiver.upstream_connected(made)

    def _check_peer(self, made: UpstreamConnection) -> None:
        """Before a byte is sent: is it who it should be? Raises WrongPeer."""
        tls = self.origin.tls
        if tls is not None and tls.spiffe_id is not None:
            check_spiffe_id(made.transport.get_extra_info("ssl_object").getpeercert(True), tls.spiffe_id)

    def _new(self) -> Any:  # an asyncio protocol by its methods
        return UpstreamConnection(self)

    def give_back(self, connection: UpstreamConnection) -> None:
        """A connection has finished a response and may serve again."""
        self.failures = 0
        if self.closed:
            connection.drop()
        elif self._waiting:
            self._waiting.popleft()[0].upstream_connected(connection)
        else:
            connection.idle_since = self._clock()
            self._idle.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self.live.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._serve_next()

    def _serve_next(self) -> None:
        if self._waiting and self.count < self.limit:
            receiver, until = self._waiting.popleft()
            self.connect(receiver, max(0.1, until - self._clock()))

    def tick(self, now: float) -> None:
        """Close what has been idle for long, give up on who has waited too long."""
        keep: list[UpstreamConnection] = []
        for connection in self._idle:
            if now - connection.idle_since > _IDLE_SECONDS or not connection.usable():
                connection.drop()
            else:
                keep.append(connection)
        self._idle = keep
        while self._waiting and self._waiting[0][1] < now:
            self._waiting.popleft()[0].upstream_failed("busy", False)

    def close(self) -> None:
        """Close the idle ones now and the others when they finish."""
        self.closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.drop()
