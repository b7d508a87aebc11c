"""`Expect: 100-continue` (RFC 9110 section 10.1.1): who may not is refused before sending a body."""

from __future__ import annotations

import pytest
from recording_origin import Answer, plain
from wire_cases import check_forwarded
from wire_client import Client, settle
from wire_stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = ("Expect: 100-continue", "Content-Length: 5")


async def asked(
    stack: Stack, line: str = "POST /x HTTP/1.1", fields: tuple[str, ...] = EXPECT, body: str = ""
) -> Client:
    """A client that has sent its head and waits."""
    stack.origin.forget()
    client = await stack.connect()
    await client.send(stack.request(line, fields, body))
    return client


@pytest.mark.parametrize("coding", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_who_may_is_told_to_go_on(stack: Stack, coding: str) -> None:
    client = await asked(stack, fields=("expect: 100-Continue", coding))
    assert await client.raw(len(CONTINUE)) == CONTINUE
    assert await client.nothing()
    assert not stack.origin.saw.requests
    await client.send(b"hello" if "Length" in coding else b"5\r\nhello\r\n0\r\n\r\n")
    response = await client.response()
    assert response is not None
    assert response.status == 200
    (request,) = stack.origin.saw.requests
    assert request.body == b"hello"
    check_forwarded(request, identified=True)
    assert await client.nothing()


@pytest.mark.parametrize(
    ("begin", "length", "status"),
    [
        ("POST /x HTTP/1.1\r\nHost: app.test\r\n", 5, 401),
        ("POST /x HTTP/1.1\r\nHost: other.test\r\nCookie: __Host-ostiary={other}\r\n", 5, 403),
        ("POST /x HTTP/1.1\r\nHost: no.test\r\n", 5, 404),
        ("POST /upload HTTP/1.1\r\n{first}", 5000, 413),
        ("POST /x HTTP/1.1\r\n{first}Expect: 200-ok\r\n", 5, 417),
        ("POST /dead HTTP/1.1\r\n{first}", 5, 502),
        ("POST /x/../y HTTP/1.1\r\n{first}", 5, 400),
        ("TRACE /x HTTP/1.1\r\n{first}", 5, 501),
    ],
)
async def test_who_may_not_is_refused_at_once(stack: Stack, begin: str, length: int, status: int) -> None:
    stack.origin.forget()
    client = await stack.connect()
    await client.send(stack.fill(f"{begin}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"))
    response = await client.response("POST")
    assert response is not None
    assert response.status == status
    assert not response.interim, "was told to go on and then refused"
    assert response.values("Connection") == [b"close"]
    client.half_close()
    assert await client.closed()
    assert not stack.origin.saw.octets


async def test_a_session_that_must_be_looked_up_first(stack: Stack) -> None:
    live = next(iter(stack.worker.sessions.lives()))
    handle = await stack.worker.sessions.new_handle(live.sid, "app.test")
    stack.origin.forget()
    client = await stack.connect()
    head = f"POST /x HTTP/1.1\r\nHost: app.test\r\nCookie: __Host-ostiary={handle}\r\nExpect: 100-continue\r\n"
    await client.send(f"{head}Content-Length: 5\r\n\r\n".encode())
    assert await client.raw(len(CONTINUE)) == CONTINUE
    await client.send(b"hello")
    response = await client.response()
    assert response is not None
    assert response.status == 200


async def test_a_body_that_is_there_already_needs_no_answer(stack: Stack) -> None:
    client = await asked(stack, body="hello")
    response = await client.response()
    assert response is not None
    assert response.status == 200
    assert len(stack.origin.saw.requests) == 1


async def test_an_old_client_would_not_know_the_answer(stack: Stack) -> None:
    client = await asked(stack, "POST /x HTTP/1.0", ("Expect: 100-continue", "Content-Length: 5"))
    assert await client.nothing()
    await client.send(b"hello")
    response = await client.response()
    assert response is not None
    assert (response.status, response.interim) == (200, [])


async def test_the_apps_own_100_is_not_a_second_one(stack: Stack) -> None:
    client = await asked(stack)
    stack.origin.script = lambda _: Answer([CONTINUE, plain(b"ok")])
    assert await client.raw(len(CONTINUE)) == CONTINUE
    await client.send(b"hello")
    response = await client.response()
    assert response is not None
    assert (response.interim, response.body) == ([], b"ok")


async def test_an_app_that_refuses_early_is_heard(stack: Stack) -> None:
    stack.origin.forget()
    stack.origin.script = lambda _: Answer([b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"], early=True)
    client = await stack.connect()
    await client.send(stack.request("POST /x HTTP/1.1", EXPECT))
    response = await client.response()
    assert response is not None
    assert (response.status, response.body) == (413, b"no")
    await settle()
    canary = await stack.answered_as_ever()
    assert canary.connection == stack.origin.accepted - 1, "the app's connection still waits for a body"
    client.close()
