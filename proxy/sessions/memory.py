"""Sessions in the memory of one process: for tests, and for a proxy with one worker that may forget at a restart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from proxy.model.reasons import Reason
from proxy.sessions.session import Listing, SessionEvent, SessionRecord
from proxy.sessions.store import HANDLES_PER_HOST, KEEP, KEEP_EVENTS, LONGEST_LEASE, is_user


class MemoryStore:
    """`SessionStore` in dictionaries. Bounded by the sessions that exist: `purge` deletes as in every store."""

    def __init__(self) -> None:
        self._sessions: dict[str, SessionRecord] = {}
        self._handles: dict[bytes, tuple[str, str]] = {}
        self._consumed: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._leases: dict[str, tuple[str, float]] = {}
        self._events: list[SessionEvent] = []
        self._newest = 0
        self._floor = 0

    async def create(self, record: SessionRecord) -> None:
        self._sessions[record.sid] = record

    async def add_handle(self, handle_hash: bytes, sid: str, host: str, expires: float) -> bool:
        if self._alive(sid) is None:
            return False
        self._handles[handle_hash] = (sid, host)
        same = [each for each, bound in self._handles.items() if bound == (sid, host)]
        for old in same[:-HANDLES_PER_HOST]:
            del self._handles[old]
        return True

    async def by_handle(self, handle_hash: bytes) -> tuple[SessionRecord, str] | None:
        bound = self._handles.get(handle_hash)
        if bound is None:
            return None
        sid, host = bound
        return self._sessions[sid], host

    async def drop_handles(self, sid: str, now: float) -> int:
        gone = [each for each, bound in self._handles.items() if bound[0] == sid]
        for each in gone:
            del self._handles[each]
        if gone:
            self._append(SessionEvent(kind="handles", sid=sid, at=now))
        return len(gone)

    async def get(self, sid: str) -> SessionRecord | None:
        return self._sessions.get(sid)

    async def update(self, record: SessionRecord) -> bool:
        old = self._alive(record.sid)
        if old is None:
            return False
        kept = msgspec.structs.replace(
            record, provider=old.provider, created=old.created, last_seen=old.last_seen, ended=None, ended_at=None
        )
        self._sessions[record.sid] = kept
        self._append(SessionEvent(kind="changed", sid=record.sid, at=record.last_seen))
        return True

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        for sid, last_seen in seen:
            if (old := self._alive(sid)) is not None:
                self._sessions[sid] = msgspec.structs.replace(old, last_seen=last_seen)

    async def revoke(self, sid: str, reason: Reason, now: float) -> bool:
        return bool(await self.revoke_many([sid], reason, now))

    async def revoke_many(
        self, sids: Iterable[str], reason: Reason, now: float, *, unseen_since: float | None = None
    ) -> Sequence[str]:
        ended = []
        for sid in sids:
            old = self._alive(sid)
            if old is None or (unseen_since is not None and old.last_seen > unseen_since):
                continue
            self._sessions[sid] = msgspec.structs.replace(old, tokens=b"", ended=reason, ended_at=now)
            self._append(SessionEvent(kind="ended", sid=sid, reason=reason, at=now))
            ended.append(sid)
        return ended

    async def list(
        self, *, user: str | None = None, ended: bool = False, limit: int | None = None
    ) -> Sequence[Listing]:
        hosts: dict[str, set[str]] = {}
        for sid, host in self._handles.values():
            hosts.setdefault(sid, set()).add(host)
        found = [
            Listing(record=msgspec.structs.replace(each, tokens=b""), hosts=tuple(sorted(hosts.get(each.sid, ()))))
            for each in self._sessions.values()
            if (ended or each.ended is None) and (user is None or is_user(each, user))
        ]
        found.sort(key=lambda each: (-each.record.created, each.record.sid))
        return found[:limit]

    async def by_provider_session(self, provider: str, subject: str, provider_sid: str) -> Sequence[str]:
        if not subject and not provider_sid:
            return []
        return sorted(
            each.sid
            for each in self._sessions.values()
            if each.ended is None
            and each.provider == provider
            and subject in ("", each.identity.subject)
            and provider_sid in ("", each.provider_sid)
        )

    async def by_device(self, device: str) -> Sequence[str]:
        return sorted(
            each.sid
            for each in self._sessions.values()
            if each.ended is None and device and each.device is not None and each.device.device == device
        )

    async def consume(self, key: str, expires: float) -> bool:
        if key in self._consumed:
            return False
        self._consumed[key] = expires
        return True

    async def first_seen(self, key: str, now: float, expires: float) -> float:
        if await self.consume(key, expires):
            self._seen[key] = now
            return now
        return min(self._seen.get(key, -math.inf), math.nextafter(now, -math.inf))

    async def lease(self, name: str, holder: str, ttl: float, now: float) -> bool:
        owner, until = self._leases.get(name, ("", 0.0))
        if owner != holder and now < until <= now + LONGEST_LEASE:
            return False
        self._leases[name] = (holder, now + min(ttl, LONGEST_LEASE))
        return True

    async def release(self, name: str, holder: str) -> None:
        if self._leases.get(name, ("", 0.0))[0] == holder:
            del self._leases[name]

    async def latest_event(self) -> int:
        return self._newest

    async def events_after(self, cursor: int) -> Sequence[SessionEvent]:
        if not self._floor <= cursor <= self._newest:
            return [SessionEvent(kind="reset", id=self._newest)]
        return [each for each in self._events if each.id > cursor][:1000]

    async def publish(self, event: SessionEvent) -> int:
        return self._append(event)

    async def purge(self, now: float, *, idle: float, delete: bool = True) -> int:
        due = [
            each.sid
            for each in self._sessions.values()
            if each.ended is None and (each.expires <= now or each.last_seen <= now - idle)
        ]
        ended = await self.revoke_many(due, Reason.SESSION_EXPIRED, now)
        if delete:
            self._forget(now)
        return len(ended)

    def _forget(self, now: float) -> None:
        old = {each.sid for each in self._sessions.values() if each.expires <= now - KEEP}
        self._sessions = {sid: each for sid, each in self._sessions.items() if sid not in old}
        self._handles = {each: bound for each, bound in self._handles.items() if bound[0] not in old}
        self._consumed = {key: expires for key, expires in self._consumed.items() if expires > now - KEEP}
        self._seen = {key: at for key, at in self._seen.items() if key in self._consumed}
        self._leases = {name: lease for name, lease in self._leases.items() if lease[1] > now}
        kept = [each for each in self._events if each.at > now - KEEP_EVENTS]
        if len(kept) < len(self._events):
            self._floor = kept[0].id - 1 if kept else self._newest
            self._events = kept

    async def close(self) -> None:
        """Nothing to let go of."""

    def _alive(self, sid: str) -> SessionRecord | None:
        record = self._sessions.get(sid)
        return record if record is not None and record.ended is None else None

    def _append(self, event: SessionEvent) -> int:
        self._newest += 1
        self._events.append(msgspec.structs.replace(event, id=self._newest))
        return self._newest
