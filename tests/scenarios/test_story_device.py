"""An employee's laptop: enrolled by its agent, approved, tied to a login, let in while it is in order. The agent is the
real one, its key and its answerer too; only the posture is the story's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from scenario_laptop import answered, code_for, laptop, session_of, show
from scenario_world import App, Inside, eventually_so, running

from proxy.agent.errors import Refused
from proxy.agent.reporting import Stopped

FIT = {"allow": [{"name": "in-order", "groups": ["engineering"], "device": {"disk_encrypted": True, "max_age": "15m"}}]}


@pytest.fixture
async def wiki(world: Inside, app: App) -> AsyncIterator[Inside]:
    world.route("wiki", app.url, **FIT)
    async with running(world) as one:
        yield one


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
