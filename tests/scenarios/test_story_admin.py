"""An admin edits files, rotates certificates, revokes sessions, and loses nobody's connection over it."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from scenario_http import Ended, Line
from scenario_processes import Outside, alive
from scenario_world import CUT, App, eventually

from proxy.pki.authority import new_key, private_pem

SOON = 3.0  # seconds for “within a second”, on a machine that does much else


async def asked_until(proxy: Outside, name: str, status: int, within: float = SOON) -> None:
    """Ask until the answer is `status`, on connections that reach every worker."""
    until = time.monotonic() + within
    while True:
        answers = [(await proxy.ask(name)).status for _ in range(6)]
        if set(answers) == {status}:
            return
        assert time.monotonic() < until, answers


async def test_an_edit_is_in_force_within_a_second_and_drops_nobody(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    async with await proxy.line("app") as stream, await proxy.line("app") as kept:
        stream.ask("GET", "/stream", proxy.host("app"))
        await stream.until(b"data: 1\n\n")
        assert (await kept.request("GET", "/", proxy.host("app"))).status == 200
        proxy.route("new", app.url, public=True)
        proxy.routes[0]["deny"] = [{"name": "closed", "methods": ["DELETE"]}]
        proxy.write()
        await asked_until(proxy, "new", 200)
        line = await proxy.says("reloaded (a file changed): 2 routes")
        assert line["level"] == "info"
        answer = await kept.request("DELETE", "/", proxy.host("app"))  # on the connection from before
        assert answer.json["rule"] == "closed"
        await stream.until(b"\n\n")
        await stream.until(b"\n\n")
    assert (await proxy.metric("ostiary_reloads_total", result="ok")) == 1
    assert (await proxy.metric("ostiary_configuration_revision_info")) == 1


async def test_sighup_reads_again_and_a_new_file_in_the_folder_counts(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    (proxy.folder / "routes" / "more.yaml").write_text(
        f"routes:\n  - {{name: more, from: '{proxy.origin('more')}', to: '{app.url}', public: true}}\n"
    )
    assert proxy.process is not None
    proxy.process.send_signal(signal.SIGHUP)
    await asked_until(proxy, "more", 200)
    (proxy.folder / "routes" / "more.yaml").unlink()
    await asked_until(proxy, "more", 404)


async def test_a_bad_file_changes_nothing_and_the_log_says_where(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    routes = proxy.folder / "routes" / "apps.yaml"
    good = routes.read_text()
    routes.write_text(good.replace("public:", "pubilc:"))
    line = await proxy.says("not reloaded")
    assert line["level"] == "error"
    number = 1 + next(n for n, text in enumerate(good.splitlines()) if "public" in text)
    assert f"apps.yaml:{number}:3" in line["message"]
    assert (await proxy.ask("app")).status == 200
    # Should a worker end now, its successor has what is in force, not what is in the file.
    before = set(proxy.workers())
    os.kill(min(before), signal.SIGKILL)
    await proxy.says("serves again")
    assert len(set(proxy.workers()) - before) == 1
    for _ in range(6):
        assert (await proxy.ask("app")).status == 200
    routes.write_text(good + f"- {{name: new, from: '{proxy.origin('new')}', to: '{app.url}', public: true}}\n")
    await asked_until(proxy, "new", 200)
    assert (await proxy.metric("ostiary_reloads_total", result="refused")) >= 1


async def test_what_takes_a_restart_is_said(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    proxy.config["workers"] = 3
    proxy.config["audit"]["keep"] = 3
    proxy.config["listeners"][1]["cleartext"] = "proxy"
    proxy.config["listeners"][1]["trusted_proxies"] = ["127.0.0.1/32"]
    proxy.write()
    line = await proxy.says("takes a restart")
    for what in ("workers", "audit", f"tls or cleartext of 127.0.0.1:{proxy.http}"):
        assert what in line["message"]
    assert "state" not in line["message"]


async def test_certificates_rotate_twice_and_the_revocation_list_with_them(proxy: Outside, app: App):
    """The YAML stays the same; the files it names are what changes."""
    proxy.route("app", app.url, public=True)
    proxy.route("orders", app.url, allow=[{"name": "all", "services": ["spiffe://example.org/*"]}])
    await proxy.start()
    shown = {await shown_certificate(proxy)}
    for number in range(2):
        names = ["*.apps.test", "login.apps.test"]
        proxy.authorities.server(names, now=time.time(), file="apps", force=True)
        await proxy.says("reloaded", number + 1)
        (fresh,) = {await shown_certificate(proxy) for _ in range(6)}
        assert fresh not in shown
        shown.add(fresh)
    assert (await proxy.ask("orders", service="billing")).status == 200
    async with await proxy.line("orders", "billing") as stream:
        stream.ask("GET", "/stream", proxy.host("orders"))
        await stream.until(b"data: 1\n\n")
        proxy.authorities.revoke(str(proxy.certs / "billing.crt"), now=time.time())
        await stream.closed(within=SOON + CUT)
    assert (await proxy.ask("orders", service="billing")).json["reason"] == "certificate-revoked"


async def shown_certificate(proxy: Outside) -> bytes:
    async with await proxy.line("app") as line:
        der: bytes = line.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return der


async def test_a_key_that_does_not_fit_its_certificate_is_waited_for(proxy: Outside, app: App):
    """Rotation by two files: what is there in between is refused, what comes then is taken."""
    proxy.route("app", app.url, public=True)
    await proxy.start()
    old = await shown_certificate(proxy)
    good = (proxy.certs / "apps.key").read_bytes()
    (proxy.certs / "apps.key").write_bytes(private_pem(new_key()))
    assert "do not belong together" in (await proxy.says("not reloaded"))["message"]
    assert await shown_certificate(proxy) == old
    (proxy.certs / "apps.key").write_bytes(good)
    await proxy.says("reloaded")


async def test_revoking_a_session_ends_it_in_every_worker_at_once(proxy: Outside, app: App):
    proxy.route("app", app.url)
    await proxy.start()
    cookie = ("Cookie", (await proxy.login("ann", "app"))["app"])
    streams = await proxy.lines_on_every_worker("app")
    try:
        await asyncio.gather(*(begin(proxy, stream, kind, cookie) for kind, stream in enumerate(streams)))
        await eventually(lambda: len(proxy.lines(path="/warm")) == len(streams), "they are on record")
        assert len({row["run"] for row in proxy.lines(path="/warm")}) == 2, "the connections reach both workers"
        code, said = await proxy.command("sessions", "revoke", "--user", "ann@example.com")
        done = time.monotonic()
        assert code == 0, said
        assert "All 2 running workers acted on it" in said
        await asyncio.gather(*(stream.closed(within=CUT) for stream in streams))
        assert time.monotonic() - done < CUT
    finally:
        for stream in streams:
            stream.writer.transport.abort()
    for _ in range(6):
        answer = await proxy.ask("app", cookie=cookie[1])
        assert (answer.status, answer.json["reason"]) == (401, "session-revoked")
    code, said = await proxy.command("sessions", "list")
    assert (code, said) == (0, "Nobody is logged in.\n")


async def begin(proxy: Outside, line: Line, kind: int, cookie: tuple[str, str]) -> None:
    """Open a WebSocket, an event stream or a download on this connection."""
    host = proxy.host("app")
    await line.request("GET", "/warm", host, [cookie])
    if kind % 3 == 0:
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
        key = [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Origin", proxy.origin("app"))]
        line.ask("GET", "/ws", host, [*upgrade, *key, cookie])
        await line.until(b"hello.")
    elif kind % 3 == 1:
        line.ask("GET", "/stream", host, [cookie])
        await line.until(b"data: 1\n\n")
    else:
        line.ask("GET", "/hold/1000", host, [cookie])
        await line.until(b"\r\n\r\n")
        await line.reader.readexactly(1000)


async def test_the_admin_address_tells_how_it_goes(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    assert (await proxy.admin("/healthz")).status == 200
    ready = await proxy.admin("/readyz")
    assert (ready.status, ready.json["ready"]) == (200, True)
    for _ in range(5):
        await proxy.ask("app")
    assert await proxy.metric("ostiary_requests_total", route="app", outcome="allow") == 5
    for worker in ("0", "1", "supervisor"):
        assert await proxy.metric("ostiary_process_resident_bytes", worker=worker) > 10_000_000
        assert abs(await proxy.metric("ostiary_process_start_time_seconds", worker=worker) - time.time()) < 60
    os.kill(proxy.workers()[0], signal.SIGKILL)
    await proxy.says("serves again")
    assert await proxy.metric("ostiary_requests_total", route="app", outcome="allow") == 5  # counters never go back
    assert await proxy.metric("ostiary_worker_restarts_total") == 1


async def test_sigterm_lets_a_download_finish_and_refuses_new_connections(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    assert proxy.process is not None
    workers = proxy.workers()
    async with await proxy.line("app") as download, await proxy.line("app") as idle:
        assert (await idle.request("GET", "/", proxy.host("app"))).status == 200
        download.ask("GET", "/hold/1000000", proxy.host("app"))
        head = await download.head()
        await eventually(lambda: len(app.seen) == 2, "the download is under way")
        proxy.process.send_signal(signal.SIGTERM)
        await idle.closed()
        assert (await proxy.ready())["checks"]["proxy"] == "shutting down"
        try:
            async with await proxy.line("app"):
                raise AssertionError("a new connection was accepted")
        except (OSError, Ended):
            pass
        app.gate.set()
        assert len(await download.body(head)) == 2_000_000
    assert await proxy.ended() == 0
    assert not any(alive(pid) for pid in workers)
    assert proxy.lines(path="/hold/1000000")[0]["bytes_out"] == 2_000_000
    assert len(proxy.lines(type="stop")) == 2
    assert {row["lost"] for row in proxy.lines(type="stop") if "lost" in row} <= {0}


async def test_sigterm_waits_no_longer_than_its_bound(proxy: Outside, app: App):
    proxy.config["limits"] = {"shutdown": "1s"}
    proxy.route("app", app.url, public=True)
    await proxy.start()
    assert proxy.process is not None
    async with await proxy.line("app") as line:
        line.ask("GET", "/hold", proxy.host("app"))
        await eventually(lambda: app.seen, "the app works on it")
        proxy.process.send_signal(signal.SIGTERM)
        assert await proxy.ended(within=6) == 0
    await proxy.recorded(path="/hold")
