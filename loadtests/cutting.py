"""The other two processes of `cut_streams`: the worker, and a probe that asks it for something all the time.

Each does its part when a line comes on standard input and answers with a line of JSON; both end with their input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import time
from pathlib import Path
from statistics import median

import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.app.worker import Worker
from proxy.model.device import Bound
from proxy.model.identity import Identity
from proxy.settings.load import load
from proxy.telemetry.catalogue import CUT_BOUNDS

HOST, PROBE = "app.test", "probe.test"
_LAPTOP = "laptop-7"
_EVERY = 0.002  # seconds between two requests of the probe


def write_key(folder: Path) -> None:
    """The key that assertions are signed with."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "assertion.key").write_bytes(key)
    (folder / "assertion.key").chmod(0o600)


async def lines() -> asyncio.StreamReader:
    """Standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(**what: object) -> None:
    """One line of JSON."""
    print(json.dumps(what), flush=True)


async def serve(folder: Path) -> None:
    """The worker, as `ostiary serve` runs it; on a line, the device stops complying."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
    sock.setblocking(False)
    worker = Worker(load(folder / "ostiary.yaml"), {"127.0.0.1:1": sock}, 0)
    await worker.start()
    gc.collect()
    gc.freeze()  # as a worker's process does
    await _complies(worker, yes=True)
    ann = Identity(kind="person", subject="1", provider="corp", email="ann@example.com", groups=frozenset(("staff",)))
    bound = Bound(device=_LAPTOP, binding="provider")
    live = await worker.sessions.create(ann, "corp", b"", "", time.time(), device=bound)
    say(port=sock.getsockname()[1], handle=await worker.sessions.new_handle(live.sid, HOST))
    reader = await lines()
    while await reader.readline():
        began = time.monotonic()
        await _complies(worker, yes=False)
        told = time.monotonic() - began
        while worker.house.open:  # noqa: ASYNC110  # the house tells nobody when it is empty
            await asyncio.sleep(0.01)
        rows = worker.metrics.snapshot().get("ostiary_stream_cut_seconds", [])
        say(seconds=told, metric=_slowest(rows))
    await worker.close()


def _slowest(rows: list[list[object]]) -> float:
    bounds = [*CUT_BOUNDS, float("inf")]
    return max(
        (
            bounds[at]
            for *_, counts in rows
            if isinstance(counts, list)
            for at, count in enumerate(counts[:-1])
            if count
        ),
        default=0.0,
    )


async def _complies(worker: Worker, *, yes: bool) -> None:
    now = time.time()
    await worker.devices.observe("mdm", {"id": _LAPTOP}, {"compliant": yes}, now, now)


async def probe(folder: Path, port: int) -> None:
    """Asks all the time, and answers its own requests as the app; on a line, says how it went since the last."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    app = await asyncio.start_unix_server(answer, str(folder / "probe.sock"))
    took: list[float] = []
    asking = asyncio.create_task(_ask(port, took))
    commands = await lines()
    while await commands.readline():
        say(worst=max(took, default=0.0), median=median(took or [0.0]), count=len(took))
        took.clear()
    asking.cancel()
    app.close()


async def _ask(port: int, took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.99", 0))
    while True:
        began = time.monotonic()
        writer.write(f"GET / HTTP/1.1\r\nHost: {PROBE}\r\n\r\n".encode())
        await reader.readuntil(b"ok")
        took.append(time.monotonic() - began)
        await asyncio.sleep(_EVERY)


if __name__ == "__main__":
    role, where, *more = sys.argv[1:]
    uvloop.run(serve(Path(where)) if role == "--serve" else probe(Path(where), int(more[0])))
