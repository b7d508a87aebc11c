"""Deadlines of clients, with a clock that goes on only when told: nobody holds a connection by being slow."""

from __future__ import annotations

import socket

import pytest
import pytest_asyncio
from recording_origin import Answer, plain
from wire_client import Client, is_open, settle
from wire_stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

_BIG = b"x" * (1024 * 1024)  # more than every buffer between an app and a client who does not read


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _anew(stack: Stack) -> None:
    await stack.begin_anew()


async def narrow(stack: Stack) -> Client:
    """A client who does not read, with little room for bytes in the kernel."""
    client = await stack.connect(window=4096)
    client.transport.pause_reading()
    await settle()
    (downstream,) = stack.downstreams
    downstream.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return client


class TestHead:
    """10 seconds for a head, counted from its first byte, not from its last."""

    async def test_a_silent_connection_is_closed(self, stack: Stack) -> None:
        client = await stack.connect()
        await settle()
        stack.pass_time(9)
        assert await is_open(client)
        stack.pass_time(2)
        assert await client.closed()
        assert not client.silent

    async def test_a_byte_a_second_is_too_slow(self, stack: Stack) -> None:
        client = await stack.connect()
        for byte in stack.request()[:9]:
            await client.send(bytes((byte,)), by=1)
            stack.pass_time(1)
        assert await is_open(client)
        await client.send(b"x", by=1)
        stack.pass_time(2)
        response = await client.response()
        assert response is not None
        assert response.status == 408
        assert response.values("Connection") == [b"close"]
        assert await client.closed()
        assert not stack.origin.saw.octets

    async def test_empty_lines_do_not_extend_it(self, stack: Stack) -> None:
        client = await stack.connect()
        for _ in range(11):
            await client.send(b"\r\n", by=1)
            stack.pass_time(1)
        assert await client.closed()

    async def test_empty_lines_do_not_extend_the_time_between_requests(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request())
        assert await client.response() is not None
        for _ in range(80):
            await client.send(b"\r\n")
            await settle(3)
            stack.pass_time(1)
        assert await client.closed()

    async def test_the_second_head_has_a_deadline_too(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request() + b"GET /sec")
        assert await client.response() is not None
        stack.pass_time(11)
        response = await client.response()
        assert response is not None
        assert response.status == 408

    async def test_a_second_head_that_begins_late_has_its_whole_time(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request())
        assert await client.response() is not None
        stack.pass_time(70)
        await client.send(b"GET /sec")
        await settle()
        stack.pass_time(9)
        assert await is_open(client)
        stack.pass_time(2)
        response = await client.response()
        assert response is not None
        assert response.status == 408

    async def test_an_idle_connection_is_closed(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request())
        assert await client.response() is not None
        stack.pass_time(74)
        assert await is_open(client)
        stack.pass_time(2)
        assert await client.closed()


class TestRequestBody:
    """30 seconds without a byte, or less than 1 KiB a second in the long run."""

    async def test_a_body_that_stalls(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request("POST /x HTTP/1.1", ["Content-Length: 100000"], "x" * 1000))
        await settle()
        stack.pass_time(29)
        assert await is_open(client)
        stack.pass_time(2)
        response = await client.response()
        assert response is not None
        assert response.status == 408
        assert not stack.origin.saw.requests
        await settle()
        assert not stack.origin.connections, "the app must not take a beginning for the whole"

    async def test_a_body_that_never_begins(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request("POST /x HTTP/1.1", ["Transfer-Encoding: chunked"]))
        await settle()
        stack.pass_time(31)
        response = await client.response()
        assert response is not None
        assert response.status == 408

    @pytest.mark.parametrize("coding", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
    async def test_a_body_that_trickles(self, stack: Stack, coding: str) -> None:
        client = await stack.connect()
        await client.send(stack.request("POST /x HTTP/1.1", [coding]))
        piece = b"1\r\nx\r\n" if "chunked" in coding else b"x"
        for _ in range(40):
            await client.send(piece)
            await settle(4)
            stack.pass_time(1)
        response = await client.response()
        assert response is not None
        assert response.status == 408
        assert not stack.origin.saw.requests

    async def test_a_steady_upload_may_take_its_time(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request("POST /x HTTP/1.1", ["Content-Length: 200000"]))
        for _ in range(100):
            await client.send(b"x" * 2000)
            await settle(4)
            stack.pass_time(1)
        response = await client.response()
        assert response is not None
        assert response.status == 200
        assert len(stack.origin.saw.requests[0].body) == 200_000


class TestSlowReader:
    """60 seconds without reading, when there is something to read."""

    async def test_who_does_not_read_is_cut_off(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([plain(_BIG)])
        client = await narrow(stack)
        await client.send(stack.request())
        await settle(50)
        stack.pass_time(59)
        await settle()
        assert len(stack.downstreams) == 1
        assert stack.worker.house.exchanges == 1
        stack.pass_time(2)
        await settle()
        assert not stack.downstreams, "the deadline of a slow reader has passed"
        assert stack.worker.house.exchanges == 0
        assert not stack.origin.connections

    async def test_who_reads_again_is_forgiven(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([plain(_BIG)])
        client = await narrow(stack)
        await client.send(stack.request())
        await settle(50)
        stack.pass_time(50)
        client.transport.resume_reading()
        response = await client.response()
        assert response is not None
        assert response.body == _BIG
        stack.pass_time(20)
        assert await is_open(client)

    @pytest.mark.parametrize("last", [True, False])
    async def test_who_stops_in_the_middle_of_an_answer_that_is_over_for_us(self, stack: Stack, last: bool) -> None:
        """All of it is in our buffer, the exchange is over: the connection still has a deadline."""
        whole = plain(b"x" * 300_000)
        pieces = [whole[at : at + 10_000] for at in range(0, 240_000, 10_000)]
        stack.origin.script = lambda _: Answer([*pieces, whole[240_000:]])
        client = await narrow(stack)
        await client.send(stack.request("GET /x HTTP/1.1", ["Connection: close"] if last else []))
        await settle(100)
        assert stack.worker.house.exchanges == 0
        assert stack.downstreams[0].transport.get_write_buffer_size() > 256 * 1024
        client.transport.resume_reading()
        while stack.downstreams[0].transport.get_write_buffer_size() > 60_000:
            await settle(1)
        client.transport.pause_reading()
        await settle()
        assert stack.downstreams[0].transport.get_write_buffer_size()
        for _ in range(4):
            stack.pass_time(61)
            await settle()
        assert not stack.downstreams

    async def test_an_idle_connection_that_was_slow_is_closed_too(self, stack: Stack) -> None:
        stack.origin.script = lambda _: Answer([plain(b"x" * 400_000)])
        client = await narrow(stack)
        await client.send(stack.request())
        await settle(50)
        assert stack.worker.house.exchanges == 0
        client.transport.resume_reading()
        response = await client.response()
        assert response is not None
        assert response.complete
        await settle()
        stack.pass_time(76)
        await settle()
        assert not stack.downstreams


class TestBodyAfterAnEarlyAnswer:
    """It is read and dropped, within 256 KiB and 3 seconds, so that the answer is not lost to a reset."""

    async def test_a_short_one_is_read(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.fill("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n"))
        for _ in range(100):
            await client.send(b"x" * 1000)
            await settle(2)
        response = await client.response()
        assert response is not None
        assert response.status == 401
        stack.pass_time(4)
        assert await client.closed()
        assert not client.reset
        assert not stack.origin.saw.octets

    async def test_a_complete_one_ends_the_wait(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.fill("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n"))
        assert await client.response() is not None
        await client.send(b"x" * 1000)
        await settle()
        assert client.eof, "there is nothing left to wait for"

    async def test_an_endless_one_is_cut(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.fill("POST /x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"))
        for _ in range(40):
            await client.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            await settle(2)
        assert not stack.downstreams
        assert client.eof

    async def test_the_next_request_in_it_is_not_served(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.fill("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\n"))
        response = await client.response()
        assert response is not None
        assert response.status == 401
        await client.send(b"hello" + stack.request("GET /smuggled HTTP/1.1"))
        stack.pass_time(4)
        assert await client.closed()
        assert not stack.origin.saw.octets

    async def test_an_answer_to_a_bad_head_is_not_lost_to_a_reset(self, stack: Stack) -> None:
        client = await stack.connect()
        await client.send(stack.request("GET /x HTTP/3.0"))
        for _ in range(50):
            await client.send(b"x" * 1000)
            await settle(2)
        response = await client.response()
        assert response is not None
        assert response.status == 400
        stack.pass_time(4)
        assert await client.closed()
        assert not client.reset
