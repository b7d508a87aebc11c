"""What is open goes on only while it may: a device, a rule or the time that says otherwise ends it at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec
import pytest
from recording_origin import Answer
from strict_reader import Message
from wire_client import settle
from wire_device import HOST, asked, certificate, handle_of, known, setup
from wire_stack import Stack

from proxy.audit.event import facts_of
from proxy.model.device import Bound
from proxy.policy import decide
from proxy.wire.websocket import accept_for

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETUP = setup()
SETUP.changes["stripped"] = {
    "allow": [{"name": "by-day", "groups": ["staff"], "hours": [{"to": "12:00"}]}],
}
SETUP.changes["edited"] = {"allow": [{"name": "fresh", "groups": ["staff"], "auth_age": "10m"}]}
SETUP.changes["none"] = {
    "allow": [{"name": "seen", "groups": ["staff"], "device": {"compliant": True, "max_age": "15m"}}],
}
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"


def switching(request: Message) -> Answer:
    """An app that agrees to a WebSocket."""
    accept = accept_for(request.values("Sec-WebSocket-Key")[0])
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    return Answer([head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n\x81\x05hello"], then="tunnel")


@pytest.fixture
def later(stack: Stack) -> Iterator[Any]:
    """Let time pass, as the rules see it."""
    house = stack.worker.house
    usual = house.clock

    def pass_time(to: float) -> None:
        house.clock = lambda: to
        house.watch.look(to)

    yield pass_time
    house.clock = usual


async def recorded(stack: Stack, path: str) -> list[dict[str, Any]]:
    """The lines about this path."""
    stack.worker.journal.flush()
    lines = map(json.loads, (stack.folder / "audit.jsonl").read_text().splitlines())
    return [line for line in lines if line.get("path") == path]


async def streaming(stack: Stack, handle: str, path: str) -> Any:
    """A stream of events, open."""
    stack.origin.forget()
    stack.origin.script = lambda _: Answer([EVENTS])
    client = await stack.connect()
    await client.send(asked(handle, f"GET {path} HTTP/1.1"))
    while b"one\n" not in client.silent:
        await client._more()
    client.silent = b""
    return client


async def test_a_real_client_of_a_websocket_hears_why(stack: Stack) -> None:
    device = await known(stack, "laptop-1")
    handle = await handle_of(stack, Bound(device=device, binding="provider"))
    stack.origin.script = switching
    headers = {"Host": HOST, "Cookie": f"__Host-ostiary={handle}"}
    began = time.time()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{stack.port}/sockets/one", headers=headers) as socket,
    ):
        assert (await socket.receive()).data == "hello"
        await known(stack, "laptop-1", compliant=False)
        message = await socket.receive(timeout=5)
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1008, "device-not-compliant")
    await settle()
    assert stack.worker.house.exchanges == 0
    decision, end = await recorded(stack, "/sockets/one")
    assert (decision["outcome"], decision["reason"], decision["status"]) == ("allow", "rule-allows", 101)
    assert (end["type"], end["outcome"], end["reason"]) == ("stream", "challenge", "device-not-compliant")
    assert began <= end["since"] <= end["unix"]
    plan = stack.worker.house.snapshot.plan(HOST, "/sockets/one")
    assert plan is not None
    for line in (decision, end):
        again = decide(plan.policy, facts_of(msgspec.json.encode(line)))
        assert (again.outcome, again.reason) == (line["outcome"], line["reason"])
    rows = {row[0]: row[1] for row in stack.worker.metrics.snapshot()["ostiary_stream_cut_seconds"]}
    assert sum(rows["device"][:-1]) == 1


async def test_nobody_is_interrupted_in_the_middle_of_a_frame(stack: Stack) -> None:
    device = await known(stack, "laptop-1")
    handle = await handle_of(stack, Bound(device=device, binding="provider"))
    await stack.begin_anew()
    stack.origin.script = switching
    opening = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    client = await stack.connect()
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    await client.send(asked(handle, "GET /sockets/two HTTP/1.1", *opening, key))
    assert await client.response() is not None
    assert await client.raw(7) == b"\x81\x05hello"
    (connection,) = stack.origin.connections
    connection.transport.write(b"\x82\x7e\x01\x00half of it")
    await client.send(b"\x82\x85maskhal")
    assert await client.raw(14) == b"\x82\x7e\x01\x00half of it"
    await known(stack, "laptop-1", compliant=False)
    assert await client.closed(), "a Close here would be read as a part of the message"
    await settle()
    assert stack.origin.saw.tunnel == b"\x82\x85maskhal"


async def test_events_end(stack: Stack) -> None:
    device = await known(stack, "laptop-1")
    client = await streaming(stack, await handle_of(stack, Bound(device=device, binding="provider")), "/sockets/events")
    await known(stack, "laptop-1", compliant=True)
    assert await client.nothing(), "what is still true ends nothing"
    await known(stack, "laptop-1", compliant=False)
    assert await client.closed()
    lines = [(line["outcome"], line["reason"]) for line in await recorded(stack, "/sockets/events")]
    assert lines == [("allow", "rule-allows"), ("challenge", "device-not-compliant")]


async def test_an_upload_ends(stack: Stack) -> None:
    """The app has had a part of it and learns by the cut that there is no more; the client is told why."""
    device = await known(stack, "laptop-1")
    handle = await handle_of(stack, Bound(device=device, binding="provider"))
    stack.origin.forget()
    client = await stack.connect()
    await client.send(asked(handle, "POST /upload HTTP/1.1", "Content-Length: 100000", body="x" * 50_000))
    await settle(50)
    assert stack.origin.saw.octets > 50_000
    await known(stack, "laptop-1", compliant=False)
    answer = await client.response("POST")
    assert answer is not None
    assert answer.status == 403
    assert json.loads(answer.body)["reason"] == "device-not-compliant"
    await settle()
    assert not stack.origin.saw.requests
    assert len(stack.origin.saw.partial) == 1
    client.close()


async def test_a_revoked_device_ends_what_is_open(stack: Stack) -> None:
    device = await known(stack, "laptop-2")
    client = await streaming(stack, await handle_of(stack, Bound(device=device, binding="provider")), "/x")
    await stack.worker.devices.revoke(device, time.time())
    assert await client.closed()


async def test_a_proof_that_is_too_old_ends_what_is_open_after_a_while(stack: Stack, later: Any) -> None:
    device = await known(stack, "laptop-3")
    now = time.time()
    handle = await handle_of(stack, Bound(device=device, binding="agent", proved_at=now, address="127.0.0.1"))
    client = await streaming(stack, handle, "/proved")
    later(now + 650)
    assert await client.nothing(), "a new request would have to prove the device; what is open has a minute more"
    later(now + 661)
    assert await client.closed()
    assert (await recorded(stack, "/proved"))[-1]["reason"] == "device-proof-required"


async def test_a_certificate_that_is_revoked_for_its_device_ends_what_is_open(stack: Stack) -> None:
    pair, sha256 = certificate(stack, "laptop-4.devices.test")
    device = await known(stack, "laptop-4", sha256=sha256)
    handle = await handle_of(stack, Bound(device=device, binding="certificate", certificate=sha256))
    stack.origin.forget()
    stack.origin.script = lambda _: Answer([EVENTS])
    client = await stack.connect(tls=HOST, pair=pair)
    await client.send(asked(handle, "GET /sockets/certified HTTP/1.1"))
    while b"one\n" not in client.silent:
        await client._more()
    client.silent = b""
    await stack.worker.devices.revoke(device, time.time())
    assert await client.closed()


@pytest.mark.parametrize(
    ("path", "about", "seconds", "reason"),
    [
        ("/edited", {"auth_time": 0.0}, 601, "reauthentication-required"),
        ("/plain", {}, 901, "device-not-compliant"),
    ],
)
async def test_the_clock_ends_what_is_open(
    stack: Stack, later: Any, path: str, about: dict[str, float], seconds: float, reason: str
) -> None:
    now = time.time()
    if about:
        about = {"auth_time": now}
    device = await known(stack, "laptop-5", observed=now)
    client = await streaming(stack, await handle_of(stack, Bound(device=device, binding="provider"), **about), path)
    later(now + seconds - 2)
    assert await client.nothing()
    later(now + seconds)
    assert await client.closed()
    assert (await recorded(stack, path))[-1]["reason"] == reason


async def test_the_end_of_the_working_day_ends_what_is_open(stack: Stack, later: Any) -> None:
    noon = time.time() // 86400 * 86400 + 43200
    stack.worker.house.clock = lambda: noon - 60
    client = await streaming(stack, await handle_of(stack, None), "/stripped")
    later(noon - 1)
    assert await client.nothing()
    later(noon + 1)
    assert await client.closed()
    assert (await recorded(stack, "/"))[-1:] == []
    assert (await recorded(stack, "/stripped"))[-1]["reason"] == "no-rule-allows"


async def test_many_are_looked_at_in_turns(stack: Stack) -> None:
    """Hundreds of streams of one device: each ends once, and other requests are answered in between."""
    device = await known(stack, "laptop-6")
    handle = await handle_of(stack, Bound(device=device, binding="provider"))
    clients = [await streaming(stack, handle, f"/sockets/many/{number}") for number in range(60)]
    await known(stack, "laptop-6", compliant=False)
    await asyncio.gather(*(client.closed() for client in clients))
    assert stack.worker.house.exchanges == 0
    assert not stack.worker.house.open
    assert len(await recorded(stack, "/sockets/many/59")) == 2
