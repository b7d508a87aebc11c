"""A thread that owns a SQLite connection: work is sent to it, and faults come back as StoreUnavailable."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from proxy.sessions.schema import SESSIONS, SchemaProblem, Tables, connect, patience
from proxy.sessions.store import StoreUnavailable

T = TypeVar("T")

_WAITING = 2000  # pieces of work that may queue; beyond it callers are refused at once

# SQLite's primary result codes, and what a person does about them.
_MEANING: dict[int, str] = {
    sqlite3.SQLITE_BUSY: "locked by another process; find who holds it with `fuser`",
    sqlite3.SQLITE_LOCKED: "locked by another process; find who holds it with `fuser`",
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_IOERR: "the disk reports an error; look at the system's log",
    sqlite3.SQLITE_READONLY: "cannot be written; check the owner and mode of the file and its folder",
    sqlite3.SQLITE_PERM: "may not be opened; check the owner and mode of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that the folder exists and who may write to it",
    sqlite3.SQLITE_CORRUPT: "damaged; move the file away and a new one is made ({lost})",
    sqlite3.SQLITE_NOTADB: "not a {name}; move the file away and a new one is made ({lost})",
}
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL}  # the connection itself is sound


class Database:
    """One thread, one connection, opened at the first piece of work and again after a fault.

    `patience` is how long a piece of work may wait for locks, in seconds, counted from when it was asked for: a locked
    database answers everybody within that time instead of making each wait for the one before.
    """

    def __init__(self, path: Path, *, name: str, create: bool, patience: float, tables: Tables = SESSIONS) -> None:
        self._path = path
        self._create = create
        self._tables = tables
        self._patience = patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ostiary-{name}")
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._waiting = 0
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in the thread and return what it returns. Raises StoreUnavailable."""
        if self._closed:
            raise StoreUnavailable(f"{self._path}: closed; the proxy is stopping")
        if self._waiting >= _WAITING:
            raise StoreUnavailable(f"{self._path}: {_WAITING} requests are waiting for it already")
        deadline = time.monotonic() + self._patience
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work, deadline)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Finish what is queued, then close the connection."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
            self._thread.shutdown(wait=False)

    def _do(self, work: Callable[[sqlite3.Connection], T], deadline: float) -> T:
        try:
            connection = self._current(deadline)
            patience(connection, deadline)
            return work(connection)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code not in _PASSING:
                self._drop()
            meaning = _MEANING.get(code, f"SQLite says: {error}")
            meaning = meaning.replace("{name}", self._tables.name).replace("{lost}", self._tables.lost)
            raise StoreUnavailable(f"{self._path}: {meaning}") from error
        except SchemaProblem as error:
            raise StoreUnavailable(str(error)) from error
        except OSError as error:
            self._drop()
            raise StoreUnavailable(
                f"{self._path}: {error.strerror}; check the folder and who may write to it"
            ) from error
        except (msgspec.MsgspecError, ValueError) as error:
            raise StoreUnavailable(f"{self._path}: holds a record this version cannot read ({error})") from error

    def _current(self, deadline: float) -> sqlite3.Connection:
        """The connection to the file that is there now: it may have been deleted or replaced under us."""
        if self._connection is not None and self._inode != self._on_disk():
            self._drop()
        if self._connection is None:
            self._connection = connect(self._path, create=self._create, deadline=deadline, tables=self._tables)
            self._inode = self._on_disk()
        return self._connection

    def _on_disk(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection, *, durable: bool = False) -> Iterator[None]:
    """All or nothing. `durable` waits for the disk: in WAL mode synchronous=NORMAL survives the end of the process but
    not of the power, FULL survives both (sqlite.org/pragma.html#pragma_synchronous)."""
    if durable:
        connection.execute("PRAGMA synchronous=FULL")
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    finally:
        if durable:
            connection.execute("PRAGMA synchronous=NORMAL")
