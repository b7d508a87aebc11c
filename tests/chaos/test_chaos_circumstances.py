"""Bad circumstances: a full disk, a locked or broken database, a clock that jumps, a provider that is down."""

from __future__ import annotations

import asyncio
import re
import resource
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from scenario_people import FETCH, Browser
from scenario_processes import Outside
from scenario_world import App, Inside, employed, eventually, eventually_so, running

DAY = 86_400.0


# --- the disk ------------------------------------------------------------------------------------------------------


def limit_files(pids: list[int], size: int) -> None:
    """Let these processes write no file beyond `size` bytes: to them, the disk is full (setrlimit(2), RLIMIT_FSIZE)."""
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill(proxy: Outside) -> None:
    """Nothing more fits into the record; the state, a smaller file, still grows."""
    record = proxy.folder / "var" / "audit.jsonl"
    with record.open("ab") as file:
        file.write(b'{"type":"filling"}\n' * 100_000)
    limit_files(proxy.workers(), record.stat().st_size)


async def test_a_full_disk_refuses_until_there_is_room(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    assert (await proxy.ask("app")).status == 200
    fill(proxy)
    await eventually_so(lambda: answers(proxy, 503), "requests are refused")
    seen = len(app.seen)
    answer = await proxy.ask("app")
    assert answer.json["reason"] == "audit-unavailable"
    assert len(app.seen) == seen
    await eventually_so(lambda: says(proxy, "audit", "the record cannot be written"), "readiness tells of it")
    said = await proxy.says("audit: cannot write")
    assert "requests are refused" in said["message"]
    assert len(proxy.logged("audit: cannot write")) <= 2, "once in each worker"
    limit_files(proxy.workers(), resource.RLIM_INFINITY)
    await eventually_so(lambda: answers(proxy, 200), "it heals by itself")
    await proxy.says("can be written again")
    await eventually_so(lambda: is_ready(proxy), "it is ready again")
    await proxy.recorded(reason="audit-unavailable", reference=answer.json["reference"])  # what waited is written


async def test_a_full_disk_may_be_gone_on_without(proxy: Outside, app: App):
    proxy.config["audit"]["on_failure"] = "continue"
    proxy.route("app", app.url, public=True)
    await proxy.start()
    fill(proxy)
    assert [(await proxy.ask("app", f"/{number}")).status for number in range(8)] == [200] * 8
    said = await proxy.says("audit: cannot write")
    assert "go on without record" in said["message"]
    assert (await proxy.ask("app", "/last")).status == 200
    assert await proxy.metric("ostiary_audit_healthy") == 0
    assert not proxy.lines(path="/last")
    limit_files(proxy.workers(), resource.RLIM_INFINITY)
    await proxy.recorded(path="/last")
    await eventually(lambda: len({row["path"] for row in proxy.lines(route="app")}) == 9, "nothing was lost")


async def answers(proxy: Outside, status: int) -> bool:
    return {(await proxy.ask("app")).status for _ in range(8)} == {status}


async def says(proxy: Outside, part: str, what: str) -> bool:
    ready = await proxy.admin("/readyz")
    return ready.status == 503 and ready.json["checks"].get(part) == what


async def is_ready(proxy: Outside) -> bool:
    return (await proxy.admin("/readyz")).status == 200


# --- the database --------------------------------------------------------------------------------------------------


async def test_a_locked_database_lets_those_in_who_are_in(world: Inside, app: App):
    """Another program holds the write lock: who is known goes on, who would log in is told, and then it is over."""
    world.route("app", app.url)
    async with employed(world), running(world):
        cookie = (await world.login("ann", "app"))["app"]
        assert (await world.ask("app", cookie=cookie)).status == 200
        other = sqlite3.connect(world.folder / "var" / "state.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        alice = Browser(world)
        page, answer = await asyncio.gather(alice.open(world.origin("app") + "/"), world.ask("app", cookie=cookie))
        assert answer.status == 200
        assert page.status == 503
        assert "Sessions cannot be checked right now" in page.text
        other.execute("ROLLBACK")
        other.close()
        assert (await alice.open(world.origin("app") + "/")).status == 200


async def test_a_broken_database_admits_nobody_and_moving_it_away_heals(proxy: Outside, app: App):
    proxy.route("app", app.url)
    proxy.route("info", app.url, public=True)
    var = proxy.folder / "var"
    var.mkdir(mode=0o700)
    (var / "state.db").write_bytes(b"this is no database, it only has the name of one\n" * 500)
    await proxy.start()
    handle = "__Host-ostiary=" + "A" * 43
    answer = await proxy.ask("app", cookie=handle)
    assert (answer.status, answer.json["reason"]) == (503, "store-unavailable")
    assert (await proxy.ask("info")).status == 200, "who needs no session is not harmed"
    await eventually_so(lambda: says(proxy, "store", "the session store does not answer"), "readiness tells of it")
    assert "not a session database; move the file away" in (await proxy.says("state.db"))["message"]
    for file in var.glob("state.db*"):
        if file.suffix != ".key":
            file.unlink() if file.is_file() else shutil.rmtree(file)
    await eventually_so(lambda: is_ready(proxy), "it is ready again")
    cookie = (await proxy.login("ann", "app"))["app"]
    assert (await proxy.ask("app", cookie=cookie)).status == 200


async def test_a_database_that_breaks_under_us_admits_nobody(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        assert (await world.ask("app", cookie=cookie)).status == 200
        broken = world.folder / "var" / "broken"
        broken.write_bytes(b"no database " * 4_096)
        for name in ("state.db-wal", "state.db-shm"):
            (world.folder / "var" / name).unlink()
        broken.replace(world.folder / "var" / "state.db")
        unknown = "__Host-ostiary=" + "A" * 43
        answer = await world.ask("app", cookie=unknown)
        assert (answer.status, answer.json["reason"]) == (503, "store-unavailable")
        await eventually(lambda: "store" in world.worker.trouble(), "after a few seconds memory is not believed either")
        answer = await world.ask("app", cookie=cookie)
        assert (answer.status, answer.json["reason"]) == (503, "store-unavailable")


# --- the clock -----------------------------------------------------------------------------------------------------


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Move the wall clock of this process by so many seconds; the monotonic clock does not notice."""
    real, ahead = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])

    def by(seconds: float) -> None:
        ahead[0] += seconds

    return by


async def test_a_clock_that_jumps_ahead_ends_sessions_for_good(world: Inside, app: App, jump: Callable[[float], None]):
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        async with await world.line("app") as stream:
            stream.ask("GET", "/stream", world.host("app"), [("Cookie", cookie)])
            await stream.until(b"data: 1\n\n")
            jump(DAY)
            await stream.closed()
        answer = await world.ask("app", cookie=cookie)
        assert (answer.status, answer.json["reason"]) == (401, "session-expired")
        await eventually_so(lambda: nobody_is_in(world), "it is written")
        jump(-DAY)
        answer = await world.ask("app", cookie=cookie)
        assert answer.status == 401, "what has ended stays ended"


async def nobody_is_in(world: Inside) -> bool:
    return not await world.sids()


async def test_a_clock_that_jumps_back_breaks_nothing(world: Inside, app: App, jump: Callable[[float], None]):
    world.route("app", app.url)
    world.route("orders", app.url, allow=[{"name": "all", "services": ["spiffe://example.org/*"]}])
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        assert (await world.ask("app", cookie=cookie)).status == 200
        assert (await world.ask("orders", service="billing")).status == 200
        jump(-2 * 3600)
        assert (await world.ask("app", cookie=cookie)).status in (200, 401)
        answer = await world.ask("orders", service="billing")
        assert (answer.status, answer.json["reason"]) == (403, "certificate-not-yet-valid")
        fresh = (await world.login("ann", "app"))["app"]
        assert (await world.ask("app", cookie=fresh)).status == 200
        jump(2 * 3600)
        assert (await world.ask("app", cookie=fresh)).status in (200, 401)
        assert (await world.ask("orders", service="billing")).status == 200


async def test_ann_goes_on_while_the_clock_is_corrected(world: Inside, app: App, jump: Callable[[float], None]):
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        for step in (0.5, -1.0, 30.0, -30.0, 5.0):
            jump(step)
            assert (await world.ask("app", cookie=cookie)).status == 200, step


# --- the provider --------------------------------------------------------------------------------------------------


async def test_a_dead_provider_is_told_of_and_heals(world: Inside, app: App):
    world.route("app", app.url)
    async with employed(world) as corp, running(world):
        alice = Browser(world)
        await alice.open(world.origin("app") + "/")
        await corp.stop()
        assert (await alice.open(world.origin("app") + "/")).status == 200, "who is in stays in"
        bob = Browser(world, "bob")
        world.worker.plan.built.clear()  # the metadata is remembered; as after a restart, it is not
        world.reload()
        page = await bob.open(world.origin("app") + "/")
        assert page.status == 503
        assert "The identity provider does not answer" in page.text
        reference = re.search(r"[0-9a-f]{8}-[0-9a-f]{8}", page.text)
        assert reference
        assert (await world.recorded(reference=reference[0]))["status"] == 503
        await corp.start()
        await eventually_so(lambda: gets(bob, world, 403), "known to the provider, refused by the rule")


async def gets(browser: Browser, world: Inside, status: int) -> bool:
    return (await browser.open(world.origin("app") + "/")).status == status


async def test_a_session_outlives_an_outage_only_for_its_grace(world: Inside, app: App, jump: Callable[[float], None]):
    world.config["sessions"] = {"refresh": "1m", "outage_grace": "10m", "idle": "10h"}
    world.route("app", app.url)
    async with employed(world) as corp, running(world):
        alice = Browser(world)
        await alice.open(world.origin("app") + "/")
        (sid,) = await world.sids()
        jump(90)
        assert (await alice.fetch(world.origin("app") + "/")).status == 200
        await corp.stop()
        jump(120)
        assert (await alice.fetch(world.origin("app") + "/")).status == 200
        await eventually(lambda: world.worker._refresher._trouble.get(sid), "the renewal failed")
        jump(5 * 60)
        assert (await alice.fetch(world.origin("app") + "/")).status == 200
        jump(6 * 60)
        await eventually_so(lambda: is_out(alice, world), "the grace is over")


async def is_out(alice: Browser, world: Inside) -> bool:
    return (await alice.fetch(world.origin("app") + "/", headers=FETCH)).status == 401


async def test_groups_that_change_at_the_provider_change_here(world: Inside, app: App, jump: Callable[[float], None]):
    world.config["sessions"] = {"refresh": "1m"}
    world.route("app", app.url)
    async with employed(world) as corp, running(world):
        alice = Browser(world)
        await alice.open(world.origin("app") + "/")
        corp.staff["alice"] = msgspec.structs.replace(corp.staff["alice"], groups=("sales",))
        jump(90)
        await eventually_so(lambda: status_is(alice, world, 403), "she is in another group")
        corp.staff["alice"] = msgspec.structs.replace(corp.staff["alice"], groups=("engineering",))
        jump(90)
        await eventually_so(lambda: status_is(alice, world, 200), "and back")


async def status_is(browser: Browser, world: Inside, status: int) -> bool:
    return (await browser.fetch(world.origin("app") + "/")).status == status


async def test_who_was_deleted_at_the_provider_is_out(world: Inside, app: App, jump: Callable[[float], None]):
    """Her refresh token is refused: that is an answer, no outage."""
    world.config["sessions"] = {"refresh": "1m"}
    world.route("app", app.url)
    async with employed(world) as corp, running(world):
        alice = Browser(world)
        await alice.open(world.origin("app") + "/")
        async with await world.line("app") as stream:
            stream.ask("GET", "/stream", world.host("app"), [("Cookie", alice.cookie("app.apps.test"))])
            await stream.until(b"data: 1\n\n")
            for login in corp.idp.ledger.logins():
                corp.idp.ledger.end(login.sid)  # without a word to us
            jump(90)
            await stream.closed()
        assert (await alice.fetch(world.origin("app") + "/")).status == 401


# --- descriptors ---------------------------------------------------------------------------------------------------


async def test_a_worker_out_of_descriptors_serves_again_when_there_are_some(proxy: Outside, app: App):
    """Nobody is refused: who finds no place waits in the queue of the socket."""
    proxy.config["workers"] = 1
    proxy.route("app", app.url, public=True)
    await proxy.start()
    assert (await proxy.ask("app")).status == 200
    (worker,) = proxy.workers()
    most = descriptors(worker) + 8
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (most, most))
    held = []
    try:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.https)
            held.append(writer)
        waiting = asyncio.create_task(proxy.ask("app"))
        await eventually(lambda: descriptors(worker) >= most - 1, "all are taken")
    finally:
        for writer in held:
            writer.transport.abort()
    assert (await waiting).status == 200
    assert proxy.process.poll() is None
    assert proxy.workers() == [worker]


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
