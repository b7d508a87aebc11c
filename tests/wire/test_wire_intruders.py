"""What attackers who had never seen the code found, kept so that it stays mended."""

from __future__ import annotations

import pytest
from wire_client import settle
from wire_stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("body", ["0\r\n\r\n", "0\r\nA: b\r\n\r\n", "1\r\nx\r\n0\r\n\r\n"])
@pytest.mark.parametrize("pooled", [False, True])
async def test_a_chunked_body_that_comes_with_its_head_reaches_its_end(stack: Stack, body: str, pooled: bool) -> None:
    """Without a kept connection to the app, an empty one was never ended: the app waited, and the client with it."""
    await stack.begin_anew()
    if pooled:
        await stack.answered_as_ever()
        stack.origin.forget()
    client = await stack.connect()
    await client.send(stack.request("POST /x HTTP/1.1", ["Transfer-Encoding: chunked"], body))
    response = await client.response("POST")
    assert response is not None
    assert response.status == 200
    (request,) = stack.origin.saw.requests
    assert request.complete
    assert request.body == (b"x" if "x" in body else b"")


@pytest.mark.parametrize(
    "name", ["X-Environment", "x_environment", "X.Environment", "X~Environment", "X_Debug", "x.debug", "X--Debug"]
)
async def test_a_header_the_operator_manages_cannot_be_sent_under_another_spelling(stack: Stack, name: str) -> None:
    stack.origin.forget()
    client = await stack.connect()
    await client.send(stack.request("GET /edited HTTP/1.1", [f"{name}: EVIL"]))
    response = await client.response()
    assert response is not None
    assert response.status == 200
    (request,) = stack.origin.saw.requests
    assert b"EVIL" not in request.raw
    assert request.values("X-Environment") == [b"production"]


@pytest.mark.parametrize("name", ["X~Ostiary~User", "X!Ostiary!Email", "X--Ostiary-User", "X|Ostiary|Groups"])
async def test_no_other_spelling_of_who_asks_arrives(stack: Stack, name: str) -> None:
    stack.origin.forget()
    client = await stack.connect()
    await client.send(stack.request("GET /x HTTP/1.1", [f"{name}: EVIL"]))
    assert await client.response() is not None
    (request,) = stack.origin.saw.requests
    assert b"EVIL" not in request.raw


async def test_the_host_an_app_sees_is_the_one_decided_on(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect()
    await client.send(stack.fill("GET /x HTTP/1.1\r\nHost: APP.Test.\r\nCookie: {cookie}\r\n\r\n"))
    response = await client.response()
    assert response is not None
    assert response.status == 200
    (request,) = stack.origin.saw.requests
    assert request.values("Host") == [b"app.test"]
    assert request.values("X-Forwarded-Host") == [b"app.test"]


async def test_a_first_chunk_that_is_none_reaches_nobody(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect()
    await client.send(stack.request("POST /x HTTP/1.1", ["Transfer-Encoding: chunked"], "5x\r\nhello\r\n0\r\n\r\n"))
    response = await client.response("POST")
    assert response is not None
    assert response.status == 400
    await settle()
    assert not stack.origin.saw.octets


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("FOO /.ostiary/whoami HTTP/1.1", [], 501),
        ("GET /.ostiary/whoami HTTP/1.1", ["Sec-WebSocket-Key1: a"], 200),
        ("GET /.ostiary/whoami HTTP/1.1", ["Content-Encoding: br", "X-Anything: " + "y" * 9000], 200),
    ],
)
async def test_own_pages_see_only_what_they_read(stack: Stack, line: str, fields: list[str], status: int) -> None:
    """Their server has a parser of its own, whose errors once showed a session cookie to a script."""
    client = await stack.connect()
    await client.send(stack.request(line, fields))
    response = await client.response()
    assert response is not None
    assert response.status == status
    assert stack.handle.encode() not in response.raw


async def test_a_large_cookie_header_is_not_echoed(stack: Stack) -> None:
    client = await stack.connect()
    padding = "pad=" + "a" * 9000
    await client.send(
        stack.fill("GET /.ostiary/whoami HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}; " + padding + "\r\n\r\n")
    )
    response = await client.response()
    assert response is not None
    assert response.status == 200
    assert stack.handle.encode() not in response.raw


async def test_who_has_only_to_log_in_learns_nothing_about_the_rules(stack: Stack) -> None:
    client = await stack.connect()
    await client.send(stack.fill("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    response = await client.response()
    assert response is not None
    assert response.status == 401
    assert b"staff" not in response.body
