"""An employee's laptop for the stories. The agent is the real one, its key and its answerer too; only the posture is
the story's."""

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
from aiohttp.abc import AbstractResolver, ResolveResult
from scenario_http import Answer
from scenario_world import Inside

from proxy.agent.answerer import Answerer
from proxy.agent.client import Proxy, trust
from proxy.agent.enrolling import Wish, enrol
from proxy.agent.home import Home
from proxy.agent.reporting import Reporter
from proxy.agent.running import enrolled
from proxy.model.device import Value
from proxy.model.report import PROOF_PATH, PROVE_PATH
from proxy.sessions.session import SessionRecord


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

    async def enrol(self, code: str, *, tcti: str = "") -> str:
        """The device's id. With `tcti` the key is in the TPM there."""
        wish = Wish(code=code, name="ann's laptop", os="linux", storage="tpm" if tcti else "file")
        environment = {"TPM2TOOLS_TCTI": tcti} if tcti else {}
        return (await enrol(self.home, self.proxy, wish, now=time.time(), environment=environment)).remembered.device

    async def report(self) -> str:
        """What the proxy says needs mending."""
        agent = await asyncio.to_thread(enrolled, self.home)
        reporter = Reporter(agent.memory, agent.key, self.proxy, self._collect, clock=time.time, say=self.said.append)
        return (await reporter.once()).note

    async def prove(self, question: dict[str, str]) -> str:
        """Ask the agent as the script of the login page does."""
        agent = await asyncio.to_thread(enrolled, self.home)
        told, ticks = agent.remembered, asyncio.get_running_loop().time
        answerer = Answerer(told.device, told.login, agent.key, clock=time.time, ticks=ticks)
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
