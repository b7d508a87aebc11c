"""What goes wrong in the middle: sessions that end while an app thinks, reloads under load, renewals in all workers."""

from __future__ import annotations

import asyncio
import time

import pytest
from scenario_http import Answer, Ended, Line
from scenario_people import FETCH, Browser
from scenario_processes import Outside
from scenario_world import CUT, App, Inside, employed, eventually, running, serving

from proxy.net.sockets import bind

UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


async def test_a_session_that_ends_while_the_app_thinks(world: Inside, app: App):
    """Nothing of the answer has been sent yet: she is told, and the app is."""
    world.route("app", app.url)
    async with running(world), await world.line("app") as line:
        cookie = (await world.login("ann", "app"))["app"]
        line.ask("GET", "/hold", world.host("app"), [("Cookie", cookie)])
        await eventually(lambda: app.seen, "the app thinks")
        (sid,) = await world.sids()
        began = time.monotonic()
        await world.worker.sessions.end(sid)
        answer = await line.answer()
        assert time.monotonic() - began < CUT
        assert (answer.status, answer.json["reason"]) == (401, "session-revoked")
        await eventually(lambda: app.hung_up == 1, "the app is told")


async def test_a_session_that_ends_in_the_middle_of_an_upload(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world), await world.line("app") as line:
        cookie = (await world.login("ann", "app"))["app"]
        line.ask("POST", "/upload", world.host("app"), [("Cookie", cookie), ("Content-Length", "1000000")])
        line.say(b"x" * 50_000)
        await eventually(lambda: app.seen, "the app reads")
        (sid,) = await world.sids()
        await world.worker.sessions.end(sid)
        answer = await line.answer()
        assert (answer.status, answer.json["reason"]) == (401, "session-revoked")
        await eventually(lambda: not app.open, "the app's connection is closed")
        assert not app.last().body


async def test_reloads_under_load_lose_nothing(world: Inside, app: App):
    """Twenty of them, each with the app at another address."""
    async with serving(App("other")) as other:
        world.route("app", app.url, public=True)
        async with running(world):
            done = asyncio.Event()
            clients = [asyncio.create_task(keep_asking(world, number, done)) for number in range(8)]
            for number in range(20):
                count = len(app.seen) + len(other.seen)
                await eventually(lambda n=count: len(app.seen) + len(other.seen) > n + 20, "the load is on")
                world.routes[0]["to"] = (other if number % 2 else app).url
                world.reload()
            done.set()
            assert sum(await asyncio.gather(*clients)) == len(app.seen) + len(other.seen)
            assert len(app.seen) > 100
            assert len(other.seen) > 100


async def keep_asking(world: Inside, number: int, done: asyncio.Event) -> int:
    count = 0
    async with await world.line("app") as line:
        while not done.is_set():
            body = b"x" * number * 1000
            answer = await line.request("POST", f"/{number}", world.host("app"), body=body)
            assert (answer.status, answer.json["size"]) == (200, len(body))
            count += 1
    return count


async def test_renewals_in_two_workers_use_each_refresh_token_once(proxy: Outside, app: App):
    """The provider rotates refresh tokens and ends the login when one comes twice; ten tabs must not make it do so."""
    proxy.config["sessions"] = {"refresh": "1s"}
    proxy.route("app", app.url)
    async with employed(proxy) as corp:
        await proxy.start()
        alice = Browser(proxy)
        assert (await alice.open(proxy.origin("app") + "/")).status == 200
        renewed: list[object] = []
        refresh = corp.idp.ledger.refresh
        corp.idp.ledger.refresh = lambda token: renewed.append(token) or refresh(token)  # type: ignore[method-assign]  # listens in
        until = time.monotonic() + 20
        while len(renewed) < 3:
            answers = await asyncio.gather(*(alice.fetch(proxy.origin("app") + f"/{tab}") for tab in range(10)))
            assert {answer.status for answer in answers} == {200}, [answer.body for answer in answers]
            assert time.monotonic() < until
        assert len(set(renewed)) == len(renewed)
        assert len(corp.idp.ledger.logins()) == 1


async def test_trace_and_request_ids(world: Inside, app: App):
    world.route("app", app.url, public=True)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with running(world):
        await world.ask("app", headers=[("traceparent", trace), ("X-Request-Id", "mine")])
        assert app.last().header("traceparent") == trace
        reference = app.last().header("x-request-id")
        assert reference != "mine"
        assert (await world.recorded(route="app"))["reference"] == reference


async def test_a_body_that_ends_with_the_connection(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await world.line("app") as line:
        answer = await line.request("GET", "/bare/5000", world.host("app"))
        assert (len(answer.body), answer.header("transfer-encoding")) == (5000, "chunked")
        assert (await line.request("GET", "/x", world.host("app"))).status == 200
        line.say(f"GET /bare/7 HTTP/1.0\r\nHost: {world.host('app')}\r\n\r\n".encode())
        old = await line.answer()
        assert (old.body, old.header("transfer-encoding"), old.header("connection")) == (b"x" * 7, None, "close")


async def test_an_answer_is_not_lost_behind_an_upload_nobody_wants(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world):
        for _ in range(5):
            answer = await world.ask("app", "/upload", method="POST", body=b"x" * 200_000)
            assert (answer.status, answer.json["reason"]) == (401, "login-required")
        assert not app.seen


async def test_words_said_before_the_upgrade_is_granted_arrive_after_it(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await world.line("app") as line:
        line.ask("GET", "/ws", world.host("app"), [*UPGRADE, ("Origin", world.origin("app"))])
        line.say(b"early.")
        assert (await line.head()).status == 101
        assert await line.until(b"early.") == b"hello.early."


async def test_an_upgrade_the_app_does_not_grant(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await world.line("app") as line:
        line.ask("GET", "/deaf", world.host("app"), [*UPGRADE, ("Origin", world.origin("app"))])
        line.say(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await line.answer()).status == 200
        assert await line.closed() == b""
        await eventually(lambda: not app.open, "nor is the app's connection used again")
        assert [one.path for one in app.seen] == ["/deaf"]


async def test_a_websocket_ends_when_either_side_ends_it(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await world.line("app") as line:
        line.ask("GET", "/ws", world.host("app"), [*UPGRADE, ("Origin", world.origin("app"))])
        await line.until(b"hello.")
        assert world.worker.snapshot()["ostiary_streams"] == [["upgrade", 1]]
        (pool,) = [one for one in world.worker.plan.pools.values() if one.origin.port == app.port]
        assert len(pool.live) == 1
        app.gate.set()
        for connection in list(pool.live):
            connection.transport.abort()  # the app's machine is gone
        await line.closed()
        await eventually(lambda: world.worker.snapshot()["ostiary_streams"] == [["upgrade", 0]], "it is counted")


@pytest.mark.parametrize("to", ["unix:../nowhere.sock", "http://no-such-host.invalid:80"])
async def test_an_app_that_is_not_there(world: Inside, to: str):
    world.route("app", to, public=True)
    async with running(world):
        answer = await world.ask("app")
        assert (answer.status, answer.json["reason"]) == (502, "upstream-unreachable")
        assert "nowhere" not in answer.text
        assert "no-such-host" not in answer.text


async def test_whose_mail_address_nobody_verified_has_none(world: Inside, app: App):
    world.route("app", app.url, allow=[{"name": "partners", "domains": ["contractor.example"]}])
    world.route("wide", app.url, allow=[{"name": "all", "authenticated": True}])
    async with employed(world), running(world):
        dave = Browser(world, "dave")
        page = await dave.open(world.origin("app") + "/")
        assert page.status == 403
        assert (await dave.open(world.origin("wide") + "/")).status == 200
        assert app.last().header("x-ostiary-email") in (None, "")
        who = await dave.fetch(world.origin("wide") + "/.ostiary/whoami", headers=FETCH)
        assert not who.json.get("email")


async def test_a_wrong_cookie_is_nobody_and_harms_nobody(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world):
        good = (await world.login("ann", "app"))["app"]
        name, _, handle = good.partition("=")
        for cookie, status in (
            (f"{name}={'A' * 43}", 401),
            (f"{name}={handle}x", 401),
            (f"{name}={handle[:-1]}", 401),
            (f"{name}=", 401),
            (f"{name}={handle}; {name}={'A' * 43}", 401),
            (f"{name}={'A' * 43}; {name}={handle}", 401),
            (f"a=b; {good}; c=d", 200),
        ):
            answer: Answer = await world.ask("app", cookie=cookie)
            assert answer.status == status, cookie
        assert app.last().header("cookie") == "a=b; c=d"


async def test_hundreds_of_connections_come_and_go(world: Inside, app: App):
    """Half of them vanish in the middle of something; nothing of them stays."""
    world.route("app", app.url, public=True)

    async def visit(number: int) -> None:
        try:
            line: Line
            async with await world.line("app") as line:
                line.ask("GET", ("/stream", "/x", "/hold", "/download/1000000")[number % 4], world.host("app"))
                if number % 2:
                    await line.head()
        except (Ended, OSError):
            pass

    async with running(world):
        for _ in range(5):
            await asyncio.gather(*(visit(number) for number in range(60)))
        await eventually(lambda: not world.worker.house.exchanges, "no exchange is left")
        await eventually(lambda: not world.worker.ticker.watched, "no connection is left")
        await eventually(lambda: app.open <= 256, "nor more to the app than the pool keeps")
        for pool in world.worker.plan.pools.values():
            await eventually(lambda p=pool: p.count == len(p._idle), "nothing is still in use")
        assert (await world.ask("app")).status == 200


async def test_an_ended_session_does_not_close_what_is_open_to_all(world: Inside, app: App):
    world.route("info", app.url, public=True)
    world.route("lobby", app.url, allow=[{"name": "all", "anyone": True}])
    async with running(world):
        cookies = await world.login("ann", "info", "lobby")
        for sid in await world.sids():
            await world.worker.sessions.end(sid)
        for name, cookie in cookies.items():
            assert (await world.ask(name, cookie=cookie)).status == 200
            assert app.last().header("x-ostiary-email") is None


async def test_ipv6(world: Inside, app: App):
    six = bind("[::1]:0", 1)[0]
    port = six.getsockname()[1]
    address = f"[::1]:{port}"
    world.sockets[address] = six
    world.config["listeners"].append(world.config["listeners"][0] | {"address": address})
    allow = [{"name": "local", "anyone": True, "networks": ["::1/128"]}]
    world.route("app", app.url, allow=allow)
    async with running(world):
        reader, writer = await asyncio.open_connection("::1", port, ssl=world.tls(), server_hostname="app.apps.test")
        async with Line(reader, writer) as line:
            assert (await line.request("GET", "/", world.host("app"))).status == 200
        assert app.last().header("x-forwarded-for") == "::1"
        assert (await world.recorded(route="app"))["address"] == "::1"
        assert (await world.ask("app")).status == 403, "127.0.0.1 is another network"
