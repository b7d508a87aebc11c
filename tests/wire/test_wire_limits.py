"""Bounds on what a client may cost: heads, trailers, chunk framing, pipelines."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import pytest_asyncio
from recording_origin import Answer, plain
from wire_client import settle
from wire_stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

_HEAD = 32 * 1024
_WAYS = [0, 997, 4096]  # bytes in one segment


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _anew(stack: Stack) -> None:
    await stack.begin_anew()


async def status_of(stack: Stack, data: bytes, by: int = 0) -> int:
    """Send on a new connection; the status of the answer."""
    client = await stack.connect()
    await client.send(data, by=by)
    response = await client.response()
    assert response is not None
    await settle()
    if response.status != 200:
        assert response.values("Connection") == [b"close"]
        assert not stack.origin.saw.requests
    client.close()
    return response.status


class TestHeads:
    """At most 100 fields and 32 KiB, however they arrive."""

    @pytest.mark.parametrize("by", _WAYS)
    @pytest.mark.parametrize(("count", "status"), [(98, 200), (99, 431), (1000, 431)])
    async def test_fields(self, stack: Stack, count: int, status: int, by: int) -> None:
        fields = [f"X-{number}: y" for number in range(count)]
        assert await status_of(stack, stack.request("GET /x HTTP/1.1", fields), by) == status  # and Host and Cookie

    @pytest.mark.parametrize("by", _WAYS)
    @pytest.mark.parametrize(("size", "status"), [(_HEAD, 200), (_HEAD + 1, 431), (200_000, 431)])
    async def test_bytes(self, stack: Stack, size: int, status: int, by: int) -> None:
        rest = len(stack.request("GET /x HTTP/1.1", ["X-Long: "])) - 4
        data = stack.request("GET /x HTTP/1.1", ["X-Long: " + "x" * (size - rest)])
        assert await status_of(stack, data, by) == status

    @pytest.mark.parametrize("by", _WAYS)
    async def test_a_head_that_never_ends(self, stack: Stack, by: int) -> None:
        assert await status_of(stack, stack.request()[:-2] + b"X-Long: " + b"x" * 40_000, by) == 431

    @pytest.mark.parametrize("by", _WAYS)
    async def test_a_target_that_never_ends(self, stack: Stack, by: int) -> None:
        assert await status_of(stack, b"GET /" + b"x" * 40_000, by) == 431

    async def test_a_long_target(self, stack: Stack) -> None:
        assert await status_of(stack, stack.request("GET /" + "x" * 20_000 + " HTTP/1.1")) == 200

    @pytest.mark.parametrize("by", _WAYS)
    async def test_empty_lines_before_a_request_are_few(self, stack: Stack, by: int) -> None:
        assert await status_of(stack, b"\r\n" * 2000 + stack.request(), by) == 400

    async def test_the_limit_holds_behind_another_request(self, stack: Stack) -> None:
        client = await stack.connect()
        fields = [f"X-{number}: y" for number in range(99)]
        await client.send(stack.request() + stack.request("GET /y HTTP/1.1", fields))
        first, second = await client.response(), await client.response()
        assert first is not None
        assert second is not None
        assert (first.status, second.status) == (200, 431)


class TestChunks:
    """Framing has a budget of 16 KiB beyond twice the data; trailers have the bounds of a head."""

    @staticmethod
    def _post(stack: Stack, body: bytes) -> bytes:
        return stack.request("POST /x HTTP/1.1", ["Transfer-Encoding: chunked"]) + body

    @pytest.mark.parametrize("by", _WAYS)
    async def test_long_extensions(self, stack: Stack, by: int) -> None:
        body = (b"1;" + b"x" * 1000 + b"\r\ny\r\n") * 20
        assert await status_of(stack, self._post(stack, body + b"0\r\n\r\n"), by) == 400

    async def test_a_few_long_extensions(self, stack: Stack) -> None:
        body = (b"1;" + b"x" * 1000 + b"\r\ny\r\n") * 10
        assert await status_of(stack, self._post(stack, body + b"0\r\n\r\n")) == 200

    @pytest.mark.parametrize("by", _WAYS)
    async def test_an_extension_that_never_ends(self, stack: Stack, by: int) -> None:
        assert await status_of(stack, self._post(stack, b"1;" + b"x" * 20_000), by) == 400

    @pytest.mark.parametrize("by", _WAYS)
    async def test_a_size_that_never_ends(self, stack: Stack, by: int) -> None:
        assert await status_of(stack, self._post(stack, b"0" * 20_000), by) == 400

    @pytest.mark.parametrize("by", _WAYS)
    async def test_chunks_of_one_byte(self, stack: Stack, by: int) -> None:
        assert await status_of(stack, self._post(stack, b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"), by) == 400

    async def test_many_chunks_that_pay_for_themselves(self, stack: Stack) -> None:
        assert await status_of(stack, self._post(stack, b"4\r\nabcd\r\n" * 10_000 + b"0\r\n\r\n"), 65536) == 200

    @pytest.mark.parametrize("by", _WAYS)
    @pytest.mark.parametrize(
        "trailers",
        [b"X: y\r\n" * 101, b"X: " + b"y" * 40_000 + b"\r\n", (b"X: " + b"y" * 4000 + b"\r\n") * 9],
        ids=["fields", "one long", "bytes"],
    )
    async def test_trailers(self, stack: Stack, trailers: bytes, by: int) -> None:
        assert await status_of(stack, self._post(stack, b"1\r\nx\r\n0\r\n" + trailers + b"\r\n"), by) == 400

    async def test_a_hundred_trailers(self, stack: Stack) -> None:
        assert await status_of(stack, self._post(stack, b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 100 + b"\r\n")) == 200


class TestPipeline:
    """One request at a time; what was sent ahead waits, bounded, in our buffer and then in the kernel."""

    async def test_in_order(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(b"".join(stack.request(f"GET /{number} HTTP/1.1") for number in range(200)))
        for number in range(200):
            response = await client.response()
            assert response is not None
            assert response.body == f"answer to GET /{number} HTTP/1.1".encode()

    async def test_what_waits_is_bounded(self, stack: Stack) -> None:
        go = asyncio.Event()
        stack.origin.script = lambda request: Answer([plain(request.first)], after=go)
        client = await stack.connect()
        one = stack.request("GET /x HTTP/1.1", ["X-Long: " + "x" * 10_000])
        client.transport.write(one * 1000)
        await settle(200)
        (downstream,) = stack.downstreams
        assert len(downstream._buffer) < 400_000
        assert client.transport.get_write_buffer_size() > 1_000_000
        assert len(stack.origin.saw.requests) == 1
        go.set()
        for _ in range(1000):
            response = await client.response()
            assert response is not None
            assert response.body == b"GET /x HTTP/1.1"

    async def test_a_mistake_in_the_middle(self, stack: Stack) -> None:
        client = await stack.connect()
        bad = stack.request("GET /2 HTTP/1.1", ["Content-Length: x"])
        await client.send(stack.request("GET /1 HTTP/1.1") + bad + stack.request("GET /3 HTTP/1.1"))
        first, second = await client.response(), await client.response()
        assert first is not None
        assert second is not None
        assert (first.status, second.status) == (200, 400)
        assert await client.closed()
        assert [request.target for request in stack.origin.saw.requests] == ["/1"]

    async def test_the_client_leaves_before_its_turn(self, stack: Stack) -> None:
        stack.origin.script = lambda request: Answer([plain(b"")], after=asyncio.Event())
        client = await stack.connect()
        await client.send(stack.request("GET /1 HTTP/1.1") + stack.request("GET /2 HTTP/1.1"))
        await settle()
        client.close()
        await settle()
        assert [request.target for request in stack.origin.saw.requests] == ["/1"]
        assert not stack.origin.connections, "nobody waits for this answer any more"
        assert stack.worker.house.exchanges == 0

    async def test_a_client_that_says_no_more_still_gets_its_answers(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request("GET /1 HTTP/1.1"))
        client.half_close()
        response = await client.response()
        assert response is not None
        assert response.body == b"answer to GET /1 HTTP/1.1"
        assert await client.closed()


async def test_no_exchange_is_left_behind(stack: Stack) -> None:
    for left in stack.downstreams:
        left.abort()
    await settle()
    assert stack.worker.house.exchanges == 0
    assert not list(itertools.chain.from_iterable(live.streams for live in stack.worker.sessions.lives()))
