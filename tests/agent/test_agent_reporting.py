"""Enrolment and reports, against a proxy that checks every signature with another library than ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from agent_proxy import Recorder, refused
from aiohttp import web

from proxy.agent.client import Proxy, connected, login_origin
from proxy.agent.enrolling import Wish, enrol
from proxy.agent.errors import AgentError, Refused, Unreachable
from proxy.agent.home import Home
from proxy.agent.keys import FileKey
from proxy.agent.memory import Memory
from proxy.agent.reporting import Reporter, Stopped
from proxy.model.device import Value
from proxy.model.report import ENROL_PATH, NONCE_PATH, REPORT_PATH

WISH = Wish(code="ABCD-EFGH-JKMN", name="ann's laptop", os="linux", serial="C02X", storage="file")


class Stage:
    """An enrolled machine with a clock, a posture and a person to talk to."""

    def __init__(self, home: Home, proxy: Proxy, recorder: Recorder) -> None:
        self.home = home
        self.proxy = proxy
        self.recorder = recorder
        self.now = time.time()
        self.posture: dict[str, Value] = {"os": "linux", "disk_encrypted": True}
        self.said: list[str] = []
        self.rests: list[float] = []
        self.ends = 10  # rests after which the story ends
        self.meanwhile: Callable[[int], None] = lambda count: None

    async def collect(self) -> Mapping[str, Value]:
        return dict(self.posture)

    async def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds
        self.meanwhile(len(self.rests))
        if len(self.rests) >= self.ends:
            raise asyncio.CancelledError

    def reporter(self) -> Reporter:
        return Reporter(
            Memory(self.home),
            FileKey.load(self.home),
            self.proxy,
            self.collect,
            clock=lambda: self.now,
            say=self.said.append,
            rest=self.rest,
            chance=lambda: 0.5,
        )

    async def watch(self, every: float = 30.0) -> None:
        with pytest.raises(asyncio.CancelledError):
            await self.reporter().watch(every)


@pytest.fixture
async def proxy(recorder: Recorder) -> AsyncIterator[Proxy]:
    async with connected(recorder.url, recorder.ca.read_text()) as one:
        yield one


@pytest.fixture
async def stage(tmp_path: Path, proxy: Proxy, recorder: Recorder) -> Stage:
    home = Home(tmp_path / "state")
    await enrol(home, proxy, WISH, now=time.time(), environment={})
    return Stage(home, proxy, recorder)


# --- enrolment -------------------------------------------------------------------------------------------------------


async def test_a_machine_enrols_with_a_code_and_proves_its_key(stage: Stage) -> None:
    (claims,) = stage.recorder.enrolments
    assert claims["name"] == "ann's laptop"
    assert claims["aud"] == stage.recorder.url
    assert claims.get("storage", "file") == "file"
    told = Memory(stage.home).load()
    assert told.device in stage.recorder.keys
    assert told.interval == 900
    assert {path.stat().st_mode & 0o777 for path in stage.home.path.iterdir()} == {0o600}
    assert sorted(path.name for path in stage.home.path.iterdir()) == ["device.json", "device.key"]


async def test_a_code_that_was_used_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, proxy: Proxy, stage: Stage
) -> None:
    home = Home(tmp_path / "other")
    with pytest.raises(Refused, match="older than 15 minutes"):
        await enrol(home, proxy, WISH, now=time.time(), environment={})
    assert list(home.path.iterdir()) == []


async def test_an_enrolled_machine_is_not_enrolled_anew_by_accident(stage: Stage) -> None:
    key = stage.home.read("device.key")
    with pytest.raises(AgentError, match="--replace"):
        await enrol(stage.home, stage.proxy, WISH, now=time.time(), environment={})
    stage.recorder.codes.add(WISH.code)
    again = Wish(**{name: getattr(WISH, name) for name in WISH.__struct_fields__} | {"replace": True})
    await enrol(stage.home, stage.proxy, again, now=time.time(), environment={})
    assert stage.home.read("device.key") != key
    await stage.reporter().once()


async def test_a_refused_replacement_leaves_the_old_enrolment_working(stage: Stage) -> None:
    again = Wish(**{name: getattr(WISH, name) for name in WISH.__struct_fields__} | {"replace": True})
    with pytest.raises(Refused):
        await enrol(stage.home, stage.proxy, again, now=time.time(), environment={})
    await stage.reporter().once()
    assert len(stage.recorder.reports) == 1


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://login.example.com", "https://login.example.com"),
        ("https://login.example.com/", "https://login.example.com"),
        ("HTTPS://Login.Example.com:443", "https://login.example.com"),
        ("login.example.com:8443", "https://login.example.com:8443"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
    ],
)
def test_the_login_address_has_one_form(given: str, origin: str) -> None:
    assert login_origin(given) == origin


@pytest.mark.parametrize(
    "given",
    [
        "http://login.example.com",
        "ftp://x",
        "https://",
        "",
        "https://a@b",
        "https://h/path",
        "https://h?q",
        "https://h:x",
    ],
)
def test_an_address_that_is_none_is_refused_with_a_word_on_what_to_write(given: str) -> None:
    with pytest.raises(AgentError, match="https"):
        login_origin(given)


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
    numbers = [memory.next_seq(now) for now in (2_000_000_000, 1_000_000_000, 1_000_000_000)]
    assert numbers == [2_000_000_000, 2_000_000_001, 2_000_000_002]


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


# --- a proxy that lies -----------------------------------------------------------------------------------------------


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(10_000):
        await response.write(b'"' + b"x" * 65_536)
    return response


async def _away(request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "https://elsewhere.test/"})


def _json(body: Any, status: int = 200) -> Callable[[web.Request], Any]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return answer


LIES = {
    "more than anybody reads": _huge,
    "another address": _away,
    "a page": _json("<html>", 200),
    "a list nested too deeply": _json([[[[]]]], 200),
    "nothing": _json({}),
    "a device with a path for a name": _json({"device": "../../etc", "approved": True, "interval": 60}),
    "no name": _json({"device": "", "approved": True, "interval": 60}),
    "a number for a name": _json({"device": 7, "approved": True, "interval": 60}),
    "a plain 404": _json({}, 404),
    "a refusal without a reason": _json({"error": "no"}, 403),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_a_proxy_would_not_answer_enrols_nothing(
    lie: str, tmp_path: Path, proxy: Proxy, recorder: Recorder
) -> None:
    recorder.lie[ENROL_PATH] = LIES[lie]
    home = Home(tmp_path / "state")
    with pytest.raises(Unreachable):
        await enrol(home, proxy, WISH, now=time.time(), environment={})
    assert not Memory(home).known()


@pytest.mark.parametrize(("wished", "kept"), [(0, 30), (-5, 30), (1e12, 86400), (60.5, 60.5)])
async def test_no_proxy_can_make_the_agent_hurry_or_sleep_for_ever(
    wished: float, kept: float, tmp_path: Path, proxy: Proxy, recorder: Recorder
) -> None:
    recorder.interval = wished
    home = Home(tmp_path / "state")
    done = await enrol(home, proxy, WISH, now=time.time(), environment={})
    assert done.remembered.interval == kept


async def test_what_a_refusal_says_cannot_steer_the_terminal(stage: Stage) -> None:
    async def steer(_: web.Request) -> web.StreamResponse:
        return refused("\x1b[2J\x1b]0;owned\x07" + "x" * 5000)

    stage.recorder.lie[NONCE_PATH] = steer
    with pytest.raises(Stopped) as caught:
        await stage.reporter().once()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


async def test_a_certificate_that_is_not_trusted_ends_it_before_a_word_is_said(recorder: Recorder) -> None:
    async with connected(recorder.url, None) as proxy:
        with pytest.raises(Unreachable, match="--ca"):
            await proxy.nonce("x")
    async with connected(recorder.url.replace("localhost", "127.0.0.1"), recorder.ca.read_text()) as proxy:
        with pytest.raises(Unreachable, match="not trusted"):
            await proxy.nonce("x")
    assert recorder.asked == []


async def test_a_ca_file_that_is_none_is_refused() -> None:
    with pytest.raises(AgentError, match="--ca"):
        async with connected("https://localhost", "no certificate"):
            pass
