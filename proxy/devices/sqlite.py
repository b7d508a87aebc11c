"""The SQLite device store: shared by all workers and the command line of one machine, in a file of its own.

One thread writes, another reads, as for sessions (`sessions/database`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from proxy.devices.packing import row_of, unpack
from proxy.devices.record import DeviceRecord, known_serial
from proxy.devices.store import CODES_PER_PERSON, Change, CodeOwner, Confirmation, Row
from proxy.sessions.database import Database, transaction
from proxy.sessions.schema import Tables

_CONFIRMATIONS = """\
CREATE TABLE confirmations (
    source TEXT PRIMARY KEY,             -- management:NAME
    at REAL NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID
"""
_CREATE = f"""
CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,                 -- provider:subject, '' for what management systems told us of
    thumbprint TEXT UNIQUE,              -- NULL without a key
    cert_sha256 TEXT NOT NULL,
    serial TEXT NOT NULL,                -- as compared; '' when nobody vouches for it
    said_serial TEXT NOT NULL,           -- as compared, vouched for or not
    email TEXT NOT NULL,
    aliases TEXT NOT NULL,               -- one a line
    revoked INTEGER NOT NULL,
    created REAL NOT NULL,
    record BLOB NOT NULL                 -- MessagePack of devices.record.DeviceRecord
);
CREATE INDEX devices_by_owner ON devices (owner) WHERE owner != '';
CREATE INDEX devices_by_serial ON devices (said_serial) WHERE said_serial != '';
CREATE INDEX devices_by_email ON devices (email) WHERE email != '';
CREATE TABLE codes (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    label TEXT NOT NULL,
    email TEXT NOT NULL,
    expires REAL NOT NULL
);
{_CONFIRMATIONS}"""
_STEPS = {1: _CONFIRMATIONS}
TABLES = Tables(2, _CREATE, _STEPS, name="database of devices", lost="every device must be enrolled again")
_ROW = "id, cert_sha256, serial, revoked, aliases, record"


class SqliteDeviceStore:
    """`DeviceStore` in a SQLite database in WAL mode. Nothing is opened before the first call."""

    def __init__(self, path: Path, *, create: bool = True, patience: float = 2.0) -> None:
        self.path = path
        self._writer = Database(path, name="devices-write", create=create, patience=patience, tables=TABLES)
        self._reader = Database(path, name="devices-read", create=create, patience=patience, tables=TABLES)

    async def rows(self) -> Sequence[Row]:
        query = f"SELECT {_ROW} FROM devices"  # noqa: S608  a constant
        return await self._reader.run(lambda db: list(map(Row._make, db.execute(query))))

    async def row(self, device: str) -> Row | None:
        def work(db: sqlite3.Connection) -> Row | None:
            found = db.execute(f"SELECT {_ROW} FROM devices WHERE id = ?", (device,)).fetchone()  # noqa: S608  a constant
            return None if found is None else Row._make(found)

        return await self._reader.run(work)

    async def get(self, device: str) -> DeviceRecord | None:
        return await self._reader.run(lambda db: _get(db, device))

    async def add(self, record: DeviceRecord, *, most: int | None = None) -> Literal["added", "key-known", "too-many"]:
        def work(db: sqlite3.Connection) -> Literal["added", "key-known", "too-many"]:
            with transaction(db, durable=True):
                known = "SELECT 1 FROM devices WHERE id = ? OR thumbprint = ?"
                if db.execute(known, (record.id, record.thumbprint or None)).fetchone():
                    return "key-known"
                query = "SELECT count(*) FROM devices WHERE owner = ? AND NOT revoked"
                (own,) = db.execute(query, (record.owner,)).fetchone()
                if most is not None and own >= most:
                    return "too-many"
                write(db, record)
            return "added"

        return await self._writer.run(work)

    async def change(self, device: str, change: Change, *, durable: bool = False) -> DeviceRecord | None:
        def work(db: sqlite3.Connection) -> DeviceRecord | None:
            with transaction(db, durable=durable):
                old = _get(db, device)
                new = None if old is None else change(old)
                if new is not None:
                    write(db, new)
            return new or old

        return await self._writer.run(work)

    async def change_all(self, changes: Mapping[str, Change]) -> Sequence[str]:
        def work(db: sqlite3.Connection) -> Sequence[str]:
            changed = []
            with transaction(db):
                for device, change in changes.items():
                    old = _get(db, device)
                    if old is not None and (new := change(old)) is not None:
                        write(db, new)
                        changed.append(device)
            return changed

        return await self._writer.run(work) if changes else []

    async def absorb(
        self, device: str, other: str, change: Callable[[DeviceRecord, DeviceRecord], DeviceRecord]
    ) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            with transaction(db, durable=True):
                one, two = _get(db, device), _get(db, other)
                if one is None or two is None:
                    return False
                db.execute("DELETE FROM devices WHERE id = ?", (other,))
                write(db, change(one, two))
            return True

        return await self._writer.run(work)

    async def delete(self, device: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            with transaction(db, durable=True):
                return db.execute("DELETE FROM devices WHERE id = ?", (device,)).rowcount > 0

        return await self._writer.run(work)

    async def of_owner(self, owner: str) -> Sequence[DeviceRecord]:
        return await self._list("WHERE owner = ? AND owner != ''", (owner,))

    async def of_serial(self, serial: str) -> Sequence[DeviceRecord]:
        return await self._list("WHERE said_serial = ? AND said_serial != ''", (serial,))

    async def of_email(self, email: str) -> Sequence[DeviceRecord]:
        return await self._list("WHERE email = ? AND email != ''", (email,))

    async def list(self) -> Sequence[DeviceRecord]:
        return await self._list("", ())

    async def _list(self, where: str, values: tuple[str, ...]) -> Sequence[DeviceRecord]:
        query = f"SELECT record FROM devices {where} ORDER BY created, id"  # noqa: S608  constants only
        return await self._reader.run(lambda db: [unpack(packed) for (packed,) in db.execute(query, values)])

    async def confirm(self, confirmation: Confirmation, now: float) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            with transaction(db):
                changed = db.execute(
                    "INSERT INTO confirmations (source, at, expires) VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE "
                    "SET at = excluded.at, expires = excluded.expires WHERE at < excluded.at OR at > ?",
                    (*confirmation, now),
                )
            return changed.rowcount > 0

        return await self._writer.run(work)

    async def confirmations(self) -> Sequence[Confirmation]:
        query = "SELECT source, at, expires FROM confirmations"
        return await self._reader.run(lambda db: list(map(Confirmation._make, db.execute(query))))

    async def add_code(self, code_hash: bytes, owner: CodeOwner, expires: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                db.execute(
                    "INSERT INTO codes (hash, owner, label, email, expires) VALUES (?, ?, ?, ?, ?)",
                    (code_hash, *owner, expires),
                )
                db.execute(
                    "DELETE FROM codes WHERE owner = :owner AND id NOT IN "
                    "(SELECT id FROM codes WHERE owner = :owner ORDER BY id DESC LIMIT :most)",
                    {"owner": owner.owner, "most": CODES_PER_PERSON},
                )

        await self._writer.run(work)

    async def take_code(self, code_hash: bytes, now: float) -> CodeOwner | None:
        def work(db: sqlite3.Connection) -> CodeOwner | None:
            with transaction(db, durable=True):
                db.execute("DELETE FROM codes WHERE expires <= ?", (now,))
                found = db.execute("SELECT owner, label, email FROM codes WHERE hash = ?", (code_hash,)).fetchone()
                db.execute("DELETE FROM codes WHERE hash = ?", (code_hash,))
            return None if found is None else CodeOwner(*found)

        return await self._writer.run(work)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()


def _get(db: sqlite3.Connection, device: str) -> DeviceRecord | None:
    found = db.execute("SELECT record FROM devices WHERE id = ?", (device,)).fetchone()
    return None if found is None else unpack(found[0])


def write(db: sqlite3.Connection, record: DeviceRecord) -> None:
    row = row_of(record)
    values = {
        "id": row.id,
        "owner": record.owner,
        "thumbprint": record.thumbprint or None,
        "cert_sha256": row.cert_sha256,
        "serial": row.serial,
        "said_serial": known_serial(record.serial),
        "email": record.email,
        "aliases": row.aliases,
        "revoked": row.revoked,
        "created": record.created,
        "record": row.packed,
    }
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    again = ", ".join(f"{name} = excluded.{name}" for name in values)
    db.execute(f"INSERT INTO devices ({names}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {again}", values)  # noqa: S608  names from above
