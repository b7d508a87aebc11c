"""Reports, against a proxy that checks every signature with another library than ours."""

from __future__ import annotations

import time

import pytest
from agent_proxy import refused
from agent_stage import Stage
from aiohttp import web

from proxy.agent.errors import Refused, Unreachable
from proxy.agent.memory import Memory
from proxy.agent.reporting import Stopped
from proxy.model.report import NONCE_PATH, REPORT_PATH

# --- reports ---------------------------------------------------------------------------------------------------------


async def test_reports_carry_what_was_found_and_their_numbers_grow(stage: Stage) -> None:
    reporter = stage.reporter()
    await reporter.once()
    stage.posture["disk_encrypted"] = False
    await reporter.once()
    first, second = stage.recorder.reports
    assert first["attributes"] == {"os": "linux", "disk_encrypted": True}
    assert second["attributes"]["disk_encrypted"] is False
    assert first["seq"] < second["seq"]
    assert stage.recorder.asked.count(NONCE_PATH) == 1  # the first answer brought the second's nonce along


async def test_an_old_nonce_is_not_used(stage: Stage) -> None:
    reporter = stage.reporter()
    await reporter.once()
    stage.now += 200
    await reporter.once()
    assert stage.recorder.asked.count(NONCE_PATH) == 2


async def test_a_nonce_that_the_proxy_no_longer_takes_is_replaced_once(stage: Stage) -> None:
    reporter = stage.reporter()
    await reporter.once()
    stage.recorder.nonces.clear()
    await reporter.once()
    assert len(stage.recorder.reports) == 2


async def test_numbers_are_written_down_before_they_are_used(stage: Stage) -> None:
    async def crash(_: web.Request) -> web.StreamResponse:
        raise web.HTTPInternalServerError

    stage.recorder.lie[REPORT_PATH] = crash
    before = Memory(stage.home).load().seq
    with pytest.raises(Unreachable):
        await stage.reporter().once()
    used = Memory(stage.home).load().seq
    assert used > before
    del stage.recorder.lie[REPORT_PATH]
    await stage.reporter().once()
    assert stage.recorder.reports[0]["seq"] > used


async def test_a_folder_from_a_backup_does_not_repeat_numbers(stage: Stage) -> None:
    backup = stage.home.read("device.json")
    await stage.reporter().once()
    await stage.reporter().once()
    stage.home.write("device.json", backup)
    stage.now += 60
    await stage.reporter().once()
    numbers = [one["seq"] for one in stage.recorder.reports]
    assert numbers == sorted(set(numbers))


def test_a_clock_that_was_set_back_does_not_repeat_numbers(stage: Stage) -> None:
    memory = Memory(stage.home)
    numbers = [memory.next_seq(now) for now in (2_000_000_000, 1_990_000_000, 1_990_000_000)]
    assert numbers == [2_000_000_000, 2_000_000_001, 2_000_000_002]


def test_a_clock_that_was_years_ahead_does_not_keep_it_from_reporting(stage: Stage) -> None:
    """The proxy took nothing of that time, and takes no number that is so far ahead."""
    memory = Memory(stage.home)
    numbers = [memory.next_seq(now) for now in (4_000_000_000, 2_000_000_000, 2_000_000_000, 2_000_000_007)]
    assert numbers == [4_000_000_000, 2_000_000_000, 2_000_000_001, 2_000_000_007]


# --- for as long as it runs ------------------------------------------------------------------------------------------


async def test_it_reports_when_due_and_at_once_after_a_change(stage: Stage) -> None:
    def change(count: int) -> None:
        stage.posture["firewall"] = count >= 3

    stage.posture["firewall"] = False
    stage.meanwhile, stage.ends = change, 34
    await stage.watch()
    assert [one["attributes"]["firewall"] for one in stage.recorder.reports] == [False, True, True]
    first, second, third = (one["iat"] for one in stage.recorder.reports)
    assert second - first == 90
    assert third - second == 900
    assert set(stage.rests) == {30.0}


async def test_what_needs_mending_is_said_once(stage: Stage) -> None:
    stage.recorder.note = "Switch the firewall on."
    stage.recorder.interval, stage.ends = 30, 5
    await stage.watch()
    assert stage.said == ["Switch the firewall on."]
    assert Memory(stage.home).load().note == "Switch the firewall on."


async def test_a_proxy_that_does_not_answer_is_asked_less_and_less(stage: Stage) -> None:
    async def down(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=503, headers={"Retry-After": "100"} if len(stage.rests) == 3 else {})

    stage.recorder.lie[NONCE_PATH] = down
    stage.ends = 12
    await stage.watch()
    assert stage.rests == [3.75, 7.5, 15.0, 100.0, 60.0, 120.0, 240.0, 480.0, 675.0, 675.0, 675.0, 675.0]
    assert "Next try in 4 s" in stage.said[0]


async def test_a_revoked_device_says_so_and_stops(stage: Stage) -> None:
    device = Memory(stage.home).load().device
    stage.recorder.interval = 30
    stage.meanwhile = lambda count: stage.recorder.revoked.add(device) if count == 2 else None
    with pytest.raises(Stopped, match="revoked or unknown"):
        await stage.reporter().watch(30)
    assert "revoked" in Memory(stage.home).load().stopped
    assert len(stage.recorder.reports) == 2


async def test_a_clock_that_is_off_is_named(stage: Stage) -> None:
    async def off(_: web.Request) -> web.StreamResponse:
        return refused("its clock differs from ours by +4000 s; set the device's clock")

    stage.recorder.lie[REPORT_PATH] = off
    stage.proxy._clock = lambda: time.time() + 4000
    with pytest.raises(Refused, match=r"clock is \d+ s fast: set it right"):
        await stage.reporter().once()
    stage.ends = 1
    await stage.watch()  # it goes on: clocks get set
    assert "clock" in stage.said[0]
