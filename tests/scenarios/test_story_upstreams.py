"""Apps behind: several of them, dead ones, sockets, TLS, and what HTTP asks of whoever stands between."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from scenario_http import Line
from scenario_world import App, Inside, eventually, free_port, running, serving

from proxy.pki import CertificateFolder


async def test_weights_share_the_requests(world: Inside, app: App):
    async with serving(App("second")) as second:
        world.route("app", [{"url": app.url, "weight": 3}, {"url": second.url, "weight": 1}], public=True)
        async with running(world), await world.line("app") as line:
            for _ in range(200):
                assert (await line.request("GET", "/", world.host("app"))).status == 200
        assert 110 < len(app.seen) < 190  # 150 expected, ±6.5 σ
        assert len(app.seen) + len(second.seen) == 200


async def test_one_dead_of_several_is_not_noticed(world: Inside, app: App):
    world.route("app", [f"http://127.0.0.1:{free_port()}", app.url], public=True)
    async with running(world):
        for number in range(20):
            answer = await world.ask("app", "/upload", method="POST", body=b"%d" % number)
            assert (answer.status, answer.json["size"]) == (200, len(str(number)))
        assert len(app.seen) == 20


async def test_all_dead_is_502_as_page_and_as_json_and_heals_by_itself(world: Inside):
    port, other = free_port(), free_port()
    world.route("app", [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}"], public=True)
    async with running(world):
        for _ in range(5):
            answer = await world.ask("app")
            assert (answer.status, answer.json["reason"]) == (502, "upstream-unreachable")
        page = await world.ask("app", headers=[("Accept", "text/html")])
        assert (page.status, page.header("content-type")) == (502, "text/html; charset=utf-8")
        assert "does not answer" in page.text
        assert str(port) not in page.text  # where the app is, is nobody's business
        async with serving(App(port=port)) as back:
            assert (await world.ask("app")).status == 200
            assert back.seen
        assert (await world.recorded(status=502))["reason"] == "upstream-unreachable"


async def test_an_app_that_never_answers_is_504(world: Inside, app: App):
    world.route("slow", app.url, public=True, timeouts={"response": "300ms"})
    async with running(world):
        answer = await world.ask("slow", "/hold")
        assert (answer.status, answer.json["reason"]) == (504, "upstream-timeout")
        await eventually(lambda: app.hung_up == 1, "the app is told that nobody waits any more")


async def test_an_app_with_no_connection_left_is_503(world: Inside, app: App):
    world.route("busy", app.url, public=True, upstream_connections=1, timeouts={"connect": "200ms"})
    async with running(world), await world.line("busy") as first:
        first.ask("GET", "/hold", world.host("busy"))
        await eventually(lambda: app.seen, "the only connection is taken")
        answer = await world.ask("busy")
        assert (answer.status, answer.json["reason"]) == (503, "overloaded")
        app.gate.set()
        assert (await first.answer()).status == 200
        assert (await world.ask("busy")).status == 200
        assert app.connections == 1


async def test_an_app_that_breaks_off_leaves_no_whole_answer(world: Inside, app: App):
    world.route("app", app.url, public=True, timeouts={"idle": "300ms"})
    async with running(world), await world.line("app") as line:
        line.ask("GET", "/hold/1000", world.host("app"))
        assert (await line.head()).header("content-length") == "2000"
        assert len(await line.closed()) == 1000
        await world.recorded(path="/hold/1000")


async def test_a_connection_the_app_closed_meanwhile_is_not_noticed(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world):
        assert (await world.ask("app")).status == 200
        (pool,) = [one for one in world.worker.plan.pools.values() if one.origin.port == app.port]
        for connection in list(pool.live):
            connection.transport.abort()
        assert (await world.ask("app")).status == 200
        assert (await world.ask("app", method="POST", body=b"x")).status == 200


async def test_a_unix_socket(world: Inside):
    async with serving(App(), unix=str(world.folder / "app.sock")) as app:
        world.route("app", "unix:../app.sock", public=True)
        world.route("own", "unix:../app.sock", public=True, host="rewrite")
        async with running(world):
            assert (await world.ask("app", "/x?y")).json["target"] == "/x?y"
            assert app.last().header("host") == world.host("app")
            await world.ask("own")
            assert app.last().header("host") == "localhost"


async def test_https_with_its_own_authority_and_our_certificate(world: Inside):
    tls = app_tls(world.authorities)
    async with serving(App(), tls=tls) as app:
        to = app.url.replace("http:", "https:")
        ours = {"ca": "../certs/servers-ca.crt", "server_name": "inner.test"}
        client = {"cert": "../certs/billing.crt", "key": "../certs/billing.key"}
        world.route("app", to, public=True, upstream_tls=ours | client)
        world.route("anonymous", to, public=True, upstream_tls=ours)
        world.route("wrong", to, public=True, upstream_tls=client | ours | {"server_name": "other.test"})
        world.route("untrusted", to, public=True, upstream_tls=client | {"server_name": "inner.test"})
        async with running(world):
            assert (await world.ask("app")).status == 200
            assert app.client_names == [(("URI", "spiffe://example.org/billing"),)]
            for name in ("wrong", "untrusted", "anonymous"):
                answer = await world.ask(name)
                assert answer.status == 502, name
            assert len(app.seen) == 1


def app_tls(certs: CertificateFolder) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.path / "teams.crt", certs.path / "teams.key")
    context.load_verify_locations(certs.path / "clients-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_early_hints_pass_and_old_clients_are_spared_them(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world):
        answer = await world.ask("app", "/early")
        (hint,) = answer.interim
        assert (hint.status, hint.header("link")) == (103, "</style.css>; rel=preload")
        async with await world.line("app") as line:
            line.say(f"GET /early HTTP/1.0\r\nHost: {world.host('app')}\r\n\r\n".encode())
            answer = await line.answer()
            assert (answer.status, answer.interim) == (200, [])
            assert await line.closed() == b""


async def test_head_has_the_length_and_no_body(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await world.line("app") as line:
        answer = await line.request("HEAD", "/x", world.host("app"))
        assert answer.status == 200
        assert (await line.request("GET", "/y", world.host("app"))).json["target"] == "/y"
        refused = await line.request("HEAD", "/", "nobody.apps.test")
        assert refused.status in (404, 421)
        assert app.last().target == "/y"


async def test_one_connection_carries_many_requests_and_pipelined_ones_in_order(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await world.line("app") as line:
        for number in range(5):
            answer = await line.request("POST", f"/{number}", world.host("app"), body=b"x" * number)
            assert (answer.json["target"], answer.json["size"]) == (f"/{number}", number)
        for number in range(5):
            line.ask("GET", f"/p{number}", world.host("app"))
        assert [(await line.answer()).json["target"] for _ in range(5)] == [f"/p{number}" for number in range(5)]
        assert app.connections == 1


async def test_the_app_is_not_asked_before_100_continue_is_due(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        expect = [("Expect", "100-continue"), ("Content-Length", "5")]
        async with await world.line("app") as line:
            line.ask("POST", "/upload", world.host("app"), [*expect, ("Cookie", cookie)])
            assert (await line.head()).status == 100
            line.say(b"hello")
            assert (await line.answer()).json["size"] == 5
        async with await world.line("app") as line:  # nobody is asked to send what will be refused
            line.ask("POST", "/upload", world.host("app"), expect)
            assert (await line.head()).status == 401
        assert len(app.seen) == 1


@pytest.mark.parametrize("size", [0, 1, 100_000])
async def test_a_half_closed_client_still_gets_its_answer(world: Inside, size: int):
    """In clear text, behind a trusted front: TLS as Python does it has no half-closed state."""
    async with serving(App()) as app:
        world.config["listeners"][1] |= {"cleartext": "proxy", "trusted_proxies": ["127.0.0.0/8"]}
        world.route("app", app.url, public=True)
        async with running(world), await Line.open(world.http) as line:
            line.ask("POST", "/upload", world.host("app"), body=b"x" * size)
            line.writer.write_eof()
            assert (await line.answer()).json["size"] == size
            assert await line.closed() == b""


async def test_an_upload_that_breaks_off_is_no_upload(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world):
        async with await world.line("app") as line:
            line.ask("POST", "/upload", world.host("app"), [("Content-Length", "100000")])
            line.say(b"x" * 5_000)
            await eventually(lambda: app.seen, "the app has begun to read")
        await eventually(lambda: not app.open, "the app's connection is closed: what came was not all")
        assert app.last().body == b""
        await asyncio.sleep(0)
