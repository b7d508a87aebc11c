"""The name in the TLS handshake and the name in Host must be one; clear-text listeners only send people to https."""

from __future__ import annotations

import pytest
from strict_reader import Message
from wire_client import Client, settle
from wire_stack import HOST, Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC = "GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"


async def answer(client: Client, data: bytes) -> Message:
    """The answer to one request."""
    await client.send(data)
    response = await client.response()
    assert response is not None
    await settle()
    return response


@pytest.mark.parametrize("name", ["app.test", "APP.test", "App.Test"])
async def test_the_same_name(stack: Stack, name: str) -> None:
    stack.origin.forget()
    response = await answer(await stack.connect(tls=name), stack.request())
    assert response.status == 200


@pytest.mark.parametrize(
    ("name", "host", "status"),
    [
        ("app.test", "other.test", 421),
        ("other.test", "app.test", 421),
        ("a.wild.test", "b.wild.test", 421),
        ("a.wild.test", "app.test", 421),
        ("", "app.test", 421),
        ("app.test", "nobody.test", 404),
        ("nobody.test", "app.test", 421),
        ("nobody.test", "nobody.test", 404),
        ("app.test", "app.test.", 200),
        ("a.wild.test", "A.WILD.test:443", 200),
    ],
)
async def test_names(stack: Stack, name: str, host: str, status: int) -> None:
    stack.origin.forget()
    cookie = f"Cookie: __Host-ostiary={stack.handle}\r\n" if host.startswith("app") else ""
    client = await stack.connect(tls=name)
    response = await answer(client, f"GET /x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n".encode())
    assert response.status == status
    assert bool(stack.origin.saw.octets) == (status == 200)
    client.close()


async def test_the_name_holds_for_every_request_on_the_connection(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect(tls=HOST)
    assert (await answer(client, stack.request())).status == 200
    assert (await answer(client, b"GET /x HTTP/1.1\r\nHost: a.wild.test\r\n\r\n")).status == 421
    assert len(stack.origin.saw.requests) == 1


async def test_the_cases_of_clear_text_hold_over_tls(stack: Stack) -> None:
    """One of each kind: the reader is the same; what could differ is where records end."""
    stack.origin.forget()
    client = await stack.connect(tls=HOST)
    await client.send(
        stack.request("POST /x HTTP/1.1", ["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"), by=1
    )
    response = await client.response()
    assert response is not None
    assert response.status == 200
    assert stack.origin.saw.requests[0].body == b"hello"
    bad = stack.request("POST /x HTTP/1.1", ["Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n")
    assert (await answer(client, bad)).status == 400
    assert await client.closed()


async def test_clear_text_to_a_tls_listener_gets_nothing(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect(stack.tls_port)
    await client.send(stack.request())
    assert await client.closed() or not client.silent.startswith(b"HTTP/")
    assert not stack.origin.saw.octets


@pytest.mark.parametrize(
    ("sent", "status", "location"),
    [
        ("GET /x?y=z HTTP/1.1\r\nHost: app.test\r\n\r\n", 308, b"https://app.test/x?y=z"),
        ("POST /x HTTP/1.1\r\nHost: app.test:8080\r\nContent-Length: 5\r\n\r\nhello", 308, b"https://app.test/x"),
        ("GET / HTTP/1.1\r\nHost: a.wild.test\r\n\r\n", 308, b"https://a.wild.test/"),
        ("GET / HTTP/1.0\r\nHost: app.test\r\n\r\n", 308, b"https://app.test/"),
        ("GET //evil.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n", 308, b"https://app.test/evil.test/"),
        ("GET /\\evil.test HTTP/1.1\r\nHost: app.test\r\n\r\n", 400, None),
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", 404, None),
        ("GET / HTTP/1.1\r\nHost: app.test@evil.test\r\n\r\n", 400, None),
        ("GET /x/../y HTTP/1.1\r\nHost: app.test\r\n\r\n", 400, None),
        ("GET / HTTP/1.1\r\n\r\n", 400, None),
        ("GET / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n\r\n", 400, None),
        ("GET http://evil.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n", 400, None),
    ],
)
async def test_clear_text_only_sends_people_to_https(
    stack: Stack, sent: str, status: int, location: bytes | None
) -> None:
    stack.origin.forget()
    client = await stack.connect(stack.redirect_port)
    response = await answer(client, sent.encode())
    assert response.status == status
    assert response.values("Location") == ([location] if location else [])
    assert response.values("Connection") == [b"close"]
    client.half_close()
    assert await client.closed()
    assert not stack.origin.saw.octets
