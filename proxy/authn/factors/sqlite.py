"""Factors in SQLite: shared by all workers and the command line of one machine, in a file of their own.

One thread writes, another reads, as for sessions (`sessions/database`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from proxy.authn.factors.factor import MOST_PER_PERSON, Factor, Tries, counted
from proxy.authn.factors.store import BUCKETS, bucket_of
from proxy.sessions.database import Database, transaction
from proxy.sessions.schema import Tables

_CREATE = """
CREATE TABLE factors (
    person TEXT NOT NULL,                -- provider:subject
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created REAL NOT NULL,
    secret BLOB NOT NULL,                -- of an app sealed, of a passkey public
    credential BLOB UNIQUE,              -- NULL but for passkeys
    counter INTEGER NOT NULL,
    synced INTEGER NOT NULL,
    last_used REAL NOT NULL,
    PRIMARY KEY (person, id)
) WITHOUT ROWID;
CREATE TABLE recovery (
    person TEXT NOT NULL,
    hash BLOB NOT NULL,                  -- SHA-256
    PRIMARY KEY (person, hash)
) WITHOUT ROWID;
CREATE TABLE tries (bucket TEXT PRIMARY KEY, tries BLOB NOT NULL) WITHOUT ROWID;
"""
TABLES = Tables(1, _CREATE, {}, name="database of second factors", lost="every second factor must be enrolled again")
_COLUMNS = "person, id, kind, name, created, secret, credential, counter, synced, last_used"
_OF = f"SELECT {_COLUMNS} FROM factors WHERE person = ? ORDER BY created, id"  # noqa: S608  a constant
_tries = msgspec.json.Decoder(Tries).decode


class SqliteFactorStore:
    """`FactorStore` in a SQLite database in WAL mode. Nothing is opened before the first call."""

    def __init__(self, path: Path, *, create: bool = True, patience: float = 2.0) -> None:
        self.path = path
        self._writer = Database(path, name="factors-write", create=create, patience=patience, tables=TABLES)
        self._reader = Database(path, name="factors-read", create=create, patience=patience, tables=TABLES)

    async def of(self, person: str) -> Sequence[Factor]:
        return await self._reader.run(lambda db: [_factor(row) for row in db.execute(_OF, (person,))])

    async def add(self, factor: Factor) -> Literal["added", "known", "too-many"]:
        row = {**msgspec.structs.asdict(factor), "key": factor.key or None}

        def work(db: sqlite3.Connection) -> Literal["added", "known", "too-many"]:
            with transaction(db, durable=True):
                if db.execute("SELECT 1 FROM factors WHERE credential = :key", row).fetchone():
                    return "known"
                (has,) = db.execute("SELECT count(*) FROM factors WHERE person = :person", row).fetchone()
                if has >= MOST_PER_PERSON:
                    return "too-many"
                db.execute(
                    f"INSERT INTO factors ({_COLUMNS}) VALUES (:person, :id, :kind, :name, :created, :secret, :key, "  # noqa: S608  a constant
                    ":counter, :synced, :last_used)",
                    row,
                )
            return "added"

        return await self._writer.run(work)

    async def remove(self, person: str, factor: str) -> Factor | None:
        def work(db: sqlite3.Connection) -> Factor | None:
            with transaction(db, durable=True):
                found = next((each for each in map(_factor, db.execute(_OF, (person,))) if each.id == factor), None)
                db.execute("DELETE FROM factors WHERE person = ? AND id = ?", (person, factor))
                db.execute(
                    "DELETE FROM recovery WHERE person = ?1 AND NOT EXISTS (SELECT 1 FROM factors WHERE person = ?1)",
                    (person,),
                )
            return found

        return await self._writer.run(work)

    async def reset(self, person: str) -> int:
        def work(db: sqlite3.Connection) -> int:
            with transaction(db, durable=True):
                gone = db.execute("DELETE FROM factors WHERE person = ?", (person,)).rowcount
                db.execute("DELETE FROM recovery WHERE person = ?", (person,))
                db.executemany("DELETE FROM tries WHERE bucket = ?", [(bucket_of(person, kind),) for kind in BUCKETS])
            return gone

        return await self._writer.run(work)

    async def used(self, person: str, factor: str, counter: int, now: float) -> bool:
        query = (
            "UPDATE factors SET counter = :counter, last_used = :now WHERE person = :person AND id = :id "
            "AND (counter < :counter OR (counter = 0 AND :counter = 0))"
        )
        values = {"person": person, "id": factor, "counter": counter, "now": now}
        return await self._writer.run(lambda db: db.execute(query, values).rowcount == 1)

    async def set_recovery(self, person: str, hashes: Sequence[bytes]) -> None:
        def work(db: sqlite3.Connection) -> None:
            with transaction(db, durable=True):
                db.execute("DELETE FROM recovery WHERE person = ?", (person,))
                db.executemany("INSERT INTO recovery (person, hash) VALUES (?, ?)", [(person, each) for each in hashes])

        await self._writer.run(work)

    async def recovery_left(self, person: str) -> int:
        query = "SELECT count(*) FROM recovery WHERE person = ?"
        return await self._reader.run(lambda db: int(db.execute(query, (person,)).fetchone()[0]))

    async def use_recovery(self, person: str, code_hash: bytes) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            with transaction(db, durable=True):
                return (
                    db.execute("DELETE FROM recovery WHERE person = ? AND hash = ?", (person, code_hash)).rowcount == 1
                )

        return await self._writer.run(work)

    async def attempt(self, bucket: str, *, now: float, most: int, window: float) -> float:
        def work(db: sqlite3.Connection) -> float:
            with transaction(db):
                row = db.execute("SELECT tries FROM tries WHERE bucket = ?", (bucket,)).fetchone()
                tries = Tries() if row is None else _tries(row[0])
                tries, wait = counted(tries, now=now, most=most, window=window)
                db.execute(
                    "INSERT INTO tries (bucket, tries) VALUES (?, ?) "
                    "ON CONFLICT (bucket) DO UPDATE SET tries = excluded.tries",
                    (bucket, msgspec.json.encode(tries)),
                )
            return wait

        return await self._writer.run(work)

    async def forgive(self, bucket: str) -> None:
        await self._writer.run(lambda db: db.execute("DELETE FROM tries WHERE bucket = ?", (bucket,)))

    async def list(self, person: str | None = None) -> Sequence[Factor]:
        query = (
            f"SELECT {_COLUMNS} FROM factors WHERE :who IS NULL OR person = :who "  # noqa: S608  a constant
            "OR substr(person, instr(person, ':') + 1) = :who ORDER BY person, created, id"
        )
        return await self._reader.run(lambda db: [_factor(row) for row in db.execute(query, {"who": person})])

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()


def _factor(row: Sequence[Any]) -> Factor:
    return Factor(
        person=row[0],
        id=row[1],
        kind=row[2],
        name=row[3],
        created=row[4],
        secret=row[5],
        key=row[6] or b"",
        counter=row[7],
        synced=bool(row[8]),
        last_used=row[9],
    )
