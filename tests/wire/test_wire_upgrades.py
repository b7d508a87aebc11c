"""WebSockets: the opening is checked on both sides before raw bytes flow, and nothing is smuggled past it."""

from __future__ import annotations

import asyncio

import pytest
from recording_origin import Answer
from strict_reader import Message
from wire_cases import Case, check_forwarded, load_cases
from wire_client import Client, settle
from wire_stack import Stack

from proxy.model.reasons import Reason

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
SWITCH = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{ACCEPT}\r\n".encode()
OPENING = (
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Version: 13",
)
EARLY = b"GET /early HTTP/1.1\r\nHost: app.test\r\n\r\n"  # what a smuggler would send ahead


async def opened(stack: Stack, *fields: str, path: str = "/ws", early: bytes = b"") -> tuple[Client, Message]:
    """A tunnel through an app that agrees, with the 101."""
    await stack.hang_up()
    stack.origin.forget()
    stack.origin.script = lambda _: Answer([SWITCH], then="tunnel")
    client = await stack.connect()
    await client.send(stack.request(f"GET {path} HTTP/1.1", [*OPENING, *fields]) + early)
    response = await client.response()
    assert response is not None
    return client, response


@pytest.mark.parametrize("way", ["whole", "bytewise"])
@pytest.mark.parametrize("case", load_cases("upgrades.yaml"))
async def test_case(stack: Stack, case: Case, way: str) -> None:
    await stack.hang_up()
    stack.origin.forget()
    answer = case["answer"].replace("{accept}", ACCEPT).encode()
    pieces = [answer] if way == "whole" else [bytes((byte,)) for byte in answer]
    then = "tunnel" if case.get("switched") else case.get("then", "keep")
    stack.origin.script = lambda _: Answer(pieces, then=then)
    client = await stack.connect()
    await client.send(stack.request("GET /ws HTTP/1.1", OPENING) + EARLY)
    response = await client.response()
    await settle()
    assert response is not None
    (request, *more) = stack.origin.saw.requests
    check_forwarded(request, identified=True, upgrading=True)
    assert request.values("Upgrade") == [b"websocket"]
    assert request.values("Sec-WebSocket-Key") == [KEY.encode()]
    assert not more
    if case.get("switched"):
        await check_switched(stack, client, response, case)
    else:
        assert response.status == case.get("fails", case.get("passed"))
        assert response.body == case["body"].encode() if "passed" in case else response.values("Content-Type")
        assert response.values("Connection") == [b"close"]
        assert await client.closed()
        await settle()
        assert not stack.origin.connections, "the app's connection may have become something else: never again"
        assert not stack.origin.saw.tunnel
        assert not stack.origin.saw.partial
        assert not stack.origin.saw.mess
    client.close()
    await stack.answered_as_ever()


async def check_switched(stack: Stack, client: Client, response: Message, case: Case) -> None:
    """Raw bytes flow both ways, the early ones first."""
    assert response.status == 101
    assert response.values("Connection") == [b"Upgrade"]
    assert [value.lower() for value in response.values("Upgrade")] == [b"websocket"]
    assert response.values("Sec-WebSocket-Accept") == [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
    assert not response.values("Content-Length")
    for name, value in case.get("fields", {}).items():
        assert response.values(name) == [value.encode()]
    for name in case.get("absent", []):
        assert not response.values(name)
    assert await client.raw(len(case.get("first", ""))) == case.get("first", "").encode()
    await client.send(b"\x81\x85to the app\r\n\r\n")
    await settle()
    assert stack.origin.saw.tunnel == EARLY + b"\x81\x85to the app\r\n\r\n"
    (connection,) = stack.origin.connections
    connection.transport.write(b"HTTP/1.1 200 OK\r\n\r\nto the client")
    assert await client.raw(32) == b"HTTP/1.1 200 OK\r\n\r\nto the client"


async def test_early_bytes_wait_for_the_switch(stack: Stack) -> None:
    await stack.hang_up()
    stack.origin.forget()
    go = asyncio.Event()
    stack.origin.script = lambda _: Answer([SWITCH], then="tunnel", after=go)
    client = await stack.connect()
    await client.send(stack.request("GET /ws HTTP/1.1", OPENING) + EARLY)
    await client.send(b"and more")
    await settle()
    (request,) = stack.origin.saw.requests
    assert stack.origin.saw.octets == len(request.raw), "early bytes went ahead of the switch"
    go.set()
    assert await client.response() is not None
    await settle()
    assert stack.origin.saw.tunnel == EARLY + b"and more"
    client.close()


async def test_early_bytes_are_bounded(stack: Stack) -> None:
    await stack.hang_up()
    stack.origin.forget()
    stack.origin.script = lambda _: Answer([], after=asyncio.Event())
    client = await stack.connect()
    await client.send(stack.request("GET /ws HTTP/1.1", OPENING))
    client.transport.write(b"x" * 20_000_000)
    await settle(200)
    assert client.transport.get_write_buffer_size() > 10_000_000, "the proxy keeps what it should leave to the sender"
    client.close()


@pytest.mark.parametrize("origin", ["https://app.test", "HTTPS://APP.TEST"])
async def test_the_apps_own_origin(stack: Stack, origin: str) -> None:
    client, response = await opened(stack, f"Origin: {origin}")
    assert response.status == 101
    client.close()


async def test_a_foreign_origin_that_the_route_allows(stack: Stack) -> None:
    client, response = await opened(stack, "Origin: https://friend.test", path="/sockets")
    assert response.status == 101
    client.close()
    client, response = await opened(stack, "Origin: https://evil.test", path="/sockets")
    assert response.status == 403
    assert not stack.origin.saw.octets
    assert await client.closed()


async def test_the_client_hangs_up(stack: Stack) -> None:
    client, _ = await opened(stack)
    await client.send(b"last words")
    await settle()
    client.close()
    await settle()
    assert stack.origin.saw.tunnel == b"last words"
    assert stack.origin.saw.ends == 1
    assert stack.worker.house.exchanges == 0


async def test_the_client_says_no_more_but_listens(stack: Stack) -> None:
    client, _ = await opened(stack)
    client.half_close()
    await settle()
    assert stack.origin.saw.ends == 1
    (connection,) = stack.origin.connections
    connection.transport.write(b"last words")
    connection.transport.close()
    assert await client.raw(10) == b"last words"
    assert await client.closed()
    assert stack.worker.house.exchanges == 0


async def test_the_app_hangs_up(stack: Stack) -> None:
    client, _ = await opened(stack)
    (connection,) = stack.origin.connections
    connection.transport.write(b"last words")
    connection.transport.close()
    assert await client.raw(10) == b"last words"
    assert await client.closed()
    await settle()
    assert stack.worker.house.exchanges == 0


async def test_an_app_that_dies_takes_nobody_with_it(stack: Stack) -> None:
    client, _ = await opened(stack)
    (connection,) = stack.origin.connections
    connection.transport.abort()
    assert await client.closed()
    await stack.answered_as_ever()


async def test_a_tunnel_ends_with_its_session(stack: Stack) -> None:
    """Both sides are told: the client why, the app only that nobody is there any more."""
    client, _ = await opened(stack)
    live = next(iter(stack.worker.sessions.lives()))
    (stream,) = live.streams
    stream.cut(Reason.SESSION_REVOKED)
    await settle()
    assert stack.worker.house.exchanges == 0
    assert await client.raw(4) == b"\x88\x11" + (1008).to_bytes(2, "big")
    assert await client.raw(15) == b"session-revoked"
    head, mask = stack.origin.saw.tunnel[:2], stack.origin.saw.tunnel[2:6]
    assert head == b"\x88\x82"
    assert bytes(a ^ b for a, b in zip(stack.origin.saw.tunnel[6:], mask, strict=False)) == (1001).to_bytes(2, "big")
    assert stack.origin.saw.ends == 1
    await client.send(b"\x81\x85....hello\x88\x80....")
    assert await client.closed()
    assert b"hello" not in stack.origin.saw.tunnel


async def test_both_sides_wait_for_each_other(stack: Stack) -> None:
    """Who does not read makes the other side wait: nothing piles up in between."""
    client, _ = await opened(stack)
    client.transport.pause_reading()
    (connection,) = stack.origin.connections
    connection.transport.write(b"x" * 30_000_000)
    await settle(300)
    assert connection.transport.get_write_buffer_size() > 10_000_000
    client.transport.resume_reading()
    while len(client.silent) < 30_000_000 and not client.eof:
        await client._more()
    assert len(client.silent) == 30_000_000
    client.close()
