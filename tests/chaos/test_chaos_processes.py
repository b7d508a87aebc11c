"""Processes that die, hang, or cannot begin."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time

import pytest
from scenario_http import Ended, Line
from scenario_processes import ROOT, START, Outside, alive
from scenario_world import App, eventually, eventually_so

from proxy.pki.authority import DAY


async def test_one_worker_is_killed_under_load(proxy: Outside, app: App):
    """Requests on the other one are unharmed, a successor serves, and the record says what may be missing."""
    proxy.route("app", app.url, public=True)
    await proxy.start()
    victim = proxy.workers()[0]
    done = asyncio.Event()
    lines = await proxy.lines_on_every_worker("app")
    clients = [asyncio.create_task(keep_asking(proxy, line, number, done)) for number, line in enumerate(lines)]
    await eventually(lambda: len(proxy.lines(route="app")) > 200, "the load is on")
    runs = {row["run"]: row["pid"] for row in proxy.lines(type="start")}
    os.kill(victim, signal.SIGKILL)
    await proxy.says("serves again")
    done.set()
    told = await asyncio.gather(*clients)
    broken = [references for references, ended in told if ended]
    whole = [references for references, ended in told if not ended]
    assert broken, "some connections were the victim's"
    assert whole, "the others went on"
    proxy.process.send_signal(signal.SIGTERM)
    assert await proxy.ended() == 0
    recorded = {row["reference"] for row in proxy.lines(route="app")}
    assert {one for references in whole for one in references} <= recorded
    (unclosed,) = proxy.lines(type="unclosed")
    assert runs[unclosed["of"]] == unclosed["pid"] == victim
    missing = {one for references in broken for one in references} - recorded
    assert len(missing) <= 2_000  # of the last 50 ms, which `unclosed` confesses


async def keep_asking(proxy: Outside, line: Line, number: int, done: asyncio.Event) -> tuple[list[str], bool]:
    """Ask again and again; the references of the answers, and whether the connection broke."""
    references = []
    try:
        while not done.is_set():
            answer = await line.request("GET", f"/{number}", proxy.host("app"))
            assert answer.status == 200
            told = dict(answer.json["headers"])
            references.append(told["X-Request-Id"])
    except (Ended, ConnectionError):
        return references, True
    finally:
        line.writer.transport.abort()
    return references, False


async def test_a_worker_that_keeps_dying_is_started_less_and_less_often(proxy: Outside, app: App):
    proxy.config["workers"] = 1
    proxy.route("app", app.url, public=True)
    await proxy.start()
    for number, pause in enumerate(("0.0 s", "0.2 s", "1.0 s"), 1):
        (pid,) = proxy.workers()
        os.kill(pid, signal.SIGKILL)
        assert pause in (await proxy.says("ended unexpectedly (killed by signal 9)", number))["message"]
        await proxy.says("serves again", number)
        assert (await proxy.ask("app")).status == 200
    assert len(proxy.workers()) == 1


async def test_a_successor_that_cannot_start_is_tried_until_it_can(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    key = proxy.certs / "assertion.key"
    text = key.read_bytes()
    key.unlink()
    victim = proxy.workers()[0]
    os.kill(victim, signal.SIGKILL)
    said = await proxy.says("cannot start: ")
    assert "assertion.key" in said["message"]
    assert len(proxy.workers()) <= 2, "one successor at a time"
    ready = await proxy.admin("/readyz")
    assert (ready.status, list(ready.json["checks"].values())) == (503, ["starting"])
    key.write_bytes(text)
    key.chmod(0o600)
    await proxy.says("serves again")
    await eventually(lambda: len(proxy.workers()) == 2, "two workers")
    assert (await proxy.ready())["ready"] is True


async def test_the_whole_proxy_is_killed_and_sessions_survive(proxy: Outside, app: App):
    proxy.config["limits"] = {"shutdown": "1s"}
    proxy.route("app", app.url)
    await proxy.start()
    cookie = (await proxy.login("ann", "app"))["app"]
    assert (await proxy.ask("app", cookie=cookie)).status == 200
    workers = proxy.workers()
    async with await proxy.line("app") as stream:
        stream.ask("GET", "/stream", proxy.host("app"), [("Cookie", cookie)])
        await stream.until(b"data: 1\n\n")
        proxy.process.kill()
        proxy.process.wait()
        await eventually(lambda: not listens(proxy.https), "orphans accept nobody")
        await proxy.start()  # although they still finish what is under way
        assert (await proxy.ask("app", cookie=cookie)).status == 200
        await eventually(lambda: not any(alive(pid) for pid in workers), "no worker is left behind")
        await stream.closed()
    assert len(proxy.logged("the supervisor is gone")) == 2
    assert len(proxy.lines(type="start")) == 4
    assert len(proxy.lines(type="stop")) == 2, "orphans close their record"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_everything_is_killed_at_once(proxy: Outside, app: App):
    proxy.route("app", app.url)
    await proxy.start()
    cookie = (await proxy.login("ann", "app"))["app"]
    workers = proxy.workers()
    for pid in (proxy.process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    proxy.process.wait()
    await eventually(lambda: not any(alive(pid) for pid in workers), "the end of all")
    await proxy.start()
    assert (await proxy.ask("app", cookie=cookie)).status == 200
    assert {row["pid"] for row in proxy.lines(type="unclosed")} == set(workers)


async def test_a_worker_that_hangs_holds_up_neither_metrics_nor_the_end(proxy: Outside, app: App):
    proxy.config["limits"] = {"shutdown": "0s"}
    proxy.route("app", app.url, public=True)
    await proxy.start()
    stuck = proxy.workers()[0]
    os.kill(stuck, signal.SIGSTOP)
    began = time.monotonic()
    assert (await proxy.admin("/metrics")).status == 200
    assert time.monotonic() - began < 5
    await eventually_so(lambda: says_silent(proxy), "readiness tells of it")
    proxy.process.send_signal(signal.SIGTERM)
    assert await proxy.ended(within=15) == 0
    assert not alive(stuck)
    assert proxy.logged("did not end in time")


async def says_silent(proxy: Outside) -> bool:
    return "does not answer" in (await proxy.ready())["checks"].values()


async def test_told_twice_it_ends_at_once(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    await proxy.start()
    async with await proxy.line("app") as line:
        line.ask("GET", "/hold", proxy.host("app"))
        await eventually(lambda: app.seen, "the app works on it")
        proxy.process.send_signal(signal.SIGINT)
        await proxy.says("shutting down")
        proxy.process.send_signal(signal.SIGINT)
        assert await proxy.ended(within=5) == 0


async def test_told_to_end_while_it_starts(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    proxy.launch()
    await eventually(lambda: proxy.process.poll() is not None or proxy.workers(), "the first worker")
    proxy.process.send_signal(signal.SIGTERM)
    assert await proxy.ended() == 0
    assert not listens(proxy.https)


@pytest.mark.parametrize("which", ["https", "admin"])
async def test_a_port_in_use_is_said(proxy: Outside, which: str):
    port = int(proxy.config["admin"]["address"].rpartition(":")[2]) if which == "admin" else getattr(proxy, which)
    with socket.create_server(("127.0.0.1", port)):
        proxy.launch()
        assert await proxy.ended() == 1
    (line,) = proxy.logged("cannot start")
    assert f"127.0.0.1:{port}" in line["message"]
    assert "in use" in line["message"]
    assert "choose another" in line["message"]
    assert "Traceback" not in proxy.log_file.read_text()


async def test_what_cannot_start_says_why_and_leaves_nothing(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    (proxy.folder / "var").mkdir()
    (proxy.folder / "var" / "state.db.key").write_text("no key")
    (proxy.folder / "var" / "state.db.key").chmod(0o600)
    proxy.launch()
    assert await proxy.ended() == 1
    said = proxy.log_file.read_text()
    assert "state.db.key: this is not a key made here" in said
    assert "Traceback" not in said
    assert not proxy.logged("ended unexpectedly")
    assert not listens(proxy.https)


async def test_mistakes_in_the_configuration_are_shown_with_place_and_hint(proxy: Outside, app: App):
    proxy.route("app", app.url, pubilc=True)
    proxy.launch()
    assert await proxy.ended() == 1
    said = proxy.log_file.read_text()
    assert "routes/apps.yaml:9:3: unknown key" in said
    assert "hint:" in said


async def test_an_expired_server_certificate_is_warned_of(proxy: Outside, app: App):
    now = time.time()
    proxy.authorities.server(["*.teams.test"], now=now - 20 * DAY, lifetime=10 * DAY, file="teams", force=True)
    proxy.authorities.server(["*.apps.test"], now=now, lifetime=3 * DAY, file="apps", force=True)
    proxy.route("app", app.url, public=True)
    await proxy.start()
    assert (await proxy.says("teams.crt has expired"))["level"] == "warning"
    assert (await proxy.says("apps.crt expires on"))["level"] == "warning"
    assert (await proxy.ask("app")).status == 200
    proxy.authorities.server(["*.teams.test"], now=now, file="teams", force=True)
    await proxy.says("reloaded")
    assert len(proxy.logged("apps.crt expires on")) == 1, "said once, not at every reload"
    assert all(line["level"] != "?" for line in proxy.log()), "every line of the log is JSON, the workers' too"


async def test_on_ready_is_called_when_requests_are_served(proxy: Outside, app: App):
    proxy.route("app", app.url, public=True)
    code = (
        "import sys; from pathlib import Path; from proxy.app.supervisor import serve\n"
        "sys.exit(serve(Path(sys.argv[1]), on_ready=lambda: print('go', flush=True)))"
    )
    proxy.run([sys.executable, "-c", code, str(proxy.write())], cwd=ROOT)
    await eventually(lambda: "go" in proxy.log_file.read_text().splitlines(), "the call", START)
    assert (await proxy.ask("app")).status == 200
    proxy.process.terminate()
    assert await proxy.ended() == 0


async def test_another_folder_called_proxy_is_not_mistaken_for_us(proxy: Outside, app: App):
    """Started from a folder with a package of our name in it, workers are still ours."""
    proxy.route("app", app.url, public=True)
    path = proxy.write()
    trap = proxy.folder / "elsewhere" / "proxy"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('the wrong package')")
    code = "import sys, pathlib, proxy.app.supervisor as s; sys.exit(s.serve(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-P", "-c", code, str(path)]
    proxy.run(command, cwd=trap.parent, env=os.environ | {"PYTHONPATH": str(ROOT)})
    await eventually(lambda: listens(proxy.https) or proxy.process.poll() is not None, "a start", START)
    assert (await proxy.ask("app")).status == 200
