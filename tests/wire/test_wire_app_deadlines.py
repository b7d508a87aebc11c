"""Deadlines of apps, of whole exchanges and of tunnels, with a clock that goes on only when told."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from recording_origin import Answer
from wire_client import is_open, settle
from wire_stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = {"upload": {"timeouts": {"total": "20s"}, "body_bytes": "64MiB"}}
_BIG = b"x" * (8 * 1024 * 1024)  # more than every buffer between a client and an app that does not read


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _anew(stack: Stack) -> None:
    await stack.begin_anew()


class TestApp:
    """60 seconds for an answer to begin, 300 without a byte either way, and a total where the route has one."""

    async def test_no_answer(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([], after=asyncio.Event())
        client = await stack.connect()
        await client.send(stack.request())
        await settle()
        stack.pass_time(59)
        assert await is_open(client)
        stack.pass_time(2)
        response = await client.response()
        assert response is not None
        assert response.status == 504
        await settle()
        assert not stack.origin.connections
        assert await is_open(client)

    async def test_interim_answers_do_not_extend_it(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([], after=asyncio.Event())
        client = await stack.connect()
        await client.send(stack.request())
        await settle()
        for _ in range(7):
            (connection,) = stack.origin.connections
            connection.transport.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await settle()
            stack.pass_time(9)
        response = await client.response()
        assert response is not None
        assert response.status == 504

    async def test_half_an_answer(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"])
        client = await stack.connect()
        await client.send(stack.request())
        await settle()
        stack.pass_time(299)
        stack.pass_time(2)
        response = await client.response()
        assert response is not None
        assert not response.complete
        assert await client.closed()
        assert not stack.origin.connections

    async def test_a_slow_stream_may_go_on(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
        client = await stack.connect()
        await client.send(stack.request())
        await settle()
        (connection,) = stack.origin.connections
        for _ in range(5):
            connection.transport.write(b"1\r\nx\r\n")
            await settle()
            stack.pass_time(299)
        connection.transport.write(b"0\r\n\r\n")
        response = await client.response()
        assert response is not None
        assert response.body == b"xxxxx"

    async def test_an_app_that_does_not_read(self, stack: Stack) -> None:
        stack.origin.reading = False
        client = await stack.connect()
        await client.send(stack.request("POST /x HTTP/1.1", [f"Content-Length: {len(_BIG)}"]))
        client.transport.write(_BIG)
        await settle(50)
        for _ in range(6):
            stack.pass_time(61)
            await settle(4)
        await settle()
        assert stack.worker.house.exchanges == 0, "an app that stopped reading holds the request for ever"
        response = await client.response()
        assert response is not None
        assert response.status == 504

    async def test_the_total_of_a_route(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
        client = await stack.connect()
        await client.send(stack.request("GET /upload HTTP/1.1"))
        await settle()
        (connection,) = stack.origin.connections
        for _ in range(21):
            connection.transport.write(b"1\r\nx\r\n")
            await settle(4)
            stack.pass_time(1)
        response = await client.response()
        assert response is not None
        assert not response.complete

    async def test_the_total_of_a_route_while_uploading(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request("POST /upload HTTP/1.1", ["Content-Length: 1000000"]))
        for _ in range(21):
            await client.send(b"x" * 5000)
            await settle(4)
            stack.pass_time(1)
        await settle()
        assert stack.worker.house.exchanges == 0
        assert not stack.origin.saw.requests


class TestTunnel:
    """300 seconds without a byte either way."""

    async def test_an_idle_tunnel_is_closed(self, stack: Stack) -> None:
        accept = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + accept
        stack.origin.script = lambda _: Answer([switch + b"\r\n\r\n"], then="tunnel")
        fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        client = await stack.connect()
        await client.send(stack.request("GET /x HTTP/1.1", [*fields, "Sec-WebSocket-Version: 13"]))
        response = await client.response()
        assert response is not None
        assert response.status == 101
        stack.pass_time(299)
        await client.send(b"still here")
        await settle()
        stack.pass_time(299)
        assert await is_open(client)
        stack.pass_time(2)
        assert await client.closed()
        await settle()
        assert stack.origin.saw.ends == 1
        assert stack.origin.saw.tunnel == b"still here"
