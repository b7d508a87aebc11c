"""A session as a worker holds it in memory."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord, deadline


class Stream(Protocol):
    """An open exchange of a session: a request in flight, a WebSocket, an event stream, a transfer."""

    def cut(self, reason: Reason, /) -> None:
        """End it now. Called on the event loop; must not block."""


class Gone(msgspec.Struct, frozen=True):
    """There is no session behind this handle: SESSION_EXPIRED, SESSION_REVOKED or LOGIN_REQUIRED (unknown here)."""

    reason: Reason


LOGIN_REQUIRED = Gone(Reason.LOGIN_REQUIRED)
GONE: dict[Reason, Gone] = {
    Reason.LOGIN_REQUIRED: LOGIN_REQUIRED,
    Reason.SESSION_EXPIRED: Gone(Reason.SESSION_EXPIRED),
    Reason.SESSION_REVOKED: Gone(Reason.SESSION_REVOKED),
}


class LiveSession:
    """One session in this worker. There is at most one object per session, shared by all its handles.

    Add an exchange to `streams` in the same turn of the loop in which `cached` or `load` gave you the session, and
    discard it when the exchange is over. `scratch` is the gateway's: it is cleared whenever the identity
    or the device it is tied to changes.
    `ended` is the reason once the session is over; whoever waited in between looks at it before acting.
    """

    __slots__ = (
        "__weakref__",
        "ended",
        "ended_at",
        "expires_at",
        "handles",
        "identity",
        "last_seen",
        "record",
        "refresh_at",
        "scratch",
        "sid",
        "streams",
        "touching",
        "written",
    )

    def __init__(self, record: SessionRecord, lifetime: float) -> None:
        self.sid: str = record.sid
        self.record = record
        self.identity: Identity = record.identity
        self.expires_at: float = deadline(record, lifetime)
        self.last_seen: float = record.last_seen
        self.refresh_at: float = record.refresh_at
        self.streams: set[Stream] = set()
        self.scratch: dict[Any, Any] = {}
        self.ended: Reason | None = None
        self.ended_at = 0.0  # when its end was decided, seconds since the epoch
        self.handles: set[bytes] = set()
        self.touching = False  # a write of last_seen is due or was made within the last interval
        self.written: float = record.last_seen  # the last_seen the store has from us

    def apply(self, record: SessionRecord, lifetime: float) -> None:
        """Take over what another worker, or this one, has just stored."""
        if record.identity != self.identity:
            self.scratch.clear()
            self.identity = record.identity
        elif record.device != self.record.device:
            self.scratch.clear()
        self.record = record
        self.expires_at = deadline(record, lifetime)
        self.refresh_at = record.refresh_at

    def __repr__(self) -> str:
        state = self.ended.value if self.ended else "live"
        return f"<LiveSession {self.sid} {state} streams={len(self.streams)} expires_at={self.expires_at:.0f}>"
