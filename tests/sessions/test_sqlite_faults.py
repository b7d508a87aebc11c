"""What goes wrong with a file on a disk: a clear sentence, nobody let in, and work goes on once the cause is gone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from session_people import NOON, record

from proxy.model.device import Bound
from proxy.model.reasons import Reason
from proxy.sessions import database
from proxy.sessions.session import SessionEvent, hashed
from proxy.sessions.sqlite import SqliteStore
from proxy.sessions.store import StoreUnavailable, bus_folder, open_store


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


class TestLocked:
    async def test_writes_say_so_and_reads_go_on(self, sqlite: SqliteStore) -> None:
        await sqlite.create(record("before"))
        with locked(sqlite.path):
            with pytest.raises(StoreUnavailable, match="locked by another process"):
                await sqlite.create(record("during"))
            assert await sqlite.get("before") is not None
        await sqlite.create(record("after"))
        assert await sqlite.get("during") is None

    @pytest.mark.timeout(20)  # one after the other they would wait for a minute
    async def test_those_who_wait_do_so_together(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "state.db", patience=0.5)
        await store.create(record())
        with locked(store.path):
            tries = [store.revoke("s1", Reason.SESSION_REVOKED, NOON) for _ in range(120)]
            found = await asyncio.gather(*tries, return_exceptions=True)
        assert {type(each) for each in found} == {StoreUnavailable}
        await store.close()

    async def test_a_lock_that_passes_is_waited_for(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "state.db", patience=30)
        await store.create(record())
        with locked(store.path):
            waiting = asyncio.create_task(store.revoke("s1", Reason.SESSION_REVOKED, NOON))
            await asyncio.sleep(0.01)
            assert not waiting.done()
        assert await waiting is True
        await store.close()

    async def test_too_many_waiting_are_refused_at_once(
        self, sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "_WAITING", 3)
        await sqlite.create(record())
        with locked(sqlite.path):
            tries = [sqlite.consume(str(number), NOON) for number in range(5)]
            found = await asyncio.gather(*tries, return_exceptions=True)
        assert sum("are waiting" in str(each) for each in found) == 2

    async def test_creating_it_waits_for_the_one_who_does(self, tmp_path: Path) -> None:
        stores = [SqliteStore(tmp_path / "state.db") for _ in range(8)]
        await asyncio.gather(*(store.create(record(str(number))) for number, store in enumerate(stores)))
        assert len(await stores[0].list()) == 8
        for store in stores:
            await store.close()


class TestFullDisk:
    async def test_it_says_so_keeps_what_there_is_and_goes_on(self, sqlite: SqliteStore) -> None:
        await sqlite.create(record("before"))

        await sqlite._writer.run(lambda db: db.execute("PRAGMA max_page_count=1"))  # SQLite raises it to what is used
        with pytest.raises(StoreUnavailable, match="the disk is full; make room"):
            for number in range(100):
                await sqlite.create(record(f"s{number}", tokens=b"t" * 5000))
        assert await sqlite.get("before") is not None
        await sqlite._writer.run(lambda db: db.execute("PRAGMA max_page_count=1000000"))
        await sqlite.create(record("after"))

    async def test_an_end_that_found_no_room_is_no_end(self, sqlite: SqliteStore) -> None:
        for number in range(40):
            await sqlite.create(record(f"s{number}"))
        await sqlite._writer.run(lambda db: db.execute("PRAGMA max_page_count=1"))
        sids = [f"s{number}" for number in range(40)]
        with pytest.raises(StoreUnavailable):
            for _ in range(100):
                await sqlite.publish(SessionEvent(kind="changed", sid="x" * 3000, at=NOON))
        with pytest.raises(StoreUnavailable):
            await sqlite.revoke_many(sids, Reason.SESSION_REVOKED, NOON)
        assert [each.record.ended for each in await sqlite.list(ended=True)] == [None] * 40


class TestDamage:
    async def test_not_a_database(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        path.write_bytes(b"this is a shopping list, not a database\n" * 100)
        store = SqliteStore(path)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="not a session database; move the file away"):
                await store.get("s1")
        path.rename(tmp_path / "state.db.broken")
        await store.create(record())
        assert await store.get("s1") == record()
        await store.close()

    async def test_damaged_pages(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        store = SqliteStore(path)
        for number in range(200):
            await store.create(record(f"s{number}", tokens=b"t" * 1000))
        await store.close()
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        path.write_bytes(content)
        store = SqliteStore(path)
        with pytest.raises(StoreUnavailable, match="damaged; move the file away"):
            await store.list()
        await store.close()

    async def test_a_row_we_cannot_read(self, sqlite: SqliteStore) -> None:
        await sqlite.create(record())
        await sqlite.create(record("s2"))
        await sqlite._writer.run(lambda db: db.execute("UPDATE sessions SET identity = '{}' WHERE sid = 's1'"))
        with pytest.raises(StoreUnavailable, match="cannot read"):
            await sqlite.get("s1")
        await sqlite._writer.run(lambda db: db.execute("UPDATE sessions SET ended = 'because' WHERE sid = 's2'"))
        with pytest.raises(StoreUnavailable, match="cannot read"):
            await sqlite.get("s2")

    async def test_a_newer_schema(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA user_version=7")
        store = SqliteStore(path)
        with pytest.raises(StoreUnavailable, match=r"written by a newer Ostiary \(schema 7, this one knows 3\)"):
            await store.create(record())
        await store.close()

    async def test_an_older_schema_is_brought_up_to_date(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        store = SqliteStore(path)
        await store.create(record())
        await store.close()
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP INDEX sessions_by_device")
            other.execute("ALTER TABLE sessions DROP COLUMN device")
            other.execute("ALTER TABLE consumed DROP COLUMN at")
            other.execute("PRAGMA user_version=1")
        again = SqliteStore(path)
        assert await again.get("s1") == record(), "nobody has to log in again"
        assert await again.update(record(device=Bound(device="laptop-7")))
        found = await again.get("s1")
        assert found is not None
        assert found.device == Bound(device="laptop-7")
        assert list(await again.by_device("laptop-7")) == ["s1"]
        await again.close()
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT 1 FROM sqlite_master WHERE name = 'sessions_by_device'").fetchone()


class TestPlaces:
    async def test_a_missing_folder_is_made(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "a" / "b" / "state.db")
        await store.create(record())
        assert [each.stat().st_mode & 0o777 for each in (tmp_path / "a", tmp_path / "a/b")] == [0o700, 0o700]
        await store.close()

    async def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = SqliteStore(tmp_path / "file" / "state.db")
        with pytest.raises(StoreUnavailable, match="check the folder"):
            await store.get("s1")
        (tmp_path / "file").unlink()
        assert await store.get("s1") is None
        await store.close()

    async def test_a_database_under_a_folder_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "state.db").mkdir()
        store = SqliteStore(tmp_path / "state.db")
        with pytest.raises(StoreUnavailable):
            await store.get("s1")
        await store.close()

    async def test_without_create_a_missing_one_stays_missing(self, tmp_path: Path) -> None:
        store = open_store(f"sqlite:{tmp_path}/state.db", create=False)
        with pytest.raises(StoreUnavailable, match="No such file"):
            await store.list()
        assert names(tmp_path) == []
        await store.close()

    async def test_an_odd_name(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "what? 100% #1 & ö.db")
        await store.create(record())
        assert (tmp_path / "what? 100% #1 & ö.db").stat().st_mode & 0o777 == 0o600
        await store.close()

    async def test_an_open_mode_is_closed(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        path.touch(mode=0o644)
        store = SqliteStore(path)
        await store.create(record())
        assert path.stat().st_mode & 0o777 == 0o600
        await store.close()

    async def test_deleted_under_us_a_new_one_is_made_and_everything_is_to_be_verified(
        self, sqlite: SqliteStore
    ) -> None:
        await sqlite.create(record())
        await sqlite.add_handle(hashed(b"h"), "s1", "app", NOON)
        cursor = await sqlite.latest_event()
        for each in sqlite.path.parent.iterdir():
            each.unlink()
        assert await sqlite.by_handle(hashed(b"h")) is None
        assert [event.kind for event in await sqlite.events_after(cursor)] == ["reset"]
        await sqlite.create(record())

    async def test_replaced_by_an_older_copy_everything_is_to_be_verified(self, tmp_path: Path) -> None:
        path, copy = tmp_path / "state.db", tmp_path / "copy.db"
        store = SqliteStore(path)
        await store.create(record())
        await store._writer.run(lambda db: db.execute("VACUUM INTO ?", (str(copy),)))
        await store.revoke("s1", Reason.SESSION_REVOKED, NOON)
        cursor = await store.latest_event()
        for name in ("state.db-wal", "state.db-shm"):
            (tmp_path / name).unlink()
        copy.rename(path)
        assert [event.kind for event in await store.events_after(cursor)] == ["reset"]
        await store.close()


class TestOpening:
    @pytest.mark.parametrize("url", ["", "sqlite:", "postgres:x", "memory:x", "var/state.db"])
    def test_an_unknown_kind_names_the_known_ones(self, url: str) -> None:
        with pytest.raises(ValueError, match="sqlite:PATH"):
            open_store(url)

    def test_where_its_processes_meet(self) -> None:
        assert bus_folder("sqlite:/var/lib/ostiary/state.db") == Path("/var/lib/ostiary/state.db.bus")
        assert bus_folder("memory:") is None

    async def test_after_the_close_it_says_so(self, sqlite: SqliteStore) -> None:
        await sqlite.create(record())
        await sqlite.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await sqlite.get("s1")


async def test_ends_wait_for_the_disk_and_nothing_else_does(sqlite: SqliteStore) -> None:
    """synchronous: 1 is NORMAL (survives kill -9), 2 is FULL (survives a power cut)."""
    seen: list[int] = []

    def level(db: sqlite3.Connection) -> int:
        return db.execute("PRAGMA synchronous").fetchone()[0]

    await sqlite.create(record())

    def watch(db: sqlite3.Connection) -> None:
        db.create_function("watched", 0, lambda: seen.append(level(db)))
        db.execute("CREATE TEMP TRIGGER ends AFTER UPDATE OF ended ON main.sessions BEGIN SELECT watched(); END")

    await sqlite._writer.run(watch)
    await sqlite.revoke("s1", Reason.SESSION_REVOKED, NOON)
    assert seen == [2]
    assert await sqlite._writer.run(level) == 1
