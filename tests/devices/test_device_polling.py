"""A system that is asked: what it tells again is as fresh as its last complete poll, in every worker, and what it does
not tell again is not. On real sockets, over both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from device_people import NOON, World
from management_vendor import SECRET, Stage, Vendor

from proxy.devices.management.service import Management
from proxy.devices.record import MANAGEMENT
from proxy.devices.store import Confirmation, DeviceStore
from proxy.model.device import Bound, Device, Observation
from proxy.sessions.store import StoreUnavailable

DAY, POLL = 86_400.0, 300.0
FLEET = MANAGEMENT + "fleet"


def host(name: str, *, seen: str = "07:55:00", **changes: Any) -> dict[str, Any]:
    return {"uuid": name, "platform": "darwin", "seen_time": f"2027-01-15T{seen}Z", **changes}


class Workers(Stage):
    """Fleet, and two workers that share a store and tell each other. `ask` is the first one's turn."""

    def __init__(self, vendor: Vendor, one: World, other: World, http: aiohttp.ClientSession) -> None:
        super().__init__(vendor, one, http)
        self.other = other
        self.theirs = Management(other.devices, other.consumed.consume, lambda: one.now, self.sleep)
        self.told: list[str] = []
        for world in (one, other):
            world.devices._announce = self.announce
            world.devices._clock = lambda: one.now

    async def announce(self, device: str) -> None:
        self.told.append(device)
        for world in (self.world, self.other):
            await world.devices.changed(device, self.world.now)

    async def turn(self, *, other: bool = False) -> int:
        self.told.clear()
        worker = self.theirs if other else self.management
        return await worker.ask(self.systems("fleet").asked["fleet"])

    def facts(self, device: str, *, other: bool = False) -> Device:
        found = (self.other if other else self.world).devices.facts(Bound(device=device), None)
        assert found is not None
        return found

    def os(self, device: str, *, other: bool = False) -> Observation:
        return self.facts(device, other=other).attributes["os"]


@pytest.fixture
async def workers(store: DeviceStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workers]:
    monkeypatch.setenv("OSTIARY_TEST_SECRET", SECRET)
    async with Vendor() as vendor, aiohttp.ClientSession() as http:
        one, other = World(store), World(store)
        await one.devices.start()
        await other.devices.start()
        vendor.rows = [host("a"), host("b")]
        yield Workers(vendor, one, other, http)


class TestAsFreshAsTheLastPoll:
    async def test_with_one_small_write(self, workers: Workers) -> None:
        assert await workers.turn() == 2
        rows = await workers.world.store.rows()
        for turn in range(1, 4):
            workers.world.now = NOON + turn * POLL
            assert await workers.turn() == 0
            assert workers.told == [FLEET]
            for other in (False, True):
                one = workers.os("a", other=other)
                assert (one.observed, one.expires) == (NOON + turn * POLL, NOON + turn * POLL + DAY)
        assert await workers.world.store.rows() == rows
        assert workers.facts("a").attributes["last_seen"].value == NOON - 300, "that is when Fleet heard from it"

    async def test_from_its_beginning(self, workers: Workers) -> None:
        def slow(request: web.Request) -> web.Response:
            workers.world.now += 200
            return web.json_response({"hosts": workers.vendor.rows})

        workers.vendor.script = [slow]
        await workers.turn()
        assert workers.os("a").observed == NOON

    async def test_facts_are_the_same_until_then(self, workers: Workers) -> None:
        await workers.turn()
        mine = await workers.world.enrolled()
        before, own = workers.facts("a"), workers.facts(mine.id)
        assert workers.facts("a") is before
        workers.world.now += POLL
        await workers.turn()
        after = workers.facts("a")
        assert after is not before
        assert workers.facts("a") is after
        assert workers.facts(mine.id) is own, "Fleet says nothing about that one"

    async def test_after_a_restart(self, workers: Workers) -> None:
        await workers.turn()
        workers.world.now += POLL
        await workers.turn()
        again = World(workers.world.store)
        again.now = workers.world.now
        await again.devices.start()
        known = again.devices.facts(Bound(device="a"), None)
        assert known is not None
        assert known.attributes["os"].observed == NOON + POLL

    async def test_what_changes_is_known_at_once(self, workers: Workers) -> None:
        await workers.turn()
        workers.world.now += POLL
        workers.vendor.rows[0]["platform"] = "windows"
        assert await workers.turn() == 1
        assert workers.told == ["a", FLEET]
        assert (workers.os("a").value, workers.os("a").observed) == ("windows", NOON + POLL)

    async def test_an_attribute_that_is_told_no_more_ages(self, workers: Workers) -> None:
        workers.vendor.rows[0]["disk_encryption_enabled"] = True
        await workers.turn()
        workers.world.now += POLL
        await workers.turn()
        del workers.vendor.rows[0]["disk_encryption_enabled"]
        for _ in "12":
            workers.world.now += POLL
            await workers.turn()
        known = workers.facts("a").attributes
        assert known["disk_encrypted"].observed == NOON + POLL
        assert known["os"].observed == NOON + 3 * POLL


class TestWhatIsNotToldAgain:
    async def test_a_device_that_is_gone_stays_as_it_was(self, workers: Workers) -> None:
        await workers.turn()
        workers.world.now += POLL
        await workers.turn()
        del workers.vendor.rows[0]
        for told in (["a", FLEET], [FLEET]):
            workers.world.now += POLL
            assert await workers.turn() == 0
            assert workers.told == told, "what is gone is known before the rest is confirmed; and written once"
        for other in (False, True):
            assert workers.os("a", other=other).observed == NOON + POLL
            assert workers.os("a", other=other).expires == NOON + POLL + DAY
            assert workers.os("b", other=other).observed == NOON + 3 * POLL

    async def test_and_counts_again_when_it_is_back(self, workers: Workers) -> None:
        await workers.turn()
        gone = workers.vendor.rows.pop(0)
        workers.world.now += POLL
        await workers.turn()
        workers.vendor.rows.append(gone)
        workers.world.now += POLL
        assert await workers.turn() == 1
        assert workers.os("a").observed == NOON + 2 * POLL

    async def test_one_not_heard_from_for_too_long_is_over(self, workers: Workers) -> None:
        await workers.turn()
        workers.vendor.rows[1] = host("b", seen="23:00:00")
        workers.world.now = NOON + DAY - 300
        await workers.turn()
        assert workers.os("a").expires <= workers.world.now, "still listed, but Fleet knows nothing new of it"
        assert workers.os("b").expires == workers.world.now + DAY

    @pytest.mark.parametrize("status", [500, 503, 401])
    async def test_a_poll_cut_short_confirms_nothing(self, workers: Workers, status: int) -> None:
        workers.vendor.rows = [host(f"h{number:03}") for number in range(150)]
        await workers.turn()
        before = workers.facts("h000"), workers.facts("h149")
        workers.world.now += POLL
        page = workers.vendor.rows[:100]
        workers.vendor.script = [lambda _: web.json_response({"hosts": page})]
        workers.vendor.script += [lambda _: web.Response(status=status)] * 9
        assert await workers.turn() == 0
        assert workers.told == []
        assert (workers.facts("h000"), workers.facts("h149")) == before
        workers.vendor.script.clear()
        await workers.turn()
        assert workers.os("h149").observed == NOON + POLL

    async def test_very_many_are_announced_together(self, workers: Workers) -> None:
        workers.vendor.rows = [host(f"h{number:03}") for number in range(250)]
        await workers.turn()
        workers.vendor.rows.clear()
        workers.world.now += POLL
        await workers.turn()
        assert workers.told == ["", FLEET]
        assert {workers.os(f"h{number:03}", other=True).observed for number in range(250)} == {NOON}


class TestTwoWorkers:
    async def test_take_turns(self, workers: Workers) -> None:
        await workers.turn()
        workers.world.now += POLL
        assert await workers.turn(other=True) == 0, "it knows what the first has written"
        workers.vendor.rows[0]["platform"] = "windows"
        assert await workers.turn(other=True) == 1
        workers.vendor.rows[0]["platform"] = "darwin"
        assert await workers.turn() == 1, "although that is what it wrote itself, before the other"
        assert workers.os("a", other=True).value == "macos"

    async def test_never_with_an_older_time(self, workers: Workers) -> None:
        """A poll that takes long; the next one, in another worker, is complete before it."""
        await workers.turn()
        ours, theirs = workers.world.devices, workers.other.devices
        slow = ours.poll("fleet", NOON + POLL, DAY)
        await ours.polled(slow, {"id": "a"}, {"os": "macos"}, NOON)
        workers.world.now = NOON + 2 * POLL
        assert await workers.turn(other=True) == 0
        workers.told.clear()
        assert await ours.complete(slow, workers.world.now) == 0, "nor does it take away what it did not get to"
        assert workers.told == []
        for device in ("a", "b"):
            assert workers.os(device).observed == NOON + 2 * POLL
        assert theirs._confirmed == ours._confirmed

    async def test_nothing_is_asked_before_devices_are_known(self, workers: Workers) -> None:
        fresh = World(workers.world.store)
        with pytest.raises(StoreUnavailable, match="not been read"):
            fresh.devices.poll("fleet", NOON, DAY)

    async def test_a_store_that_fails_within_a_poll(self, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
        await workers.turn()

        async def broken(*_: Any) -> bool:
            raise StoreUnavailable("gone")

        workers.world.now += POLL
        monkeypatch.setattr(workers.world.store, "confirm", broken)
        with pytest.raises(StoreUnavailable):
            await workers.turn()
        assert workers.os("a").observed == NOON


class TestOneDeviceListedTwice:
    async def test_what_was_heard_later_counts_every_time(self, workers: Workers) -> None:
        old = host("a", seen="07:00:00", hardware_serial="SN-1", platform="windows")
        new = host("a2", seen="07:50:00", hardware_serial="SN-1")
        for rows in ([old, new], [new, old]):
            workers.vendor.rows = rows
            for _ in "12":
                workers.world.now += POLL
                await workers.turn()
                assert (workers.os("a").value, workers.os("a").observed) == ("macos", workers.world.now)
            assert workers.told == [FLEET], "nothing is written to and fro"

    async def test_until_that_is_deleted_there(self, workers: Workers) -> None:
        old = host("a", seen="07:00:00", hardware_serial="SN-1", platform="windows")
        workers.vendor.rows = [old, host("a2", seen="07:50:00", hardware_serial="SN-1")]
        await workers.turn()
        workers.vendor.rows = [old]
        workers.world.now += POLL
        await workers.turn()
        assert (workers.os("a").value, workers.os("a").observed) == ("windows", NOON + POLL)


class TestWhoeverTellsByHimself:
    async def test_a_webhook_tells_only_what_it_tells(self, workers: Workers) -> None:
        devices = workers.world.devices
        await devices.observe("jamf", {"id": "a"}, {"managed": True}, NOON - 60, NOON)
        await workers.turn()
        workers.world.now += POLL
        await workers.turn()
        await devices.observe("jamf", {"id": "a"}, {"compliant": True}, NOON + 100, workers.world.now)
        known = workers.facts("a").attributes
        assert [known[name].observed for name in ("managed", "compliant", "os")] == [NOON - 60, NOON + 100, NOON + POLL]

    async def test_a_message_that_was_overtaken(self, workers: Workers) -> None:
        devices = workers.world.devices
        await devices.observe("jamf", {"id": "a"}, {"compliant": False}, NOON, NOON)
        await devices.observe("jamf", {"id": "a"}, {"compliant": True, "managed": True}, NOON - 60, NOON)
        known = workers.facts("a").attributes
        assert (known["compliant"].value, known["compliant"].observed) == (False, NOON)
        assert (known["managed"].value, known["managed"].observed) == (True, NOON - 60)

    async def test_who_is_approved_takes_it_over(self, workers: Workers) -> None:
        """The device that a system told us of becomes the one that was enrolled; polls count for that from then on."""
        workers.vendor.rows = [host("guid", hardware_serial="SN-1")]
        await workers.turn()
        mine = await workers.world.enrolled()
        await workers.world.devices.approve(mine.id)
        workers.world.now += POLL
        await workers.turn()
        assert workers.os(mine.id, other=True).observed == NOON + POLL


class TestAWrongClock:
    async def test_what_is_confirmed_for_later_counts_for_nothing(self, workers: Workers) -> None:
        await workers.turn()
        await workers.world.store.confirm(Confirmation(FLEET, NOON + 9e6, NOON + 9e6 + DAY), NOON + 9e6)
        await workers.announce(FLEET)
        assert workers.os("a").observed == NOON - 300, "its own time"
        workers.world.now += POLL
        await workers.turn()
        assert workers.os("a", other=True).observed == NOON + POLL
