"""The SQLite store: shared by all workers and the command line of one machine.

One thread writes, another reads, each with a connection of its own, so a look-up does not wait for a write. Handles and
consumed keys are stored as SHA-256 only; tokens arrive here sealed.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from proxy.model.device import Bound
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.database import Database, transaction
from proxy.sessions.session import Listing, SessionEvent, SessionRecord
from proxy.sessions.store import HANDLES_PER_HOST, KEEP, KEEP_EVENTS, LONGEST_LEASE

_COLUMNS = (
    "s.sid, s.identity, s.provider, s.provider_sid, s.created, s.authenticated_at, s.expires, s.last_seen, "
    "s.refresh_at, s.tokens, s.ended, s.ended_at, s.device"
)
_WIDTH = 13
_USER = "(s.email = :email AND s.email != '') OR s.subject = :user OR s.provider || ':' || s.subject = :user"
_encode = msgspec.json.Encoder().encode
_identity = msgspec.json.Decoder(Identity).decode
_bound = msgspec.json.Decoder(Bound).decode


class SqliteStore:
    """`SessionStore` in a SQLite database in WAL mode. Nothing is opened before the first call."""

    def __init__(self, path: Path, *, create: bool = True, patience: float = 2.0) -> None:
        self.path = path
        self._writer = Database(path, name="store-write", create=create, patience=patience)
        self._reader = Database(path, name="store-read", create=create, patience=patience)

    async def create(self, record: SessionRecord) -> None:
        row = {
            **msgspec.structs.asdict(record),
            "identity": _encode(record.identity),
            "device": _device(record),
            "subject": record.identity.subject,
            "email": record.identity.email,
        }
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        await self._writer.run(lambda db: db.execute(f"INSERT INTO sessions ({names}) VALUES ({values})", row))  # noqa: S608  field names of our own Struct

    async def add_handle(self, handle_hash: bytes, sid: str, host: str, expires: float) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            with transaction(db):
                added = db.execute(
                    "INSERT INTO handles (hash, sid, host, expires) "
                    "SELECT ?, sid, ?, ? FROM sessions WHERE sid = ? AND ended IS NULL",
                    (handle_hash, host, expires, sid),
                )
                if not added.rowcount:
                    return False
                db.execute(
                    "DELETE FROM handles WHERE sid = :sid AND host = :host AND id NOT IN (SELECT id FROM handles "
                    "WHERE sid = :sid AND host = :host ORDER BY id DESC LIMIT :most)",
                    {"sid": sid, "host": host, "most": HANDLES_PER_HOST},
                )
            return True

        return await self._writer.run(work)

    async def by_handle(self, handle_hash: bytes) -> tuple[SessionRecord, str] | None:
        query = f"SELECT {_COLUMNS}, h.host FROM handles h JOIN sessions s ON s.sid = h.sid WHERE h.hash = ?"  # noqa: S608  a constant

        def work(db: sqlite3.Connection) -> tuple[SessionRecord, str] | None:
            row = db.execute(query, (handle_hash,)).fetchone()
            return None if row is None else (_record(row), row[_WIDTH])

        return await self._reader.run(work)

    async def drop_handles(self, sid: str, now: float) -> int:
        def work(db: sqlite3.Connection) -> int:
            with transaction(db, durable=True):
                gone = db.execute("DELETE FROM handles WHERE sid = ?", (sid,)).rowcount
                if gone:
                    _append(db, SessionEvent(kind="handles", sid=sid, at=now))
            return gone

        return await self._writer.run(work)

    async def get(self, sid: str) -> SessionRecord | None:
        def work(db: sqlite3.Connection) -> SessionRecord | None:
            row = db.execute(f"SELECT {_COLUMNS} FROM sessions s WHERE sid = ?", (sid,)).fetchone()  # noqa: S608  a constant
            return None if row is None else _record(row)

        return await self._reader.run(work)

    async def update(self, record: SessionRecord) -> bool:
        row = (
            _encode(record.identity),
            record.identity.subject,
            record.identity.email,
            record.provider_sid,
            record.authenticated_at,
            record.expires,
            record.refresh_at,
            record.tokens,
            _device(record),
            record.sid,
        )

        def work(db: sqlite3.Connection) -> bool:
            with transaction(db):
                changed = db.execute(
                    "UPDATE sessions SET identity = ?, subject = ?, email = ?, provider_sid = ?, authenticated_at = ?, "
                    "expires = ?, refresh_at = ?, tokens = ?, device = ? WHERE sid = ? AND ended IS NULL",
                    row,
                )
                if changed.rowcount:
                    _append(db, SessionEvent(kind="changed", sid=record.sid, at=record.last_seen))
            return changed.rowcount > 0

        return await self._writer.run(work)

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                db.executemany(
                    "UPDATE sessions SET last_seen = ? WHERE sid = ? AND ended IS NULL",
                    [(last_seen, sid) for sid, last_seen in seen],
                )

        await self._writer.run(work)

    async def revoke(self, sid: str, reason: Reason, now: float) -> bool:
        return bool(await self.revoke_many([sid], reason, now))

    async def revoke_many(
        self, sids: Iterable[str], reason: Reason, now: float, *, unseen_since: float | None = None
    ) -> Sequence[str]:
        asked = list(sids)

        def work(db: sqlite3.Connection) -> Sequence[str]:
            with transaction(db, durable=True):
                return [sid for sid in asked if _end(db, sid, reason, now, unseen_since)]

        return await self._writer.run(work) if asked else []

    async def list(
        self, *, user: str | None = None, ended: bool = False, limit: int | None = None
    ) -> Sequence[Listing]:
        where = " AND ".join(
            [f"({_USER})"] * (user is not None) + ["s.ended IS NULL"] * (not ended) or ["TRUE"],
        )
        query = (
            f"SELECT {_COLUMNS}, (SELECT group_concat(host, char(10)) FROM "  # noqa: S608  constants only
            "(SELECT DISTINCT host FROM handles h WHERE h.sid = s.sid ORDER BY host)) "
            f"FROM sessions s WHERE {where} ORDER BY s.created DESC, s.sid LIMIT :limit"
        )
        values = {"user": user, "email": (user or "").lower(), "limit": -1 if limit is None else limit}

        def work(db: sqlite3.Connection) -> Sequence[Listing]:
            return [
                Listing(record=msgspec.structs.replace(_record(row), tokens=b""), hosts=_lines(row[_WIDTH]))
                for row in db.execute(query, values)
            ]

        return await self._reader.run(work)

    async def by_provider_session(self, provider: str, subject: str, provider_sid: str) -> Sequence[str]:
        if not subject and not provider_sid:
            return []
        query = (
            "SELECT sid FROM sessions WHERE ended IS NULL AND provider = :provider "
            "AND :subject IN ('', subject) AND :provider_sid IN ('', provider_sid) ORDER BY sid"
        )
        values = {"provider": provider, "subject": subject, "provider_sid": provider_sid}
        return await self._reader.run(lambda db: [sid for (sid,) in db.execute(query, values)])

    async def by_device(self, device: str) -> Sequence[str]:
        query = (
            "SELECT sid FROM sessions WHERE json_extract(CAST(device AS TEXT), '$.device') = ? "
            "AND device IS NOT NULL AND ended IS NULL ORDER BY sid"
        )
        return await self._reader.run(lambda db: [sid for (sid,) in db.execute(query, (device,))]) if device else []

    async def consume(self, key: str, expires: float) -> bool:
        row = (hashlib.sha256(key.encode()).digest(), expires)
        query = "INSERT OR IGNORE INTO consumed (key, expires) VALUES (?, ?)"
        return await self._writer.run(lambda db: db.execute(query, row).rowcount == 1)

    async def first_seen(self, key: str, now: float, expires: float) -> float:
        digest = hashlib.sha256(key.encode()).digest()

        def work(db: sqlite3.Connection) -> float:
            query = "INSERT OR IGNORE INTO consumed (key, expires, at) VALUES (?, ?, ?)"
            if db.execute(query, (digest, expires, now)).rowcount == 1:
                return now
            row = db.execute("SELECT at FROM consumed WHERE key = ?", (digest,)).fetchone()
            at = -math.inf if row is None or row[0] is None else float(row[0])  # purged meanwhile; consumed
            return min(at, math.nextafter(now, -math.inf))

        return await self._writer.run(work)

    async def lease(self, name: str, holder: str, ttl: float, now: float) -> bool:
        values = {
            "name": name,
            "holder": holder,
            "until": now + min(ttl, LONGEST_LEASE),
            "now": now,
            "longest": LONGEST_LEASE,
        }
        # A lease that ends later than any may was taken by a clock that ran ahead: it holds nobody.
        query = (
            "INSERT INTO leases (name, holder, expires) VALUES (:name, :holder, :until) ON CONFLICT (name) DO UPDATE "
            "SET holder = excluded.holder, expires = excluded.expires WHERE holder = excluded.holder "
            "OR expires <= :now OR expires > :now + :longest"
        )
        return await self._writer.run(lambda db: db.execute(query, values).rowcount == 1)

    async def release(self, name: str, holder: str) -> None:
        query = "DELETE FROM leases WHERE name = ? AND holder = ?"
        await self._writer.run(lambda db: db.execute(query, (name, holder)))

    async def latest_event(self) -> int:
        return await self._reader.run(_newest)

    async def events_after(self, cursor: int) -> Sequence[SessionEvent]:
        def work(db: sqlite3.Connection) -> Sequence[SessionEvent]:
            db.execute("BEGIN")  # one view of the database for all three queries
            try:
                (floor,) = db.execute("SELECT id FROM event_floor").fetchone()
                newest = _newest(db)
                if not floor <= cursor <= newest:
                    return [SessionEvent(kind="reset", id=newest)]
                return _events(db, cursor) if cursor < newest else []
            finally:
                db.execute("COMMIT")

        return await self._reader.run(work)

    async def publish(self, event: SessionEvent) -> int:
        return await self._writer.run(lambda db: _append(db, event))

    async def purge(self, now: float, *, idle: float, delete: bool = True) -> int:
        def work(db: sqlite3.Connection) -> int:
            due = db.execute(
                "SELECT sid FROM sessions WHERE ended IS NULL AND (expires <= ? OR last_seen <= ?)", (now, now - idle)
            ).fetchall()
            with transaction(db, durable=bool(due)):
                ended = sum(_end(db, sid, Reason.SESSION_EXPIRED, now, None) for (sid,) in due)
                if delete:
                    _forget(db, now)
            return ended

        return await self._writer.run(work)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()


def _end(db: sqlite3.Connection, sid: str, reason: Reason, now: float, unseen_since: float | None) -> bool:
    changed = db.execute(
        "UPDATE sessions SET ended = ?, ended_at = ?, tokens = x'' WHERE sid = ? AND ended IS NULL AND last_seen <= ?",
        (reason, now, sid, 9e99 if unseen_since is None else unseen_since),
    )
    if changed.rowcount:
        _append(db, SessionEvent(kind="ended", sid=sid, reason=reason, at=now))
    return changed.rowcount > 0


def _append(db: sqlite3.Connection, event: SessionEvent) -> int:
    row = (event.kind, event.sid, event.reason, event.at)
    added = db.execute("INSERT INTO events (kind, sid, reason, at) VALUES (?, ?, ?, ?)", row)
    return int(added.lastrowid or 0)


def _newest(db: sqlite3.Connection) -> int:
    (newest,) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(newest)


def _events(db: sqlite3.Connection, cursor: int) -> Sequence[SessionEvent]:
    query = "SELECT id, kind, sid, reason, at FROM events WHERE id > ? ORDER BY id LIMIT 1000"
    return [
        SessionEvent(id=each, kind=kind, sid=sid, reason=Reason(reason), at=at)
        for each, kind, sid, reason, at in db.execute(query, (cursor,))
    ]


def _forget(db: sqlite3.Connection, now: float) -> None:
    db.execute("DELETE FROM sessions WHERE expires <= ?", (now - KEEP,))
    db.execute("DELETE FROM consumed WHERE expires <= ?", (now - KEEP,))
    db.execute("DELETE FROM leases WHERE expires <= ?", (now,))
    (old,) = db.execute("SELECT max(id) FROM events WHERE at <= ?", (now - KEEP_EVENTS,)).fetchone()
    if old is not None:
        db.execute("DELETE FROM events WHERE id <= ?", (old,))
        db.execute("UPDATE event_floor SET id = ?", (old,))


def _record(row: Sequence[Any]) -> SessionRecord:
    return SessionRecord(
        sid=row[0],
        identity=_identity(row[1]),
        provider=row[2],
        provider_sid=row[3],
        created=row[4],
        authenticated_at=row[5],
        expires=row[6],
        last_seen=row[7],
        refresh_at=row[8],
        tokens=row[9],
        ended=None if row[10] is None else Reason(row[10]),
        ended_at=row[11],
        device=None if row[12] is None else _bound(row[12]),
    )


def _device(record: SessionRecord) -> bytes | None:
    return None if record.device is None else _encode(record.device)


def _lines(text: str | None) -> tuple[str, ...]:
    return tuple(text.split("\n")) if text else ()
