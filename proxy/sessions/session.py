"""What a session is, and the one function that says whether it still stands. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

from proxy.model.device import Bound
from proxy.model.identity import Identity
from proxy.model.reasons import Reason

# A stored `last_seen` may lag behind by the second in which another worker gathers its writes, and some.
SEEN_LAG = 2.0
# Small steps of the clock (NTP) are no reason to refuse a session that was made a moment ago.
CLOCK_STEP = 60.0

_HANDLE = re.compile(rb"[A-Za-z0-9_-]{43}")


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One login as it is stored. Times are seconds since the epoch.

    `tokens` are the provider's tokens, sealed (`service.Sessions.tokens` opens them); empty when there are none or the
    session has ended. `refresh_at` is `inf` when nothing is to be refreshed. `ended` is None while the session lives,
    then the reason it ended for. `device` says which device the session is tied to; None for none.
    """

    sid: str
    identity: Identity
    provider: str
    provider_sid: str
    created: float
    authenticated_at: float
    expires: float
    last_seen: float
    refresh_at: float
    tokens: bytes = b""
    ended: Reason | None = None
    ended_at: float | None = None
    device: Bound | None = None


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A record without its tokens, and the app hosts it has been handed to, sorted."""

    record: SessionRecord
    hosts: tuple[str, ...]


class SessionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something every worker must act on. `id` grows; a store sets it.

    `ended`: forget the session and cut its streams. `changed`: read it again. `handles`: it lives on, its old handles
    do not. `device`: something is known anew of the device whose id is in `sid`. `reset`: the store is not the one the
    reader knew (replaced, restored, or events were deleted before they were read): verify everything.
    """

    kind: Literal["ended", "changed", "handles", "device", "reset"]
    sid: str = ""  # of the session; for `device`, the id of the device
    reason: Reason = Reason.SESSION_REVOKED
    at: float = 0.0
    id: int = 0


def standing(record: SessionRecord, *, now: float, idle: float, lifetime: float) -> Reason | None:
    """None while the session stands, else SESSION_EXPIRED or SESSION_REVOKED.

    `idle` and `lifetime` are the present settings, in seconds: shortening them also shortens sessions that exist.
    """
    if record.ended is not None:
        return gone_reason(record.ended)
    if now >= deadline(record, lifetime) or now < record.created - CLOCK_STEP:
        return Reason.SESSION_EXPIRED
    if now - record.last_seen >= idle + SEEN_LAG:
        return Reason.SESSION_EXPIRED
    return None


def deadline(record: SessionRecord, lifetime: float) -> float:
    """When the session ends whatever happens, seconds since the epoch."""
    return min(record.expires, record.created + lifetime)


def gone_reason(ended: Reason) -> Reason:
    """What a person is told about a session that ended for this reason: it expired, or somebody ended it."""
    return Reason.SESSION_EXPIRED if ended is Reason.SESSION_EXPIRED else Reason.SESSION_REVOKED


def well_formed(handle: bytes) -> bool:
    """Could this be one of our handles: 256 bits in base64url without padding?"""
    return _HANDLE.fullmatch(handle) is not None


def hashed(handle: bytes) -> bytes:
    """What the store keeps of a handle. A handle has 256 random bits: a plain SHA-256 cannot be searched backwards."""
    return hashlib.sha256(handle).digest()
