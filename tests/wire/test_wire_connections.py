"""How many connections there may be, on both sides; whose address they have; what waits where."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from recording_origin import Answer, plain
from wire_client import Client, settle
from wire_stack import HOST, Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = {"connections": 12, "connections_per_address": 8, "tls_handshake": "100ms"}
ROUTES = {"app": {"upstream_connections": 2}}


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _anew(stack: Stack) -> None:
    await stack.begin_anew()


class TestConnections:
    """Caps that hold before anything else has cost anything."""

    @staticmethod
    async def _silent(stack: Stack, count: int) -> list[Client]:
        clients = [await stack.connect() for _ in range(count)]
        await settle()
        return clients

    async def test_per_address(self, stack: Stack) -> None:
        clients = await self._silent(stack, 8)
        late = await stack.connect()
        await late.send(stack.request())
        assert await late.closed()
        assert not late.silent
        clients.pop().close()
        await settle()
        again = await stack.connect()
        await again.send(stack.request())
        response = await again.response()
        assert response is not None
        assert response.status == 200

    async def test_a_refused_connection_is_not_counted(self, stack: Stack) -> None:
        clients = await self._silent(stack, 8)
        for _ in range(20):
            late = await stack.connect()
            assert await late.closed()
        for client in clients:
            client.close()
        await settle()
        assert len(await self._silent(stack, 8)) == 8
        assert len(stack.downstreams) == 8

    async def test_in_all(self, stack: Stack) -> None:
        """Who is one too many waits in the kernel, and is served when somebody leaves."""
        first = [await stack.connect() for _ in range(8)]
        second = [await stack.connect(source="127.0.0.2") for _ in range(4)]
        await settle()
        late = await stack.connect(source="127.0.0.3")
        await late.send(stack.request())
        assert await late.nothing()
        assert len(stack.downstreams) == 12
        second[0].close()
        response = await late.response()
        assert response is not None
        assert response.status == 200
        assert await first[0].nothing()

    async def test_a_trusted_proxy_speaks_for_many(self, stack: Stack) -> None:
        clients = [await stack.connect(stack.proxied_port) for _ in range(10)]
        await clients[9].send(stack.request())
        response = await clients[9].response()
        assert response is not None
        assert response.status == 200

    async def test_a_handshake_that_never_ends(self, stack: Stack) -> None:
        clients = [await stack.connect(stack.tls_port) for _ in range(8)]
        await clients[0].send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        for client in clients:
            assert await client.closed()
            assert not client.silent
        again = await stack.connect(tls=HOST)
        await again.send(stack.request())
        response = await again.response()
        assert response is not None
        assert response.status == 200


class TestWhoseAddress:
    """X-Forwarded-For is believed from configured proxies only, and never passed on as it came."""

    @staticmethod
    async def _seen(stack: Stack, port: int, *fields: str, source: str = "127.0.0.1") -> list[bytes]:
        client = await stack.connect(port, source=source)
        await client.send(stack.request(fields=fields) * 2)
        assert await client.response() is not None
        assert await client.response() is not None
        first, second = stack.origin.saw.requests
        assert first.values("X-Forwarded-For") == second.values("X-Forwarded-For")
        assert len(first.aliases("X-Forwarded-For")) == 1
        return first.values("X-Forwarded-For")

    async def test_a_trusted_proxy_is_believed(self, stack: Stack) -> None:
        field = "X-Forwarded-For: 1.1.1.1, 198.51.100.7"
        assert await self._seen(stack, stack.proxied_port, field) == [b"198.51.100.7"]

    async def test_over_several_lines(self, stack: Stack) -> None:
        fields = ("X-Forwarded-For: 1.1.1.1", "x-forwarded-for: 198.51.100.7", "X-Forwarded-For: 127.0.0.2")
        assert await self._seen(stack, stack.proxied_port, *fields) == [b"198.51.100.7"]

    async def test_an_alias_is_not_believed(self, stack: Stack) -> None:
        assert await self._seen(stack, stack.proxied_port, "X_Forwarded_For: 198.51.100.7") == [b"127.0.0.1"]

    async def test_a_stranger_is_not_believed(self, stack: Stack) -> None:
        field = "X-Forwarded-For: 198.51.100.7"
        assert await self._seen(stack, stack.proxied_port, field, source="127.0.0.9") == [b"127.0.0.9"]

    async def test_nobody_is_believed_elsewhere(self, stack: Stack) -> None:
        assert await self._seen(stack, stack.port, "X-Forwarded-For: 198.51.100.7") == [b"127.0.0.1"]


class TestBackpressure:
    """What one side does not take stays with the other, not in between."""

    async def test_an_upload_the_app_does_not_take(self, stack: Stack) -> None:
        stack.origin.reading = False
        client = await stack.connect()
        await client.send(stack.request("POST /x HTTP/1.1", ["Content-Length: 16000000"]))
        client.transport.write(b"x" * 16_000_000)
        await settle(200)
        assert client.transport.get_write_buffer_size() > 4_000_000
        stack.origin.reading = True
        (connection,) = stack.origin.connections
        connection.transport.resume_reading()
        response = await client.response()
        assert response is not None
        assert response.status == 200
        assert stack.origin.saw.octets > 16_000_000

    async def test_a_download_the_client_does_not_take(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([plain(b"x" * 16_000_000)])
        client = await stack.connect()
        client.transport.pause_reading()
        await client.send(stack.request())
        await settle(200)
        (connection,) = stack.origin.connections
        assert connection.transport.get_write_buffer_size() > 4_000_000
        client.transport.resume_reading()
        while len(client.silent) < 16_000_000 and not client.eof:
            await client._more()
        response = await client.response()
        assert response is not None
        assert len(response.body) == 16_000_000


class TestPool:
    """An app gets no more connections than the route says; the rest wait, and then are told."""

    async def test_who_comes_third_waits(self, stack: Stack) -> None:
        go = asyncio.Event()
        stack.origin.script = lambda request: Answer([plain(request.first)], after=go)
        clients = [await stack.connect() for _ in range(4)]
        for number, client in enumerate(clients):
            await client.send(stack.request(f"GET /{number} HTTP/1.1"))
        await settle()
        assert len(stack.origin.connections) == 2
        go.set()
        for number, client in enumerate(clients):
            response = await client.response()
            assert response is not None
            assert response.body == f"GET /{number} HTTP/1.1".encode()
        assert len(stack.origin.connections) == 2

    async def test_who_leaves_while_waiting_is_forgotten(self, stack: Stack) -> None:
        go = asyncio.Event()
        stack.origin.script = lambda request: Answer([plain(request.first)], after=go)
        clients = [await stack.connect() for _ in range(4)]
        for number, client in enumerate(clients):
            await client.send(stack.request(f"GET /{number} HTTP/1.1"))
            await settle(3)
        clients[2].close()
        await settle()
        go.set()
        for number in (0, 1, 3):
            response = await clients[number].response()
            assert response is not None
            assert response.body == f"GET /{number} HTTP/1.1".encode()
        assert sorted(request.target for request in stack.origin.saw.requests) == ["/0", "/1", "/3"]

    async def test_who_waits_too_long_is_told(self, stack: Stack) -> None:
        stack.origin.script = lambda request: Answer([], after=asyncio.Event())
        clients = [await stack.connect() for _ in range(3)]
        for client in clients:
            await client.send(stack.request())
            await settle(3)
        stack.pass_time(6)
        response = await clients[2].response()
        assert response is not None
        assert response.status == 503
        assert await clients[0].nothing()
