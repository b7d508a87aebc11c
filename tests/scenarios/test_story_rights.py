"""Rights that are taken away while something is open: what was allowed a moment ago ends within a second."""

from __future__ import annotations

import time

import msgspec
from scenario_http import Line
from scenario_world import CUT, App, Inside, eventually, running


async def open_stream(world: Inside, app: App, line: Line, cookie: str) -> None:
    line.ask("GET", "/stream", world.host("app"), [("Cookie", cookie)])
    head = await line.head()
    assert head.status == 200
    await eventually(lambda: app.seen, "the stream is open")


async def test_a_reload_that_takes_the_right_away_ends_the_stream(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world), await world.line("app") as line:
        cookie = (await world.login("ann", "app"))["app"]
        await open_stream(world, app, line, cookie)
        began = time.monotonic()
        world.routes[0]["allow"] = [{"name": "nobody-here", "groups": ["nobody"]}]
        world.reload()
        await line.closed()
        assert time.monotonic() - began < CUT
        assert (await world.recorded(path="/stream"))["reason"] == "no-rule-allows"


async def test_a_reload_that_leaves_the_right_leaves_the_stream(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world), await world.line("app") as line:
        cookie = (await world.login("ann", "app"))["app"]
        await open_stream(world, app, line, cookie)
        world.route("other", app.url)
        world.reload()
        await eventually(
            lambda: all(
                one.snapshot is world.worker.house.snapshot
                for live in world.worker.sessions.lives()
                for one in live.streams
            ),
            "the stream has been decided again",
        )
        assert world.worker.house.exchanges == 1


async def test_a_renewal_that_takes_a_group_away_ends_the_stream(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world), await world.line("app") as line:
        cookie = (await world.login("ann", "app"))["app"]
        await open_stream(world, app, line, cookie)
        sessions = world.worker.sessions
        (sid,) = await world.sids()
        (live,) = sessions.lives()
        began = time.monotonic()
        poorer = msgspec.structs.replace(live.identity, groups=frozenset())
        assert await sessions.renew(sid, identity=poorer, tokens=b"", refresh_at=time.time() + 300)
        await line.closed()
        assert time.monotonic() - began < CUT
