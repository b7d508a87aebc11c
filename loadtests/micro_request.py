"""What one authenticated request costs in our own code: everything but the sockets.

Drives the real data plane (connection, gateway, policy, assertion, record, metrics) with transports that swallow what
is written, so that the figure is the Python time between the kernel's bytes and the kernel's bytes.

    python -m loadtests.micro_request [--fresh] [--device] [--profile]

A connection whose requests repeat their header fields costs less (they are read once): that is the default, and what an
API client does. `--fresh` gives every request another Referer and every response another ETag, as browsers do.
`--device` ties the session to a laptop whose posture the rules ask for.
"""

from __future__ import annotations

import asyncio
import cProfile
import itertools
import pstats
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from loadtests.shapes import PAGE
from proxy.assertion import Signer
from proxy.audit.journal import Journal
from proxy.devices.memory import MemoryDeviceStore
from proxy.devices.service import Devices
from proxy.gateway.door import House, HttpDoor
from proxy.gateway.plan import RoutePlan
from proxy.gateway.snapshot import Snapshot
from proxy.model.device import Bound, Value
from proxy.model.identity import Identity
from proxy.net.downstream import Downstream
from proxy.net.ticker import Ticker
from proxy.policy import compile_policy
from proxy.sessions.bus import Bus
from proxy.sessions.memory import MemoryStore
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.settings import schema
from proxy.telemetry.metrics import Metrics
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.origin import parse_origin
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target

_HOST = "grafana.apps.localhost"
_ROUNDS = 20_000
_LAPTOP = "laptop-7"
_POSTURE = {"compliant": True, "disk_encrypted": True, "os_version": ">=14.2", "max_age": "15m"}


class Swallow(asyncio.Transport):
    """A transport that drops what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""

    def write(self, data: Any) -> None:
        self.taken = data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False


class _NoRenewal:
    def poke(self, live: object, now: float) -> bool:
        return False

    async def settled(self, live: object) -> None:
        pass


def _route(device: dict[str, Any] | None) -> schema.Route:
    return schema.Route(
        name="grafana",
        source=f"https://{_HOST}:8443",
        to="http://127.0.0.1:3000",
        allow=(
            schema.Rule(name="sre-reads", groups=("sre",), methods=("GET", "HEAD"), device=device),
            schema.Rule(name="staff", groups=("staff",), paths=("/api/**", "/page", "/d/**")),
        ),
        deny=(schema.Rule(name="not-from-guests", networks=("10.9.0.0/16",)),),
    )


async def _laptop() -> Devices:
    """An inventory with one laptop in it, of which a management system told."""

    async def nobody(_device: str) -> int:
        return 0

    async def taken_in(device: str) -> None:
        await devices.changed(device, time.time())

    async def consumed(_key: str, _expires: float) -> bool:
        return True

    store, settings = MemoryDeviceStore(), schema.Devices(enrolment="open")
    devices = Devices(
        store, settings, Sealer(bytes(32)), time.time, taken_in, consumed, nobody, audience="https://login.test"
    )
    now = time.time()
    posture: dict[str, Value] = {
        "compliant": True,
        "disk_encrypted": True,
        "os": "linux",
        "os_version": "24.4",
        "firewall": True,
    }
    await devices.observe("mdm", {"id": _LAPTOP}, posture, now, now)
    return devices


def _house(folder: Path, sessions: Sessions, devices: Devices | None) -> tuple[House, Pool]:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    configuration = schema.Configuration(
        listeners=(schema.Listener(address="127.0.0.1:8080", cleartext="proxy"),),
        login=schema.Login(url="https://login.apps.localhost:8443"),
        assertion=schema.Assertion(key="unused"),
    )
    route = _route(None if devices is None else _POSTURE)
    settings = schema.Settings(configuration=configuration, routes=(route,), revision="bench", files=())
    pool = Pool(parse_origin("http://127.0.0.1:3000", schema.UpstreamTls()), 256, time.monotonic)
    target = Target([(pool, 1)], time.monotonic)
    plan = RoutePlan(route, compile_policy(allow=route.allow, deny=route.deny), target)
    own = schema.Route(name="ostiary", source=configuration.login.url, public=True)
    control = RoutePlan(own, compile_policy(allow=(), deny=(), public=True), target, control=True)
    house = House(
        Snapshot(settings, [plan], control, {}),
        sessions=sessions,
        journal=Journal(schema.Audit(file=str(folder / "audit.jsonl"))),
        metrics=Metrics(["grafana"]),
        signer=Signer([key], configuration.login.url),
        ticker=Ticker(time.monotonic),
        clock=time.time,
        renewal=_NoRenewal(),
        devices=devices,
    )
    return house, pool


def _request(handle: str) -> bytes:
    headers = {**PAGE.headers, "Host": f"{_HOST}:8443", "Cookie": f"__Host-ostiary={handle}"}
    lines = ["GET /page HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _response() -> bytes:
    lines = ["HTTP/1.1 200 OK", "Server: nginx", "Date: Sun, 22 Nov 2026 00:00:00 GMT", "Content-Type: text/html"]
    lines += ["Last-Modified: Sun, 22 Nov 2026 00:00:00 GMT", "Connection: keep-alive", 'ETag: "6740-2000"']
    lines += ["Cache-Control: no-store", "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'"]
    lines += ["X-Frame-Options: DENY", "X-Content-Type-Options: nosniff", "Referrer-Policy: same-origin"]
    lines += ["Vary: Accept-Encoding", "Content-Length: 8192", "Accept-Ranges: bytes"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + b"x" * 8192


async def _main(profile: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = MemoryStore()
        sessions = Sessions(store, Bus(store, None), Sealer(bytes(32)), schema.Sessions(), time.time)
        await sessions.start()
        identity = Identity(
            kind="person", subject="1234", provider="corp", email="a@example.com", groups=frozenset(("sre", "staff"))
        )
        devices = await _laptop() if "--device" in sys.argv else None
        bound = None if devices is None else Bound(device=_LAPTOP, binding="provider")
        live = await sessions.create(identity, "corp", b"", "", time.time(), device=bound)
        handle = await sessions.new_handle(live.sid, _HOST)
        await sessions.load(handle.encode(), _HOST)
        house, pool = _house(Path(folder), sessions, devices)
        upstream = UpstreamConnection(pool)
        upstream.connection_made(Swallow())
        pool.give_back(upstream)
        client = Downstream(
            HttpDoor(house, "127.0.0.1:8080", (), lambda _address: None), schema.Limits(), house.ticker, "127.0.0.1"
        )
        client.connection_made(Swallow())
        kinds = 500 if "--fresh" in sys.argv else 1
        requests = itertools.cycle([_request(handle).replace(b"orgId=1", b"orgId=%d" % kind) for kind in range(kinds)])
        responses = itertools.cycle([_response().replace(b"6740", b"%04d" % kind) for kind in range(kinds)])

        def once() -> None:
            client.data_received(next(requests))
            upstream.data_received(next(responses))

        once()
        assert b"200 OK" in client.transport.taken, client.transport.taken  # type: ignore[attr-defined]  # ours
        await _measure(once, profile)
        house.journal.close()
        await sessions.close()


async def _measure(once: Any, profile: bool) -> None:
    for _ in range(2000):
        once()
    if profile:
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(_ROUNDS):
            once()
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
        return
    best = []
    for _ in range(5):
        await asyncio.sleep(0.3)  # the bus confirms that sessions may still be believed
        started = time.process_time()
        for _ in range(_ROUNDS):
            once()
        best.append((time.process_time() - started) / _ROUNDS * 1e6)
    print(f"one authenticated request, all of our own code: {min(best):.1f} µs (of {len(best)} runs, the best)")


if __name__ == "__main__":
    uvloop.run(_main("--profile" in sys.argv))
