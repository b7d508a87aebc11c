"""An employee's laptop: enrolled by its agent, approved, tied to a login, let in while it is in order. The agent is the
real one, its key and its answerer too; only the posture is the story's."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from scenario_http import Answer
from scenario_world import App, Inside, eventually_so, running

from proxy.agent.answerer import Answerer
from proxy.agent.client import Proxy, trust
from proxy.agent.enrolling import Wish, enrol
from proxy.agent.errors import Refused
from proxy.agent.home import Home
from proxy.agent.keys import FileKey
from proxy.agent.memory import Memory
from proxy.agent.reporting import Reporter, Stopped
from proxy.model.device import Value
from proxy.model.report import PROOF_PATH, PROVE_PATH
from proxy.sessions.session import SessionRecord

FIT = {"allow": [{"name": "in-order", "groups": ["engineering"], "device": {"disk_encrypted": True, "max_age": "15m"}}]}


class _Here(AbstractResolver):
    """Every name leads to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


class Laptop:
    """A machine with an agent. `posture` is what its collectors find."""

    def __init__(self, world: Inside, folder: Path, http: aiohttp.ClientSession) -> None:
        self.home = Home(folder)
        self.proxy = Proxy(world.origin("login"), http, time.time)
        self.http = http
        self.posture: dict[str, Value] = {"os": "linux", "disk_encrypted": True}
        self.said: list[str] = []

    async def _collect(self) -> dict[str, Value]:
        return dict(self.posture)

    async def enrol(self, code: str) -> str:
        wish = Wish(code=code, name="ann's laptop", os="linux", storage="file")
        return (await enrol(self.home, self.proxy, wish, now=time.time(), environment={})).remembered.device

    async def report(self) -> str:
        """What the proxy says needs mending."""
        key, memory = FileKey.load(self.home), Memory(self.home)
        reporter = Reporter(memory, key, self.proxy, self._collect, clock=time.time, say=self.said.append)
        return (await reporter.once()).note

    async def prove(self, question: dict[str, str]) -> str:
        """Ask the agent as the script of the login page does."""
        told = Memory(self.home).load()
        answerer = Answerer(
            told.device, told.login, FileKey.load(self.home), clock=time.time, ticks=asyncio.get_running_loop().time
        )
        done = asyncio.Event()
        task = asyncio.create_task(answerer.serve(done.wait(), 0))
        await answerer.ready.wait()
        try:
            url = f"http://127.0.0.1:{answerer.port}/prove"
            async with self.http.post(url, json=question, headers={"Origin": told.login}) as answer:
                return str((await answer.json())["jws"])
        finally:
            done.set()
            await task


@contextlib.asynccontextmanager
async def laptop(world: Inside, name: str = "laptop") -> AsyncIterator[Laptop]:
    authority = (world.certs / "servers-ca.crt").read_text()
    connector = aiohttp.TCPConnector(ssl=trust(authority), resolver=_Here())
    async with aiohttp.ClientSession(connector=connector) as http:
        yield Laptop(world, world.folder / name, http)


@pytest.fixture
async def wiki(world: Inside, app: App) -> AsyncIterator[Inside]:
    world.route("wiki", app.url, **FIT)
    async with running(world) as one:
        yield one


async def session_of(world: Inside, who: str) -> SessionRecord:
    (listed,) = await world.worker.sessions.store.list(user=who)
    return listed.record


async def code_for(world: Inside, who: str = "ann") -> str:
    return await world.worker.devices.new_code((await session_of(world, who)).identity, time.time())


async def show(world: Inside, machine: Laptop, cookie: str) -> Answer:
    """The browser opens the page, its script asks the agent and posts what it says."""
    page = await world.ask("login", PROVE_PATH + "?return=/", headers=[("Accept", "text/html")], cookie=cookie)
    assert page.status == 200, page.text
    data = {name: html.unescape(value) for name, value in re.findall(r'data-(\w+)="([^"]*)"', page.text)}
    return await answered(world, machine, cookie, data["challenge"], data["next"])


async def answered(world: Inside, machine: Laptop, cookie: str, challenge: str, onward: str = "") -> Answer:
    jws = await machine.prove({"challenge": challenge, "aud": world.origin("login")})
    headers = [
        ("Content-Type", "application/json"),
        ("Origin", world.origin("login")),
        ("Sec-Fetch-Site", "same-origin"),
    ]
    body = json.dumps({"jws": jws, "next": onward}).encode()
    return await world.ask("login", PROOF_PATH, method="POST", headers=headers, body=body, cookie=cookie)


async def test_from_a_code_to_an_open_door_and_shut_again_and_open(wiki: Inside, app: App):
    cookies = await wiki.login("ann", "login", "wiki")
    async with laptop(wiki) as machine:
        refused = await wiki.ask("wiki", cookie=cookies["wiki"])
        assert (refused.status, refused.json["reason"]) == (403, "device-required")

        device = await machine.enrol(await code_for(wiki))
        assert await wiki.worker.devices.approve(device)
        assert (await show(wiki, machine, cookies["login"])).status == 200
        await machine.report()
        assert (await wiki.ask("wiki", cookie=cookies["wiki"])).status == 200
        line = await wiki.recorded(route="wiki", outcome="allow")
        assert line["facts"]["device"]["id"] == device

        machine.posture["disk_encrypted"] = False
        await machine.report()

        async def answers(status: int) -> bool:
            return (await wiki.ask("wiki", cookie=cookies["wiki"])).status == status

        await eventually_so(lambda: answers(403), "a laptop without encryption is kept out")
        refused = await wiki.ask("wiki", cookie=cookies["wiki"])
        assert refused.json["reason"] == "device-not-compliant"
        machine.posture["disk_encrypted"] = True
        await machine.report()
        await eventually_so(lambda: answers(200), "it is mended: no new login is needed")


async def test_a_removed_device_loses_its_session_and_its_agent_stops(wiki: Inside, app: App):
    cookies = await wiki.login("ann", "login", "wiki")
    async with laptop(wiki) as machine:
        device = await machine.enrol(await code_for(wiki))
        await wiki.worker.devices.approve(device)
        await show(wiki, machine, cookies["login"])
        await machine.report()
        assert await wiki.worker.devices.revoke(device, time.time())
        refused = await wiki.ask("wiki", cookie=cookies["wiki"])
        assert (refused.status, refused.json["reason"]) == (401, "session-revoked")
        with pytest.raises(Stopped, match="removed"):
            await machine.report()


async def test_a_code_works_once_and_what_a_device_says_of_its_standing_is_refused(wiki: Inside, app: App):
    await wiki.login("ann", "login")
    async with laptop(wiki) as machine, laptop(wiki, "thief") as thief:
        code = await code_for(wiki)
        await machine.enrol(code.lower().replace("-", " "))  # as people type
        with pytest.raises(Refused, match="was used"):
            await thief.enrol(code)
        machine.posture["managed"] = True
        with pytest.raises(Refused, match="'managed'"):
            await machine.report()


async def test_a_stolen_cookie_is_worth_nothing_with_the_thiefs_own_device(wiki: Inside, app: App):
    cookies = await wiki.login("ann", "login", "wiki")
    await wiki.login("sam", "login")
    async with laptop(wiki) as machine, laptop(wiki, "thief") as thief:
        await machine.enrol(await code_for(wiki))
        await thief.enrol(await code_for(wiki, "sam"))
        assert (await show(wiki, machine, cookies["login"])).status == 200
        challenge = wiki.worker.devices.challenge((await session_of(wiki, "ann")).sid, time.time())
        refused = await answered(wiki, thief, cookies["login"], challenge)
        assert (refused.status, refused.json["reason"]) == (403, "device-refused")
        assert "somebody else" in refused.json["detail"]
