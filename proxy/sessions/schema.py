"""The tables of the SQLite store, their version, and how a connection is opened on them or on another room's tables."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from proxy.sessions.folder import make_private

VERSION = 3

_TABLES = """
CREATE TABLE sessions (
    sid TEXT PRIMARY KEY,
    identity BLOB NOT NULL,              -- JSON of model.Identity
    provider TEXT NOT NULL,
    subject TEXT NOT NULL,
    email TEXT NOT NULL,
    provider_sid TEXT NOT NULL,
    created REAL NOT NULL,
    authenticated_at REAL NOT NULL,
    expires REAL NOT NULL,
    last_seen REAL NOT NULL,
    refresh_at REAL NOT NULL,
    tokens BLOB NOT NULL,                -- sealed
    ended TEXT,                          -- a model.Reason
    ended_at REAL,
    device BLOB                          -- JSON of model.Bound
);
CREATE INDEX sessions_by_subject ON sessions (provider, subject);
CREATE INDEX sessions_by_email ON sessions (email);
CREATE INDEX sessions_by_expiry ON sessions (expires);
CREATE INDEX sessions_by_device ON sessions (json_extract(CAST(device AS TEXT), '$.device')) WHERE device IS NOT NULL;
CREATE TABLE handles (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    sid TEXT NOT NULL REFERENCES sessions (sid) ON DELETE CASCADE,
    host TEXT NOT NULL,
    expires REAL NOT NULL
);
CREATE INDEX handles_by_session ON handles (sid, host);
CREATE TABLE consumed (
    key BLOB PRIMARY KEY,
    expires REAL NOT NULL,
    at REAL                              -- when it was first asked for, where that is asked
) WITHOUT ROWID;
CREATE INDEX consumed_by_expiry ON consumed (expires);
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    sid TEXT NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE TABLE event_floor (id INTEGER NOT NULL);  -- events up to here are no longer known
"""


_STEPS = {
    1: "ALTER TABLE sessions ADD COLUMN device BLOB",
    2: "ALTER TABLE consumed ADD COLUMN at REAL;\n"
    "CREATE INDEX sessions_by_device ON sessions (json_extract(CAST(device AS TEXT), '$.device')) "
    "WHERE device IS NOT NULL",
}
"""From each older version to the next."""


class Tables(NamedTuple):
    """What a database file holds: the statements that make it, and from each older version to the next."""

    version: int
    create: str  # statements, each ended by a semicolon and a new line
    steps: Mapping[int, str]
    begin: Callable[[sqlite3.Connection], object] = lambda _: None  # what a new file needs besides
    name: str = "session database"
    lost: str = "everybody must log in again"  # what it means to begin with an empty file


class SchemaProblem(Exception):
    """The database is sound but not one we can work with; the text says what to do."""


def connect(path: Path, *, create: bool, deadline: float, tables: Tables) -> sqlite3.Connection:
    """A connection on current `tables`, in WAL mode. Waits for other processes until `deadline` (monotonic seconds).

    The file is 0600 and the folder, when we make it, 0700; SQLite gives its side files the mode of the main one.
    Raises sqlite3.Error, OSError and SchemaProblem.
    """
    if create:
        make_private(path.parent)
        # Only when it is not there: closing any descriptor of the file drops the locks that SQLite holds for this
        # whole process (sqlite.org/howtocorrupt.html, section 2.2), and others would then take the log from under us.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        patience(connection, deadline)
        _write_ahead(connection, path, deadline)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA journal_size_limit=16777216")
        _migrate(connection, path, tables)
    except BaseException:
        connection.close()
        raise
    return connection


def patience(connection: sqlite3.Connection, deadline: float) -> None:
    """Let SQLite wait for locks until `deadline`, monotonic seconds."""
    left = max(0, int((deadline - time.monotonic()) * 1000))
    connection.execute(f"PRAGMA busy_timeout={left}")


def _write_ahead(connection: sqlite3.Connection, path: Path, deadline: float) -> None:
    """Changing the journal mode does not wait for locks by itself (sqlite.org/wal.html, section 2)."""
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.005)
            continue
        if mode != "wal":
            raise SchemaProblem(f"{path}: this file system does not do shared memory; put the state on a local disk")
        return


def _migrate(connection: sqlite3.Connection, path: Path, tables: Tables) -> None:
    if _version(connection, path, tables) == tables.version:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, path, tables)
        if version == 0:
            for statement in tables.create.split(";\n"):
                connection.execute(statement)
            tables.begin(connection)
        for older in range(version or tables.version, tables.version):
            for statement in tables.steps[older].split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={tables.version}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: Path, tables: Tables) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > tables.version:
        raise SchemaProblem(
            f"{path}: written by a newer Ostiary (schema {version}, this one knows {tables.version}); "
            f"run the newer version, or name another file under `state:` ({tables.lost})"
        )
    return int(version)


def _floor(connection: sqlite3.Connection) -> None:
    # Ids of a new database begin above those of any older one, so that a reader's cursor from a database that was
    # replaced is recognised as foreign.
    floor = int(time.time() * 1000)
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (floor,))
    connection.execute("INSERT INTO event_floor (id) VALUES (?)", (floor,))


SESSIONS = Tables(VERSION, _TABLES, _STEPS, _floor)
