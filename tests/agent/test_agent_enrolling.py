"""Enrolment, against a proxy that checks the signature with another library than ours, and against proxies that lie."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_proxy import Recorder, refused
from agent_stage import AGAIN, WISH, Stage
from aiohttp import web

from proxy.agent.client import Proxy, connected, login_origin
from proxy.agent.enrolling import enrol
from proxy.agent.errors import AgentError, Refused, Unreachable
from proxy.agent.home import Home
from proxy.agent.memory import Memory
from proxy.agent.reporting import Stopped
from proxy.model.report import ENROL_PATH, NONCE_PATH

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
    await enrol(stage.home, stage.proxy, AGAIN, now=time.time(), environment={})
    assert stage.home.read("device.key") != key
    await stage.reporter().once()


async def test_a_refused_replacement_leaves_the_old_enrolment_working(stage: Stage) -> None:
    with pytest.raises(Refused):
        await enrol(stage.home, stage.proxy, AGAIN, now=time.time(), environment={})
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
