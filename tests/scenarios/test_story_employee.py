"""An employee opens apps, works with them, and is told who the proxy thinks they are."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re

from scenario_http import Answer, Line
from scenario_people import FETCH, Browser
from scenario_world import App, Inside, employed, eventually, running

from proxy.web.endpoints import SESSION_COOKIE

UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


async def test_comes_back_to_the_exact_address_after_logging_in(world: Inside, app: App):
    world.route("wiki", app.url)
    async with employed(world), running(world):
        alice = Browser(world)
        wanted = world.origin("wiki") + "/reports/2026%20final?q=a%26b&sort=%C3%BC&empty="
        page = await alice.open(wanted)
        assert (page.url, page.status) == (wanted, 200)
        assert app.last().target == "/reports/2026%20final?q=a%26b&sort=%C3%BC&empty="
        assert app.last().header("x-ostiary-email") == "alice@example.com"
        assert SESSION_COOKIE not in str(app.last().headers)
        login = await world.recorded(type="login", outcome="allow")
        assert login["identity"] == "alice@example.com"
        line = await world.recorded(route="wiki", outcome="allow")
        assert line["session"] == login["session"]
        assert line["rule"] == "engineers"
        assert "q=a" not in str(line)


async def test_a_very_long_address_survives_the_login(world: Inside, app: App):
    world.route("wiki", app.url)
    async with employed(world), running(world):
        wanted = world.origin("wiki") + "/search?q=" + "%20and%26".join(f"word{number}" for number in range(200))
        assert len(wanted) > 3_000
        page = await Browser(world).open(wanted)
        assert (page.url, page.status) == (wanted, 200)


async def test_ten_tabs_at_once_on_an_expired_session_all_arrive(world: Inside, app: App):
    for name in ("wiki", "code"):
        world.route(name, app.url)
    async with employed(world), running(world):
        alice = Browser(world)
        await alice.open(world.origin("wiki") + "/")
        await alice.open(world.origin("code") + "/")
        for sid in await world.sids():
            await world.worker.sessions.end(sid)
        urls = [world.origin(("wiki", "code")[tab % 2]) + f"/tab?number={tab}" for tab in range(10)]
        tabs = [Browser(world, jar=alice.jar) for _ in urls]  # one cookie jar, as tabs have
        pages = await asyncio.gather(*(tab.open(url) for tab, url in zip(tabs, urls, strict=True)))
        assert [(page.url, page.status) for page in pages] == [(url, 200) for url in urls]


async def test_a_websocket_carries_bytes_both_ways(world: Inside, app: App):
    world.route("live", app.url)
    async with running(world):
        cookie = (await world.login("ann", "live"))["live"]
        async with await world.line("live") as line:
            line.ask("GET", "/ws", world.host("live"), [*UPGRADE, ("Cookie", cookie), ("Origin", world.origin("live"))])
            head = await line.head()
            assert head.status == 101
            assert head.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            assert await line.until(b"hello.") == b"hello."
            for size in (1, 70_000):
                frame = os.urandom(size)
                line.say(frame)
                assert await line.reader.readexactly(size) == frame
        assert app.last().header("x-ostiary-email") == "ann@example.com"
        await eventually(lambda: not app.open, "the app sees that the WebSocket is gone")
        said = await world.recorded(path="/ws", status=101)
        assert said["outcome"] == "allow"


async def test_a_foreign_page_cannot_open_a_websocket_with_her_cookie(world: Inside, app: App):
    world.route("live", app.url)
    world.route("open", app.url, websocket_origins=["https://dash.example"])
    async with running(world):
        cookies = await world.login("ann", "live", "open")
        for name, origin, status in (
            ("live", "https://evil.example", 403),
            ("live", "null", 403),
            ("open", "https://evil.example", 403),
            ("open", "https://dash.example", 101),
        ):
            async with await world.line(name) as line:
                line.ask("GET", "/ws", world.host(name), [*UPGRADE, ("Cookie", cookies[name]), ("Origin", origin)])
                assert (await line.head()).status == status, (name, origin)
        assert len(app.seen) == 1


async def test_server_sent_events_arrive_as_they_are_sent(world: Inside, app: App):
    world.route("live", app.url)
    async with running(world):
        cookie = (await world.login("ann", "live"))["live"]
        async with await world.line("live") as line:
            line.ask("GET", "/stream", world.host("live"), [("Cookie", cookie)])
            assert (await line.head()).header("content-type") == "text/event-stream"
            await line.until(b"data: 1\n\n")
            await line.until(b"data: 3\n\n")
        await eventually(lambda: app.hung_up == 1, "the app is told that nobody listens any more")


async def test_big_files_go_up_and_down_unchanged(world: Inside, app: App):
    world.route("files", app.url)
    async with running(world):
        cookie = (await world.login("ann", "files"))["files"]
        body = os.urandom(1024) * 20_000
        answer = await world.ask("files", "/upload", method="PUT", body=body, cookie=cookie)
        assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
        got = await world.ask("files", "/download/30000000", cookie=cookie)
        assert len(got.body) == 30_000_000
        assert got.body[-3:] == (bytes(range(256)) * 256)[(30_000_000 - 3) % 65536 : 30_000_000 % 65536]
        line = await world.recorded(path="/upload")
        assert line["bytes_in"] == len(body)
        assert (await world.recorded(path="/download/30000000"))["bytes_out"] == 30_000_000


async def test_a_slow_reader_does_not_fill_our_memory(world: Inside, app: App):
    """The app cannot send further ahead of the reader than the buffers between them."""
    world.route("files", app.url)
    async with running(world):
        cookie = (await world.login("ann", "files"))["files"]
        async with await world.line("files") as line:
            line.ask("GET", "/download/400000000", world.host("files"), [("Cookie", cookie)])
            await line.head()
            exchange = await eventually(
                lambda: next(
                    (one.exchange for one in world.worker.ticker.watched if getattr(one, "exchange", None)), 0
                ),
                "the exchange is under way",
            )
            last = -1
            while exchange.bytes_out != last:  # it stands still once all buffers are full
                last = exchange.bytes_out
                await asyncio.sleep(0.2)
            assert exchange.bytes_out < 32_000_000


async def test_is_refused_with_a_page_that_names_rule_fact_and_reference(world: Inside, app: App):
    world.route("payroll", app.url, allow=[{"name": "finance-only", "groups": ["finance"]}])
    async with employed(world), running(world):
        alice = Browser(world)
        page = await alice.open(world.origin("payroll") + "/salaries")
        assert (page.status, page.url) == (403, world.origin("payroll") + "/salaries")
        line = await world.recorded(route="payroll", outcome="deny")
        for told in ("finance-only", "finance", line["reference"], "alice@example.com"):
            assert told in page.text, told
        program = await alice.fetch(world.origin("payroll") + "/salaries")
        said = program.json
        assert (program.status, said["reason"], said["rule"]) == (403, "no-rule-allows", "finance-only")
        assert "finance" in str(said["failed"])
        assert said["reference"] != line["reference"]
        assert (await world.recorded(reference=said["reference"]))["status"] == 403
        assert not app.seen


async def test_reads_the_routes_own_words_when_refused(world: Inside, app: App):
    words = {"text": "Payroll is for Finance; ask Carla.", "link": "https://ask.example/payroll"}
    world.route("payroll", app.url, allow=[{"name": "finance", "groups": ["finance"]}], refusal=words)
    async with running(world):
        cookie = (await world.login("ann", "payroll"))["payroll"]
        page = await world.ask("payroll", headers=[("Accept", "text/html")], cookie=cookie)
        assert page.status == 403
        assert "Payroll is for Finance; ask Carla." in page.text
        assert 'href="https://ask.example/payroll"' in page.text


async def test_a_script_on_a_page_is_never_redirected(world: Inside, app: App):
    world.route("wiki", app.url)
    async with running(world):
        answer = await world.ask("wiki", "/api?x=1", headers=FETCH)
        assert answer.status == 401
        assert answer.json["reason"] == "login-required"
        assert answer.json["login_url"].startswith(world.origin("wiki") + "/.ostiary/login?return=")


async def test_whoami_and_the_portal_know_her(world: Inside, app: App):
    world.route("wiki", app.url, title="Wiki")
    world.route("payroll", app.url, title="Payroll", allow=[{"name": "finance", "groups": ["finance"]}])
    world.route("hidden", app.url, title="Hidden", hidden=True)
    world.route("night", app.url, title="Night", deny=[{"name": "guests", "networks": ["127.0.0.0/8"]}])
    world.route("team", app.url, title="Team", at="*.teams.test")
    world.route("info", app.url, title="Info", public=True)
    async with employed(world), running(world):
        alice = Browser(world)
        await alice.open(world.origin("wiki") + "/")
        who = await alice.fetch(world.origin("wiki") + "/.ostiary/whoami")
        assert who.json["email"] == "alice@example.com"
        assert who.json["groups"] == ["engineering"]
        portal = await alice.open(world.origin("login") + "/")
        assert _apps_on(portal.answer, world) == ["info", "wiki"]
        assert (await world.ask("wiki", "/.ostiary/whoami", headers=FETCH)).status == 401


def _apps_on(portal: Answer, world: Inside) -> list[str]:
    found = re.findall(rf'href="https://([a-z]+)\.apps\.test:{world.https}/?"', portal.text)
    return sorted(set(found) - {"login"})


async def test_logs_out_here_and_at_the_provider(world: Inside, app: App):
    for name in ("wiki", "code"):
        world.route(name, app.url)
    async with employed(world) as corp, running(world):
        alice = Browser(world)
        for name in ("wiki", "code"):
            assert (await alice.open(world.origin(name) + "/")).status == 200
        async with await world.line("code") as stream:
            stream.ask("GET", "/stream", world.host("code"), [("Cookie", alice.cookie("code.apps.test"))])
            await stream.until(b"data: 1\n\n")
            page = await alice.submit(world.origin("wiki") + "/.ostiary/logout", {})
            assert page.url.startswith(world.origin("login") + "/.ostiary/logged-out")
            await stream.closed()
        for name in ("wiki", "code"):
            assert (await alice.fetch(world.origin(name) + "/")).status == 401
        assert not corp.idp.ledger.logins()
        assert (await world.recorded(type="logout"))["identity"] == "alice@example.com"


async def test_is_logged_out_everywhere_when_the_provider_ends_the_login(world: Inside, app: App):
    world.route("wiki", app.url)
    async with employed(world) as corp, running(world):
        alice = Browser(world)
        await alice.open(world.origin("wiki") + "/")
        async with await world.line("wiki") as stream:
            stream.ask("GET", "/stream", world.host("wiki"), [("Cookie", alice.cookie("wiki.apps.test"))])
            await stream.until(b"data: 1\n\n")
            (login,) = corp.idp.ledger.logins()
            await corp.idp.end(login.sid)
            await stream.closed()
        assert corp.told == [200]
        answer = await alice.fetch(world.origin("wiki") + "/")
        assert (answer.status, answer.json["reason"]) == (401, "session-revoked")
        assert (await world.recorded(type="revocation"))["note"].startswith("provider: corp")


async def test_logging_in_again_is_asked_for_when_the_login_is_too_old(world: Inside, app: App):
    world.route("vault", app.url, allow=[{"name": "fresh", "groups": ["engineering"], "auth_age": "5m"}])
    async with employed(world) as corp, running(world):
        alice = Browser(world)
        await alice.open(world.origin("vault") + "/")
        assert len(app.seen) == 1
        later = world.worker.house.clock() + 600
        world.worker.house.clock = lambda: later
        answer = await alice.fetch(world.origin("vault") + "/")
        assert (answer.status, answer.json["reason"]) == (401, "reauthentication-required")
        assert "max_age=300" in answer.json["login_url"]
        assert corp.told == []


async def test_whoever_hangs_up_cancels_the_work_of_the_app(world: Inside, app: App):
    world.route("slow", app.url)
    async with running(world):
        cookie = (await world.login("ann", "slow"))["slow"]
        line: Line
        async with await world.line("slow") as line:
            line.ask("GET", "/hold", world.host("slow"), [("Cookie", cookie)])
            await eventually(lambda: app.seen, "the app works on it")
        await eventually(lambda: app.hung_up == 1, "the app is told")
        assert (await world.recorded(path="/hold"))["outcome"] == "allow"
