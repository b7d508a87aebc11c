"""Requests that repeat themselves on one connection: what is remembered of them must never answer for another.

Fields that are byte for byte those of the request before are not read again, nor is a response head; these stories
change everything else between two that look alike.
"""

from __future__ import annotations

import json
import time

import pytest
from recording_origin import Answer, plain
from strict_reader import Message
from wire_cases import check_forwarded
from wire_client import Client, settle
from wire_stack import HOST, Stack

from proxy.model.identity import Identity
from proxy.model.reasons import Reason

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def one(client: Client, data: bytes, method: str = "GET") -> Message:
    """The answer to one request."""
    await client.send(data)
    response = await client.response(method)
    assert response is not None
    return response


async def person(stack: Stack, name: str, *groups: str) -> tuple[str, str]:
    """(sid, handle) of somebody else."""
    identity = Identity(
        kind="person", subject=name, provider="corp", email=f"{name}@example.com", groups=frozenset(groups)
    )
    live = await stack.worker.sessions.create(identity, "corp", b"", "", time.time())
    return live.sid, await stack.worker.sessions.new_handle(live.sid, HOST)


def of(handle: str, line: str = "GET /x HTTP/1.1", rest: str = "\r\n") -> bytes:
    """A request with this handle."""
    return f"{line}\r\nHost: {HOST}\r\nCookie: __Host-ostiary={handle}\r\n{rest}".encode()


async def test_the_same_over_and_over(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect()
    for _ in range(5):
        assert (await one(client, stack.request())).status == 200
    await client.send(stack.request() * 5)
    for _ in range(5):
        response = await client.response()
        assert response is not None
        assert response.status == 200
    references = set()
    for request in stack.origin.saw.requests:
        check_forwarded(request, identified=True)
        references.update(request.values("X-Request-Id"))
    assert len(references) == 10


async def test_another_line_over_the_same_fields(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect()
    lines = [
        "GET /a HTTP/1.1",
        "GET /b HTTP/1.1",
        "POST /a HTTP/1.1",
        "HEAD /a HTTP/1.1",
        "DELETE /stripped/z HTTP/1.1",
    ]
    for line in lines:
        assert (await one(client, stack.request(line), line.split(" ")[0])).status == 200
    assert [request.first.decode() for request in stack.origin.saw.requests] == [*lines[:4], "DELETE /z HTTP/1.1"]
    assert [request.framing for request in stack.origin.saw.requests] == ["none", "none", "length", "none", "none"]
    assert (await one(client, stack.request("GET /x HTTP/3.0"))).status == 400


async def test_an_old_line_over_fields_that_are_too_new_for_it(stack: Stack) -> None:
    client = await stack.connect()
    fields, body = ["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"
    assert (await one(client, stack.request("POST /x HTTP/1.1", fields, body))).status == 200
    assert (await one(client, stack.request("POST /x HTTP/1.0", fields, body))).status == 400
    assert await client.closed()


async def test_bodies_behind_the_same_fields(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect()
    for body in ("first", "other", "third"):
        assert (await one(client, stack.request("POST /x HTTP/1.1", ["Content-Length: 5"], body))).status == 200
    for body in ("5\r\nhello\r\n0\r\n\r\n", "3\r\nyou\r\n0\r\nA: b\r\n\r\n"):
        sent = stack.request("POST /x HTTP/1.1", ["Transfer-Encoding: chunked"], body)
        assert (await one(client, sent)).status == 200
    assert [request.body for request in stack.origin.saw.requests] == [b"first", b"other", b"third", b"hello", b"you"]


async def test_expectations_behind_the_same_fields(stack: Stack) -> None:
    client = await stack.connect()
    for _ in range(3):
        await client.send(stack.request("POST /x HTTP/1.1", ["Expect: 100-continue", "Content-Length: 5"]))
        assert await client.raw(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await one(client, b"hello")).status == 200


async def test_upgrades_that_are_ignored_again_and_again(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect()
    for _ in range(3):
        assert (await one(client, stack.request(fields=["Connection: Upgrade", "Upgrade: h2c"]))).status == 200
    for request in stack.origin.saw.requests:
        check_forwarded(request, identified=True)


async def test_two_people_over_one_connection(stack: Stack) -> None:
    """A proxy in front of us may send everybody's requests over one connection."""
    stack.origin.forget()
    _, bob = await person(stack, "bob", "staff")
    _, eve = await person(stack, "eve")
    client = await stack.connect()
    for _ in range(2):
        assert (await one(client, stack.request())).status == 200
        assert (await one(client, of(bob))).status == 200
        assert (await one(client, of(eve))).status == 403
        assert (await one(client, f"GET /x HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())).status == 401
        assert (await one(client, f"GET /public HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())).status == 200
    users = [request.values("X-Ostiary-User") for request in stack.origin.saw.requests]
    assert users == [[b"1"], [b"bob"], []] * 2
    emails = [request.values("X-Ostiary-Email") for request in stack.origin.saw.requests]
    assert emails == [[b"ann@example.com"], [b"bob@example.com"], []] * 2


async def test_the_same_cookie_on_other_hosts_and_paths(stack: Stack) -> None:
    stack.origin.forget()
    client = await stack.connect()
    assert (await one(client, stack.request())).status == 200
    for host in ("a.wild.test", "b.wild.test"):
        sent = stack.request().replace(b"Host: app.test", f"Host: {host}".encode())
        assert (await one(client, sent)).status == 200
    first, second, third = stack.origin.saw.requests
    check_forwarded(first, identified=True)
    assert second.values("Host") == second.values("X-Forwarded-Host") == [b"a.wild.test"]
    assert third.values("Host") == third.values("X-Forwarded-Host") == [b"b.wild.test"]
    for request in (second, third):  # a handle is for one host
        assert not request.aliases("X-Ostiary-Assertion")


async def test_a_session_that_ends_in_between(stack: Stack) -> None:
    stack.origin.forget()
    sid, handle = await person(stack, "carol", "staff")
    client = await stack.connect()
    assert (await one(client, of(handle))).status == 200
    assert (await one(client, of(handle))).status == 200
    await stack.worker.sessions.end(sid, Reason.SESSION_REVOKED)
    response = await one(client, of(handle))
    assert response.status == 401
    assert json.loads(response.body)["reason"] == "session-revoked"
    assert len(stack.origin.saw.requests) == 2


async def test_groups_that_change_in_between(stack: Stack) -> None:
    stack.origin.forget()
    sid, handle = await person(stack, "dave", "staff")
    client = await stack.connect()
    assert (await one(client, of(handle))).status == 200
    changed = Identity(kind="person", subject="dave", provider="corp", email="d@example.com", groups=frozenset(("x",)))
    await stack.worker.sessions.renew(sid, identity=changed, tokens=b"", refresh_at=time.time() + 1000)
    assert (await one(client, of(handle))).status == 403
    assert len(stack.origin.saw.requests) == 1


async def test_answers_that_look_alike(stack: Stack) -> None:
    """The same head, before a body, without one, and for another method."""
    await stack.hang_up()
    stack.origin.forget()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n"
    bodies = {"/1": b"first", "/2": b"other"}
    stack.origin.script = lambda request: Answer(
        [head + (b"" if request.first[:4] == b"HEAD" else bodies[request.target])]
    )
    client = await stack.connect()
    for _ in range(3):
        assert (await one(client, stack.request("GET /1 HTTP/1.1"))).body == b"first"
        head_only = await one(client, stack.request("HEAD /1 HTTP/1.1"), "HEAD")
        assert head_only.values("Content-Length") == [b"5"]
        assert (await one(client, stack.request("GET /2 HTTP/1.1"))).body == b"other"
    old = await stack.connect()
    response = await one(old, stack.request("GET /1 HTTP/1.0"))
    assert response.values("Connection") == [b"close"]
    assert (await one(client, stack.request("GET /1 HTTP/1.1"))).values("Connection") == []
    assert len({request.connection for request in stack.origin.saw.requests}) == 1


async def test_answers_in_chunks_that_look_alike(stack: Stack) -> None:
    await stack.hang_up()
    stack.origin.forget()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    stack.origin.script = lambda request: Answer([head, b"2\r\n" + request.target[-2:].encode() + b"\r\n0\r\n\r\n"])
    client, old = await stack.connect(), await stack.connect()
    assert (await one(client, stack.request("GET /aa HTTP/1.1"))).framing == "chunked"
    response = await one(old, stack.request("GET /bb HTTP/1.0"))
    assert (response.framing, response.body) == ("close", b"bb")
    response = await one(client, stack.request("GET /cc HTTP/1.1"))
    assert (response.framing, response.body) == ("chunked", b"cc")


async def test_a_cookie_for_one_is_not_for_the_next(stack: Stack) -> None:
    await stack.hang_up()
    stack.origin.forget()
    stack.origin.script = lambda request: Answer([plain(b"", b"Set-Cookie: a=" + request.target[1:].encode())])
    client = await stack.connect()
    for name in ("x", "y", "x"):
        response = await one(client, stack.request(f"GET /{name} HTTP/1.1"))
        assert response.values("Set-Cookie") == [f"a={name}".encode()]


async def test_every_answer_leaves_a_line_in_the_record(stack: Stack) -> None:
    def lines() -> list[dict[str, object]]:
        stack.worker.journal.flush()
        return [json.loads(line) for line in (stack.folder / "audit.jsonl").read_text("utf-8").splitlines()]

    await settle()
    before = len(lines())
    client = await stack.connect()
    sent = [
        (stack.request("GET /record HTTP/1.1"), 200),
        (stack.request("GET /record HTTP/1.1"), 200),
        (f"GET /record HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(), 401),
        (b"GET /record HTTP/1.1\r\nHost: nobody.test\r\n\r\n", 404),
        (stack.request("GET /record HTTP/1.1", ["Content-Length: x"]), 400),
    ]
    for data, status in sent:
        assert (await one(client, data)).status == status
    await settle()
    found = [line for line in lines()[before:] if line.get("type", "request") == "request"]
    assert [line["status"] for line in found] == [status for _, status in sent]
    assert len({line["reference"] for line in found}) == len(sent)
    assert [line["outcome"] for line in found] == ["allow", "allow", "challenge", "deny", "deny"]
    assert stack.handle not in json.dumps(lines())
