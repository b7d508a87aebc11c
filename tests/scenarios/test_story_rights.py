"""Rights that are taken away while something is open: what was allowed a moment ago ends within a second."""

from __future__ import annotations

import time

import msgspec
from scenario_http import Line
from scenario_world import CUT, App, Inside, eventually, running

from proxy.audit.event import event_of, facts_of
from proxy.model.verdict import Outcome
from proxy.policy import decide


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


async def test_what_was_decided_can_be_decided_again_from_its_line(world: Inside, app: App):
    """The record of a live proxy, and the rules it had: the same verdicts."""
    world.route("app", app.url)
    async with running(world):
        cookies = {who: (await world.login(who, "app"))["app"] for who in ("ann", "bob")}
        for who, cookie in cookies.items():
            await world.ask("app", f"/of/{who}", cookie=cookie)
        (plan,) = world.worker.plan.snapshot.plans
        for who in cookies:
            await world.recorded(path=f"/of/{who}")
        world.worker.journal.flush()
        lines = [line for line in (world.folder / "var" / "audit.jsonl").read_bytes().splitlines() if b'"/of/' in line]
        assert len(lines) == len(cookies)
        for line in lines:
            recorded, verdict = event_of(line), decide(plan.policy, facts_of(line))
            assert (verdict.outcome, verdict.reason, verdict.rule) == (
                recorded.outcome,
                recorded.reason,
                recorded.rule,
            )
        assert {event_of(line).outcome for line in lines} == {Outcome.ALLOW, Outcome.DENY}


async def test_who_cannot_be_written_down_is_not_let_in(world: Inside, app: App):
    """A claim that JSON cannot hold: the app sees nothing, and the refusal is on record."""
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        assert (await world.ask("app", "/before", cookie=cookie)).status == 200
        (live,) = world.worker.sessions.lives()
        live.identity = msgspec.structs.replace(live.identity, claims={"nick": "\ud800"})
        live.scratch.clear()
        seen = len(app.seen)
        assert (await world.ask("app", "/after", cookie=cookie)).status == 500
        assert len(app.seen) == seen
        assert (await world.recorded(path="/after"))["reason"] == "internal-error"


async def test_an_assertion_that_cannot_be_signed_refuses_and_hurts_nobody_else(world: Inside, app: App):
    """Whoever it is found out by, the pool's connection stays good for others."""
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        assert (await world.ask("app", "/before", cookie=cookie)).status == 200
        seen = len(app.seen)
        (live,) = world.worker.sessions.lives()
        named = live.identity
        live.identity = msgspec.structs.replace(named, subject="spiffe://example.org/not-a-person")
        live.scratch.clear()
        assert (await world.ask("app", "/one", cookie=cookie)).status == 500
        assert len(app.seen) == seen
        live.identity = named
        live.scratch.clear()
        assert (await world.ask("app", "/two", cookie=cookie)).status == 200
        assert world.worker.house.exchanges == 0
