"""What every device store must do. Runs over each of `device_people.KINDS`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from device_people import NOON, World, record

from proxy.devices.errors import DeviceRefused
from proxy.devices.packing import row_of
from proxy.devices.record import MANAGEMENT, Statement
from proxy.devices.sqlite import SqliteDeviceStore
from proxy.devices.store import CODES_PER_PERSON, CodeOwner, Confirmation, DeviceStore, open_device_store
from proxy.model.device import Assurance
from proxy.model.report import Key
from proxy.sessions.store import StoreUnavailable

SAID = Statement(
    source="agent",
    observed=NOON,
    expires=NOON + 60,
    assurance=Assurance.SELF_REPORTED,
    values={"disk_encrypted": True, "os_version": "12.5", "patch_age_days": 3, "custom.x": 1.5, "tags": ("a", "b")},
)
FULL = record(
    serial=" sn-1 ",
    key=Key(kty="EC", crv="P-256", x="x" * 43, y="y" * 43),
    thumbprint="t1",
    cert_sha256="ab" * 32,
    vouched=True,
    tags=("kiosk",),
    seq=7,
    statements=(SAID,),
    aliases=("intune-1", "fleet-2"),
    name="Ann’s “laptop”",
)
FLEET, DAY = MANAGEMENT + "fleet", 86_400.0
ANN = CodeOwner("corp:sub-ann", "ann", "ann@example.com")


def rename(name: str):
    return lambda old: msgspec.structs.replace(old, name=name)


class TestRecords:
    async def test_what_was_written_comes_back(self, store: DeviceStore) -> None:
        assert await store.add(FULL) == "added"
        assert await store.get("d1") == FULL
        assert await store.row("d1") == row_of(FULL)
        assert list(await store.rows()) == [row_of(FULL)]
        assert list(await store.list()) == [FULL]

    async def test_a_row_tells_what_it_is_found_by(self, store: DeviceStore) -> None:
        await store.add(FULL)
        row = await store.row("d1")
        assert (row.cert_sha256, row.serial, row.revoked, row.aliases) == (
            "ab" * 32,
            "SN-1",
            False,
            "intune-1\nfleet-2",
        )
        await store.change("d1", lambda old: msgspec.structs.replace(old, vouched=False, revoked=NOON))
        row = await store.row("d1")
        assert (row.serial, bool(row.revoked)) == ("", True), "its own word is nothing to be found by"

    async def test_unknown_is_none(self, store: DeviceStore) -> None:
        assert await store.get("d1") is None
        assert await store.row("d1") is None
        assert await store.change("d1", rename("x")) is None
        assert not await store.delete("d1")

    async def test_a_key_is_enrolled_once_ever(self, store: DeviceStore) -> None:
        await store.add(record("d1", thumbprint="t1", revoked=NOON))
        assert await store.add(record("d2", thumbprint="t1", owner="corp:eve")) == "key-known"
        assert await store.add(record("d1", thumbprint="t2")) == "key-known", "nor is another written over"
        assert await store.add(record("d3")) == "added"
        assert await store.add(record("d4")) == "added", "without a key there may be many"

    async def test_a_person_has_so_many(self, store: DeviceStore) -> None:
        await store.add(record("d1"), most=2)
        await store.add(record("d2", revoked=NOON), most=2)
        assert await store.add(record("d3"), most=2) == "added"
        assert await store.add(record("d4"), most=2) == "too-many"
        assert await store.add(record("d5", owner="corp:bob"), most=2) == "added"
        assert [each.id for each in await store.of_owner("corp:sub-ann")] == ["d1", "d2", "d3"]
        assert list(await store.of_owner("")) == []

    async def test_found_by_what_it_says_and_by_whose_it_is(self, store: DeviceStore) -> None:
        await store.add(record("d1", serial="sn-1", email="a@example.com"))
        await store.add(record("d2", serial="SN-1 ", vouched=True, email=""))
        await store.add(record("d3", serial="To be filled by O.E.M.", email=""))
        assert [each.id for each in await store.of_serial("SN-1")] == ["d1", "d2"]
        assert list(await store.of_serial("")) == []
        assert [each.id for each in await store.of_email("a@example.com")] == ["d1"]
        assert list(await store.of_email("")) == []

    async def test_two_become_one(self, store: DeviceStore) -> None:
        await store.add(record("d1"))
        await store.add(record("d2", name="the other"))
        assert await store.absorb("d1", "d2", lambda one, two: msgspec.structs.replace(one, name=two.name))
        assert (await store.get("d1")).name == "the other"
        assert await store.get("d2") is None
        assert not await store.absorb("d1", "d2", lambda one, two: one)


class TestChanges:
    async def test_nobody_is_in_between(self, store: DeviceStore) -> None:
        await store.add(record("d1", seq=0))
        up = [store.change("d1", lambda old: msgspec.structs.replace(old, seq=old.seq + 1)) for _ in range(20)]
        await asyncio.gather(*up)
        assert (await store.get("d1")).seq == 20

    async def test_who_refuses_changes_nothing(self, store: DeviceStore) -> None:
        await store.add(record("d1"))

        def refuse(_old: object) -> None:
            raise DeviceRefused("no")

        with pytest.raises(DeviceRefused, match="no"):
            await store.change("d1", refuse)
        assert await store.change("d1", lambda _: None) == record("d1")
        assert await store.get("d1") == record("d1")

    async def test_many_at_once(self, store: DeviceStore) -> None:
        for device in ("d1", "d2"):
            await store.add(record(device))
        done = await store.change_all({"d1": rename("x"), "d2": lambda _: None, "d3": rename("y")})
        assert list(done) == ["d1"]
        assert [each.name for each in await store.list()] == ["x", "d2"]
        assert list(await store.change_all({})) == []


class TestCodes:
    async def test_a_code_is_taken_once(self, store: DeviceStore) -> None:
        await store.add_code(b"c" * 32, ANN, NOON + 900)
        assert await asyncio.gather(*(store.take_code(b"c" * 32, NOON) for _ in range(3))) == [ANN, None, None]

    async def test_until_before_it_expires(self, store: DeviceStore) -> None:
        await store.add_code(b"c" * 32, ANN, NOON + 900)
        await store.add_code(b"d" * 32, ANN, NOON + 900)
        assert await store.take_code(b"c" * 32, NOON + 899.9) == ANN
        assert await store.take_code(b"d" * 32, NOON + 900) is None

    async def test_the_oldest_give_way(self, store: DeviceStore) -> None:
        for number in range(CODES_PER_PERSON + 1):
            await store.add_code(bytes([number]) * 32, ANN, NOON + 900)
        await store.add_code(b"b" * 32, CodeOwner("corp:bob", "bob", ""), NOON + 900)
        assert await store.take_code(bytes([0]) * 32, NOON) is None
        assert await store.take_code(bytes([1]) * 32, NOON) == ANN


class TestConfirmations:
    async def test_the_newer_one_is_kept(self, store: DeviceStore) -> None:
        first, second = Confirmation(FLEET, NOON, NOON + DAY), Confirmation(FLEET, NOON + 60, NOON + 90)
        assert list(await store.confirmations()) == []
        assert await store.confirm(first, NOON)
        assert not await store.confirm(first, NOON + 60)
        assert await store.confirm(second, NOON + 60)
        assert not await store.confirm(first, NOON + 61)
        assert list(await store.confirmations()) == [second]
        assert await store.confirm(first, NOON + 59), "what was kept is of a time that has not come"
        other = Confirmation(MANAGEMENT + "intune", NOON, NOON + DAY)
        assert await store.confirm(other, NOON)
        assert sorted(await store.confirmations()) == [first, other]

    async def test_a_database_from_before(self, tmp_path: Path) -> None:
        """Made by schema 1, with a device of which a statement has no word about polls."""
        path = tmp_path / "state.devices.db"
        made = SqliteDeviceStore(path)
        world = World(made)
        await world.devices.start()
        await world.devices.observe("fleet", {"id": "a"}, {"os": "macos"}, NOON, NOON)
        row = await made.row("a")
        assert row is not None

        def older(db: Any) -> None:
            assert row.packed.count(b"\xa2os\xa5macos\xc2") == 1, "the last member of the statement: polled, false"
            statement = row.packed.replace(b"\x96\xb0" + FLEET.encode(), b"\x95\xb0" + FLEET.encode())
            db.execute("UPDATE devices SET record = ?", (statement.replace(b"\xa5macos\xc2", b"\xa5macos"),))
            db.execute("DROP TABLE confirmations")
            db.execute("PRAGMA user_version = 1")

        await made._writer.run(older)
        await made.close()
        again = SqliteDeviceStore(path)
        record = await again.get("a")
        assert record is not None
        assert [(one.values, one.polled) for one in record.statements] == [({"os": "macos"}, False)]
        assert await again.confirm(Confirmation(FLEET, NOON, NOON + DAY), NOON)
        assert len(await again.confirmations()) == 1
        await again.close()


class TestPlaces:
    def test_beside_the_state(self, tmp_path: Path) -> None:
        opened = open_device_store(f"sqlite:{tmp_path}/state.db")
        assert opened.path == tmp_path / "state.devices.db"
        with pytest.raises(ValueError, match="names no store"):
            open_device_store("redis://x")

    async def test_only_the_proxys_user_may_read_it(self, tmp_path: Path) -> None:
        store = SqliteDeviceStore(tmp_path / "var" / "state.devices.db")
        await store.add(record())
        assert (tmp_path / "var" / "state.devices.db").stat().st_mode & 0o777 == 0o600
        await store.close()

    async def test_where_none_is_made(self, tmp_path: Path) -> None:
        store = open_device_store(f"sqlite:{tmp_path}/state.db", create=False)
        with pytest.raises(StoreUnavailable):
            await store.list()
        await store.close()
        assert not os.listdir(tmp_path)  # noqa: PTH208  where pathlib may not be asked

    async def test_what_is_damaged_says_what_it_means(self, tmp_path: Path) -> None:
        (tmp_path / "state.devices.db").write_bytes(b"not a database, whatever it is called" * 100)
        store = open_device_store(f"sqlite:{tmp_path}/state.db")
        with pytest.raises(StoreUnavailable, match="every device must be enrolled again"):
            await store.list()
        await store.close()

    async def test_it_survives_the_process(self, tmp_path: Path) -> None:
        first = open_device_store(f"sqlite:{tmp_path}/state.db")
        await first.add(FULL)
        await first.close()
        again = open_device_store(f"sqlite:{tmp_path}/state.db")
        assert await again.get("d1") == FULL
        await again.close()
