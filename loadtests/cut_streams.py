"""How long 10,000 open streams go on after their device stops complying, and what others feel meanwhile.

One worker, as `ostiary serve` runs it, with its inventory of devices; WebSockets (or event streams) of one person on
one laptop; then a management system says that the laptop does not comply any more. Prints the time from that word to
the last cut, as the clients see it, and the slowest answer that another connection got meanwhile.

    python -m loadtests.cut_streams [--streams 10000] [--kind websocket|events]

Exit 1 when the last cut took more than 1 s or an answer more than 50 ms. Three processes: the worker (`--serve`), a
probe that is its own app (`--probe`), and this one, which is all the clients and the app behind their streams. Every
stream costs the worker two descriptors: where fewer are allowed, fewer streams are opened, and the output says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
import yaml

from loadtests.cutting import HOST, PROBE, write_key
from loadtests.frames import CLOSE, frame
from loadtests.processes import CorrectnessError
from loadtests.wire import handshake
from proxy.wire.websocket import accept_for

_SOURCES = 16
_SPARE = 200  # descriptors for everything else
_AT_ONCE = 100
_LAST, _WORST = 1.0, 0.05  # seconds: the promises


class App(asyncio.Protocol):
    """The app behind: agrees to every WebSocket, begins every stream of events, and never ends one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /ws "):
            key = data.split(b"ec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            self.transport.write(head + b"Sec-WebSocket-Accept: " + accept_for(key) + b"\r\n\r\n" + frame(b"hello"))
        elif data.startswith(b"GET "):
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            self.transport.write(head + b"d\r\ndata: hello\n\n\r\n")


class Crowd:
    """All clients: how many streams are open, and when each was cut."""

    def __init__(self) -> None:
        self.open = 0
        self.cut = 0
        self.told = 0  # why, by a Close frame
        self.last = 0.0
        self.changed = asyncio.Event()

    def one(self, *, opened: bool) -> None:
        """One more is open, or cut."""
        if opened:
            self.open += 1
        else:
            self.cut += 1
            self.last = time.monotonic()
        self.changed.set()


class Client(asyncio.Protocol):
    """One stream."""

    __slots__ = ("crowd", "state", "transport")

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.state = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream transport

    def data_received(self, data: bytes) -> None:
        if not self.state and b"hello" in data:
            self.state = "open"
            self.crowd.one(opened=True)
        elif self.state == "open" and data[:1] == bytes((0x80 | CLOSE,)):
            self.state = "told"
            self.crowd.told += b"device-not-compliant" in data
            self.transport.write(frame(data[2:4], CLOSE, masked=True))
            self.crowd.one(opened=False)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.state == "open":
            self.crowd.one(opened=False)
        self.state = "gone"


async def opened(crowd: Crowd, port: int, request: bytes, count: int) -> None:
    """Open them, some at a time, from several addresses."""
    loop = asyncio.get_running_loop()
    for first in range(0, count, _AT_ONCE):
        many = range(first, min(count, first + _AT_ONCE))
        made = await asyncio.gather(
            *(
                loop.create_connection(
                    lambda: Client(crowd), "127.0.0.1", port, local_addr=(f"127.0.1.{n % _SOURCES}", 0)
                )
                for n in many
            )
        )
        for transport, _ in made:
            transport.write(request)
        while crowd.open < many.stop:
            crowd.changed.clear()
            async with asyncio.timeout(20):
                await crowd.changed.wait()


async def run(args: argparse.Namespace, folder: Path) -> int:
    """Everything but the other two processes."""
    loop = asyncio.get_running_loop()
    app = await loop.create_unix_server(App, str(folder / "app.sock"), backlog=4096)
    worker = await _child("--serve", str(folder))
    ready = json.loads(await _line(worker))
    probe = await _child("--probe", str(folder), str(ready["port"]))
    cookie = f"__Host-ostiary={ready['handle']}"
    request = handshake(HOST, cookie, f"https://{HOST}")
    if args.kind == "events":
        request = f"GET /events HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n".encode()
    crowd = Crowd()
    began = time.monotonic()
    await opened(crowd, ready["port"], request, args.streams)
    print(f"{crowd.open} streams open after {time.monotonic() - began:.1f} s", flush=True)
    await _asked(probe)
    await asyncio.sleep(
        2
    )  # seconds: the worker looks at all of them twice a second, and the probe sees what that costs
    quiet = await _asked(probe)
    began = time.monotonic()
    cut = await _asked(worker)
    while crowd.cut < crowd.open:
        crowd.changed.clear()
        async with asyncio.timeout(20):
            await crowd.changed.wait()
    meanwhile = await _asked(probe)
    last, worst = crowd.last - began, meanwhile["worst"]
    print(f"told at the source in {cut['seconds'] * 1000:.0f} ms; by the metric at most {cut['metric']} s")
    print(f"last cut after {last * 1000:.0f} ms ({crowd.told} of {crowd.cut} were told why)")
    for name, seen in (("before", quiet), ("meanwhile", meanwhile)):
        slowest, usual = seen["worst"] * 1000, seen["median"] * 1000
        print(f"others, {name}: worst {slowest:.1f} ms, median {usual:.2f} ms of {seen['count']}")
    for one in (probe, worker):
        assert one.stdin is not None
        one.stdin.close()
        await one.wait()
    app.close()
    return int(last > _LAST or worst > _WORST)


async def _child(*words: str) -> asyncio.subprocess.Process:
    pipe = subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtests.cutting", *words, stdin=pipe, stdout=pipe, limit=1 << 20
    )


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    if not line:
        raise CorrectnessError("a process of ours ended; it said why above")
    return line.decode()


async def _asked(process: asyncio.subprocess.Process) -> dict[str, float]:
    """Have it do its part, and read what came of it."""
    assert process.stdin is not None
    process.stdin.write(b"now\n")
    found: dict[str, float] = json.loads(await _line(process))
    return found


def configure(folder: Path) -> None:
    """Write the configuration of the worker."""
    write_key(folder)
    routes = [
        {
            "name": "app",
            "from": f"https://{HOST}",
            "to": f"unix:{folder}/app.sock",
            "upstream_connections": 20_000,
            "allow": [{"name": "staff", "groups": ["staff"], "device": {"compliant": True}}],
        },
        {"name": "probe", "from": f"https://{PROBE}", "to": f"unix:{folder}/probe.sock", "public": True},
    ]
    configuration = {
        "listeners": [{"address": "127.0.0.1:1", "cleartext": "proxy"}],
        "login": {"url": "https://login.test"},
        "assertion": {"key": "assertion.key"},
        "state": "memory:",
        "audit": {"file": "audit.jsonl"},
        "routes": "routes/",
        "workers": 1,
        "devices": {"enrolment": "open"},
    }
    (folder / "routes").mkdir()
    (folder / "routes" / "all.yaml").write_text(yaml.safe_dump({"routes": routes}), "utf-8")
    (folder / "ostiary.yaml").write_text(yaml.safe_dump(configuration), "utf-8")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--kind", choices=("websocket", "events"), default="websocket")
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    most = (hard - _SPARE) // 2
    if args.streams > most:
        print(f"a process may have {hard} files open here: {most} streams instead of {args.streams}")
        args.streams = most
    with tempfile.TemporaryDirectory(prefix="cut-") as folder:
        configure(Path(folder))
        return uvloop.run(run(args, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
