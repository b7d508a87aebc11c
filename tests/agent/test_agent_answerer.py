"""The answerer on loopback: what the login page gets, and how everybody else is sent away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from proxy.agent.answerer import Answerer, Taken
from proxy.agent.errors import AgentError
from proxy.agent.home import Home
from proxy.agent.keys import FileKey
from proxy.model.report import PROOF_TYPE

ORIGIN = "https://login.apps.test:8443"
KNOCKS = yaml.safe_load((Path(__file__).parent / "knocks.yaml").read_text(encoding="utf-8"))
NOW = 1_730_000_000.0


class Door:
    """A running answerer, and requests to it byte by byte."""

    def __init__(self, key: FileKey) -> None:
        self.key = key
        self.ticks = 0.0
        self.answerer = Answerer("d1", ORIGIN, key, clock=lambda: NOW, ticks=lambda: self.ticks)

    @property
    def here(self) -> str:
        return f"127.0.0.1:{self.answerer.port}"

    async def knock(
        self, method: str = "POST", path: str = "/prove", headers: dict[str, Any] | None = None, body: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """As the login page's script asks, but for what is given; None leaves a header out."""
        if body is None:
            body = json.dumps({"challenge": "sealed", "aud": ORIGIN}) if method != "OPTIONS" else ""
        sent: dict[str, Any] = {"Host": self.here, "Origin": ORIGIN}
        if body:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
        for name, value in (sent | (headers or {})).items():
            values = value if isinstance(value, list) else [] if value is None else [value]
            lines += [f"{name}: {each}" for each in values]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.answerer.port)
        writer.write("\r\n".join([*lines, "", body]).encode())
        answer = await reader.read()
        writer.close()
        head, _, content = answer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        return int(first.split()[1]), fields, content


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    key = FileKey.create(Home(tmp_path / "state"))
    one = Door(key)
    answerer = one.answerer
    done = asyncio.Event()
    task = asyncio.create_task(answerer.serve(done.wait(), 0))
    await answerer.ready.wait()
    yield one
    done.set()
    await task


async def test_the_login_page_gets_a_proof_for_its_challenge(door: Door) -> None:
    status, headers, body = await door.knock()
    assert status == 200
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["cache-control"] == "no-store"
    jws = json.loads(body)["jws"]
    key = jwt.PyJWK({"kty": "EC", "crv": "P-256", "x": door.key.public.x, "y": door.key.public.y}).key
    claims = jwt.decode(jws, key, algorithms=["ES256"], audience=ORIGIN, options={"verify_iat": False})
    assert claims == {"device": "d1", "aud": ORIGIN, "challenge": "sealed", "iat": int(NOW)}
    assert jwt.get_unverified_header(jws) == {"alg": "ES256", "typ": PROOF_TYPE, "kid": "d1"}


@pytest.mark.parametrize("network", ["Private-Network", "Local-Network"])
async def test_the_login_pages_preflight_is_answered(door: Door, network: str) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
        f"Access-Control-Request-{network}": "true",
    }
    status, headers, body = await door.knock("OPTIONS", headers=asked)
    assert (status, body) == (204, b"")
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-allow-methods"] == "POST"
    assert headers["access-control-allow-headers"] == "Content-Type"
    assert headers[f"access-control-allow-{network.lower()}"] == "true"
    assert headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("knock", KNOCKS, ids=lambda one: one["name"])
async def test_others_are_sent_away(door: Door, knock: dict[str, Any]) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(each) for each in value]
        if value is None:
            return None
        return value.replace("{origin}", ORIGIN).replace("{here}", door.here).replace("{port}", str(door.answerer.port))

    body = filled(knock.get("body"))
    if "huge" in knock:
        body = json.dumps({"challenge": "x" * knock["huge"], "aud": ORIGIN})
    headers = {name: filled(value) for name, value in knock.get("headers", {}).items()}
    status, fields, content = await door.knock(knock.get("method", "POST"), knock.get("path", "/prove"), headers, body)
    wanted = knock["status"]
    assert status in (wanted if isinstance(wanted, list) else [wanted])
    assert b"jws" not in content
    assert b"eyJ" not in content
    readable = {name for name in fields if name.startswith("access-control-")}
    assert readable == ({"access-control-allow-origin"} if knock.get("readable") else set())


async def test_questions_are_answered_at_a_walking_pace(door: Door) -> None:
    answers = [(await door.knock())[0] for _ in range(12)]
    assert answers == [200] * 10 + [429] * 2
    door.ticks += 2.0
    assert [(await door.knock())[0] for _ in range(3)] == [200, 200, 429]


async def test_knocks_of_other_sites_do_not_use_up_the_pace(door: Door) -> None:
    for _ in range(20):
        await door.knock(headers={"Origin": "https://evil.test"})
    assert (await door.knock())[0] == 200


async def test_a_key_that_fails_says_so_and_no_more(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(message: bytes) -> bytes:
        raise AgentError("the TPM cannot be used: /root/secret place")

    monkeypatch.setattr(door.key, "sign", fail)
    status, _, body = await door.knock()
    assert status == 503
    assert b"secret" not in body


async def test_it_listens_on_loopback_only(door: Door) -> None:
    sockets = await asyncio.to_thread(Path("/proc/net/tcp").read_text, encoding="ascii")
    port = f":{door.answerer.port:04X}"
    lines = [line.split() for line in sockets.splitlines()]
    assert [line[1] for line in lines if line[3] == "0A" and line[1].endswith(port)] == [f"0100007F{port}"]


async def test_a_port_that_is_taken_is_named(door: Door) -> None:
    other = Answerer("d2", ORIGIN, door.key, clock=lambda: NOW, ticks=lambda: 0.0)
    with pytest.raises(Taken, match=str(door.answerer.port)):
        await other.serve(asyncio.get_running_loop().create_future(), door.answerer.port)
