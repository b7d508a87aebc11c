"""Nudges reach every worker and come back; without them polling does the work; the store's troubles are outlived."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from session_people import NOON, record

from proxy.model.reasons import Reason
from proxy.sessions.bus import Bus
from proxy.sessions.memory import MemoryStore
from proxy.sessions.nudge import Delivery, Nudge, Nudges
from proxy.sessions.session import SessionEvent
from proxy.sessions.store import StoreUnavailable


class Heard(list[SessionEvent]):
    """What a member heard; `something` is set when there is anything."""

    def __init__(self) -> None:
        self.something = asyncio.Event()

    async def add(self, events: Sequence[SessionEvent]) -> None:
        self.extend(events)
        self.something.set()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


Member = Callable[..., Awaitable[tuple[Bus, Heard]]]
NEVER = 3600.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state.db.bus"


@pytest.fixture
async def member(folder: Path) -> AsyncIterator[Member]:
    """Joins the bus; gives its end and the list of what it heard."""
    joined: list[Bus] = []

    async def join(store: MemoryStore, where: Path | None = folder, interval: float = NEVER) -> tuple[Bus, Heard]:
        heard = Heard()
        bus = Bus(store, where, interval=interval)
        await bus.start(heard.add, lambda _: None)
        joined.append(bus)
        return bus, heard

    yield join
    for bus in joined:
        await bus.close()


async def ended(store: MemoryStore, sid: str = "s1") -> None:
    await store.create(record(sid))
    await store.revoke(sid, Reason.SESSION_REVOKED, NOON)


class TestNudges:
    async def test_all_have_acted_when_the_announcement_returns(self, member: Member) -> None:
        store = MemoryStore()
        bus, _ = await member(store)
        others = [await member(store) for _ in range(5)]
        await ended(store)
        assert await bus.announce(wait=10) == Delivery(5, 5)
        assert [[event.sid for event in heard] for _, heard in others] == [["s1"]] * 5

    async def test_nobody_there_is_nobody_to_wait_for(self, member: Member) -> None:
        bus, _ = await member(MemoryStore())
        assert await bus.announce(wait=NEVER) == Delivery(0, 0)

    async def test_a_visitor_is_answered_and_not_nudged(self, member: Member, folder: Path) -> None:
        store = MemoryStore()
        bus, heard = await member(store)
        visitor = Nudges(folder, create=False)
        visitor.open()
        await ended(store)
        assert await visitor.announce(10) == Delivery(1, 1)
        assert [event.sid for event in heard] == ["s1"]
        assert await bus.announce(wait=NEVER) == Delivery(0, 0)
        visitor.close()

    async def test_a_visitor_makes_no_folder(self, folder: Path) -> None:
        visitor = Nudges(folder, create=False)
        visitor.open()
        assert await visitor.announce(NEVER) == Delivery(0, 0)
        visitor.close()
        assert names(folder.parent) == []

    async def test_a_socket_of_the_dead_is_removed(
        self, member: Member, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bus, _ = await member(MemoryStore())
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = folder / "worker-1-00000000000000ff.sock"
        monkeypatch.chdir(folder)
        dead.bind(path.name)
        dead.close()
        assert await bus.announce(wait=NEVER) == Delivery(0, 0)
        assert path.name not in names(folder)

    async def test_one_that_does_not_answer_is_counted(
        self, member: Member, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = MemoryStore()
        bus, _ = await member(store)
        await member(store)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stuck:
            monkeypatch.chdir(folder)
            stuck.bind("worker-1-00000000000000ff.sock")
            assert await bus.announce(wait=0.05) == Delivery(2, 1)

    async def test_one_with_a_full_queue_is_counted_and_blocks_nobody(
        self, member: Member, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bus, _ = await member(MemoryStore())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stuck:
            monkeypatch.chdir(folder)
            stuck.bind("worker-1-00000000000000ff.sock")
            deliveries = [await bus.announce(wait=0) for _ in range(600)]
            assert set(deliveries) == {Delivery(1, 0)}

    async def test_a_deep_folder_is_no_obstacle(self, member: Member, tmp_path: Path) -> None:
        store = MemoryStore()
        deep = tmp_path / ("d" * 100) / ("e" * 100)
        bus, _ = await member(store, deep)
        _, heard = await member(store, deep)
        await ended(store)
        assert await bus.announce(wait=10) == Delivery(1, 1)
        assert len(heard) == 1

    @pytest.mark.parametrize(
        "datagram",
        [
            b"",
            b"nudge",
            b"nudge 0123456789abcdef ../../etc/passwd",
            b"nudge 0123456789abcdef worker-1-x.sock",
            b"ack 0123456789abcdef worker-1-0123456789abcdef.sock",
            b"nudge 0123456789abcdef worker-1-0123456789abcdef.sock trailing",
            b"\xff" * 200,
            b"x" * 5000,
        ],
    )
    async def test_garbage_does_nothing(
        self, member: Member, folder: Path, datagram: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = MemoryStore()
        _, heard = await member(store)
        name = names(folder)[0]
        monkeypatch.chdir(folder)  # a socket's path may have 108 bytes only
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(datagram, name)
        await ended(store)
        other, _ = await member(store)
        assert await other.announce(wait=10) == Delivery(1, 1)
        assert len(heard) == 1

    async def test_a_close_leaves_no_socket(self, member: Member, folder: Path) -> None:
        bus, _ = await member(MemoryStore())
        await bus.close()
        assert names(folder) == []

    @pytest.mark.parametrize("bits", [0o755, 0o770, 0o707])
    def test_a_folder_open_to_others_is_not_used(self, folder: Path, bits: int) -> None:
        folder.mkdir()
        folder.chmod(bits)
        with pytest.raises(OSError, match="chmod 700"):
            Nudges(folder, lambda nudge: None).open()
        assert names(folder) == []

    def test_a_link_in_place_of_the_folder_is_not_used(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match=os.strerror(20)):
            Nudges(folder, lambda nudge: None).open()

    async def test_the_folder_is_private(self, member: Member, folder: Path) -> None:
        await member(MemoryStore())
        assert mode(folder) == 0o700


class TestPolling:
    async def test_it_finds_what_no_nudge_told(self, member: Member) -> None:
        store = MemoryStore()
        _, heard = await member(store, None, interval=0.001)
        await ended(store)
        await heard.something.wait()
        assert [event.kind for event in heard] == ["ended"]

    async def test_a_folder_that_cannot_be_used_leaves_polling(
        self, member: Member, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").touch()
        store = MemoryStore()
        bus, heard = await member(store, tmp_path / "file" / "bus", interval=0.001)
        assert "late in this worker" in caplog.text
        await ended(store)
        await heard.something.wait()
        assert await bus.announce() == Delivery(0, 0)

    async def test_what_was_before_is_no_news(self, member: Member) -> None:
        store = MemoryStore()
        await ended(store, "old")
        bus, _ = await member(store)
        _, heard = await member(store)
        await ended(store, "new")
        await bus.announce(wait=10)
        assert [event.sid for event in heard] == ["new"]


class Faulty(MemoryStore):
    """A store that is down when told to be."""

    down = False

    async def latest_event(self) -> int:
        self._check()
        return await super().latest_event()

    async def events_after(self, cursor: int) -> Sequence[SessionEvent]:
        self._check()
        return await super().events_after(cursor)

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("state.db: locked by another process")


class TestTrouble:
    async def test_down_at_the_start_everything_is_verified_once_it_is_up(self, member: Member) -> None:
        store = Faulty()
        store.down = True
        _, heard = await member(store, None, interval=0.001)
        await asyncio.sleep(0)
        store.down = False
        await heard.something.wait()
        assert [event.kind for event in heard] == ["reset"]

    async def test_while_down_nothing_is_acknowledged_nor_confirmed(
        self, member: Member, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        store = Faulty()
        confirmed: list[float] = []
        heard = Heard()
        bus = Bus(store, folder, interval=NEVER)
        await bus.start(heard.add, confirmed.append)
        other, _ = await member(MemoryStore())
        assert await other.announce(wait=10) == Delivery(1, 1)
        before = len(confirmed)
        await ended(store)
        store.down = True
        for _ in range(3):
            assert await other.announce(wait=0.05) == Delivery(1, 0)
        assert (len(confirmed), heard) == (before, [])
        store.down = False
        assert await other.announce(wait=10) == Delivery(1, 1)
        assert [event.sid for event in heard] == ["s1"]
        assert caplog.text.count("cannot be followed") == 1  # said once, not four times a second
        assert caplog.text.count("can be followed again") == 1
        await bus.close()

    async def test_an_event_that_cannot_be_acted_on_is_read_again(self, folder: Path, member: Member) -> None:
        store = MemoryStore()
        heard: list[str] = []
        faults = [True]

        async def handle(events: Sequence[SessionEvent]) -> None:
            if faults:
                raise RuntimeError("a fault of ours")
            heard.extend(event.sid for event in events)

        bus = Bus(store, folder, interval=NEVER)
        await bus.start(handle, lambda _: None)
        other, _ = await member(store)
        await ended(store)
        assert await other.announce(wait=0.05) == Delivery(1, 0)
        faults.clear()
        assert await other.announce(wait=10) == Delivery(1, 1)
        assert heard == ["s1"]
        await bus.close()


async def test_an_acknowledgement_to_somebody_gone_is_nothing(folder: Path) -> None:
    nudges = Nudges(folder, lambda nudge: None)
    nudges.open()
    nudges.acknowledge(Nudge(b"0" * 16, "visitor-1-0123456789abcdef.sock"))
    nudges.close()
    nudges.acknowledge(Nudge(b"0" * 16, "visitor-1-0123456789abcdef.sock"))
