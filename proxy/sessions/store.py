"""The contract every session store keeps, and the one place that opens them.

A store is dumb: it knows rows and times, not what a valid session is. All its methods are coroutines that never block
the event loop, and each raises StoreUnavailable when it cannot do its work; nothing is then half done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from proxy.model.reasons import Reason
from proxy.sessions.session import Listing, SessionEvent, SessionRecord

HANDLES_PER_HOST = 16  # of one session; the oldest go first
KEEP = 24 * 3600.0  # seconds for which rows outlive their expiry
KEEP_EVENTS = 3600.0  # seconds; whoever slept longer gets a `reset`
LONGEST_LEASE = 300.0  # seconds


class StoreUnavailable(Exception):
    """The store cannot be asked right now. Says what is wrong and what to do; the next call tries again."""


class SessionStore(Protocol):
    """What `memory` and `sqlite` do, and what the next one must: `tests/sessions/test_store_contract.py`."""

    async def create(self, record: SessionRecord) -> None:
        """Write a new session."""

    async def add_handle(self, handle_hash: bytes, sid: str, host: str, expires: float) -> bool:
        """Bind a handle (32-byte SHA-256) to a session and app host. False when the session is unknown or ended.

        A session has at most HANDLES_PER_HOST handles for a host; the oldest stop working.
        """

    async def by_handle(self, handle_hash: bytes) -> tuple[SessionRecord, str] | None:
        """The session of a handle, ended or not, and the host the handle is bound to."""

    async def drop_handles(self, sid: str, now: float) -> int:
        """Every handle of this session stops working, with its `handles` event; the session lives on. Returns how many.

        What is called "a new session id" elsewhere: whoever holds a copy of an old handle has nothing any more.
        """

    async def get(self, sid: str) -> SessionRecord | None:
        """The session, ended or not."""

    async def update(self, record: SessionRecord) -> bool:
        """Write identity, tokens, provider_sid, authenticated_at, expires, refresh_at and device of a living session,
        with its `changed` event. False when it is unknown or has ended: an update never brings a session back."""

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Write several (sid, last_seen) at once; unknown and ended sessions are passed over."""

    async def revoke(self, sid: str, reason: Reason, now: float) -> bool:
        """End one session. True when it was alive."""

    async def revoke_many(
        self, sids: Iterable[str], reason: Reason, now: float, *, unseen_since: float | None = None
    ) -> Sequence[str]:
        """End sessions, each with its `ended` event, all or none; durable (fsync) on return. Tokens are erased.

        With `unseen_since` only those whose last_seen is at or before it. Returns those that were alive.
        """

    async def list(
        self, *, user: str | None = None, ended: bool = False, limit: int | None = None
    ) -> Sequence[Listing]:
        """Sessions by time of creation, newest first. `user` is an e-mail address (any case), a subject, or
        `provider:subject`. `ended`: those that ended too."""

    async def by_provider_session(self, provider: str, subject: str, provider_sid: str) -> Sequence[str]:
        """Living sessions a back-channel logout token means: both given, both must match; "" is not asked.

        Both "": none (OpenID Connect Back-Channel Logout 1.0, section 2.4: a token has one or both).
        """

    async def by_device(self, device: str) -> Sequence[str]:
        """Living sessions that are tied to the device with this id."""

    async def consume(self, key: str, expires: float) -> bool:
        """True for exactly one caller per key, ever, in all processes; remembered until a day after `expires`."""

    async def first_seen(self, key: str, now: float, expires: float) -> float:
        """When this key was first asked for, in all processes, seconds since the epoch; remembered as `consume` does.

        Exactly one caller per key, ever, is told its own `now`; every other is told an earlier time than its own.
        """

    async def lease(self, name: str, holder: str, ttl: float, now: float) -> bool:
        """Take or renew an exclusive lease for `ttl` seconds (at most LONGEST_LEASE). False: somebody else holds it."""

    async def release(self, name: str, holder: str) -> None:
        """Give a lease back, if it is this holder's."""

    async def latest_event(self) -> int:
        """The id of the newest event: where a reader that knows nothing yet begins."""

    async def events_after(self, cursor: int) -> Sequence[SessionEvent]:
        """Events with a greater id, oldest first, at most 1,000; one `reset` when `cursor` is not from this store or
        older than what it still has."""

    async def publish(self, event: SessionEvent) -> int:
        """Write an event (its `id` is ignored) and return its id. `update` and `revoke` write their own."""

    async def purge(self, now: float, *, idle: float, delete: bool = True) -> int:
        """End what has expired or not been seen for `idle` seconds; `delete` what expired more than KEEP seconds ago.
        Returns the number of sessions ended."""

    async def close(self) -> None:
        """Let go of files and threads. Safe to call twice."""


def open_store(url: str, *, create: bool = True) -> SessionStore:
    """The store `url` names: `memory:` (this process only, gone with it) or `sqlite:PATH`.

    Opens nothing yet: the first call does. Without `create` a missing database is StoreUnavailable instead of made.
    Open it in the process that uses it, not before a fork. Raises ValueError for an unknown kind.
    """
    from proxy.sessions.memory import MemoryStore
    from proxy.sessions.sqlite import SqliteStore

    kind, _, rest = url.partition(":")
    if kind == "memory" and not rest:
        return MemoryStore()
    if kind == "sqlite" and rest:
        return SqliteStore(Path(rest), create=create)
    raise ValueError(f"state: {url!r} names no store; write `sqlite:PATH` or `memory:`")


def bus_folder(url: str) -> Path | None:
    """Where the processes that share this store nudge each other; None when it has no others."""
    kind, _, rest = url.partition(":")
    return Path(rest + ".bus") if kind == "sqlite" and rest else None


def is_user(record: SessionRecord, user: str) -> bool:
    """Does `user` (e-mail address, subject or provider:subject) mean this session's person?"""
    identity = record.identity
    return user in (identity.subject, f"{record.provider}:{identity.subject}") or (
        bool(identity.email) and identity.email == user.lower()
    )
