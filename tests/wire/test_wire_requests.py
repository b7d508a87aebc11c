"""Requests as attackers send them, and what the app behind saw: nothing, or exactly one well-formed request.

Every case of `cases/*.yaml` is sent whole, byte by byte, and behind a valid request on the same connection.
"""

from __future__ import annotations

from typing import Any

import pytest
from strict_reader import Message
from wire_cases import PATHS, Case, check_expected, check_forwarded, load_cases
from wire_client import Client, settle
from wire_stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

CASES = [
    *load_cases("framing.yaml"),
    *load_cases("lines.yaml"),
    *load_cases("fields.yaml"),
]
_SMALL = 1500  # longer cases are cut into bigger pieces: what matters in them is their length


def bytes_of(stack: Stack, case: Case) -> bytes:
    """What a case sends."""
    if "bytes" in case:
        return stack.fill(case["bytes"])
    body = stack.fill(case.get("body", "")).decode("latin-1")
    return stack.request(case.get("line", "POST /x HTTP/1.1"), case.get("fields", []), body)


async def first_request(stack: Stack, client: Client) -> int:
    """The valid request that the case comes right behind has its own answer. Returns its size at the app."""
    response = await client.response()
    assert response is not None, "the valid request before got no answer"
    assert (response.status, response.body) == (200, b"answer to GET /before HTTP/1.1")
    before = stack.origin.saw.requests.pop(0)
    assert before.first == b"GET /before HTTP/1.1"
    check_forwarded(before, identified=True)
    return len(before.raw)


@pytest.mark.parametrize("way", ["whole", "bytewise", "behind"])
@pytest.mark.parametrize("case", CASES)
async def test_case(stack: Stack, case: Case, way: str) -> None:
    stack.origin.forget()
    data = bytes_of(stack, case)
    client = await stack.connect()
    if way == "behind":
        await client.send(stack.request("GET /before HTTP/1.1") + data)
        before = await first_request(stack, client)
    else:
        before = 0
        await client.send(data, by=0 if way == "whole" else 1 if len(data) < _SMALL else 997)
    try:
        await judge(stack, client, case, before)
    finally:
        client.close()
    await stack.answered_as_ever()


@pytest.mark.parametrize("case", PATHS)
async def test_the_path_decided_on_is_the_path_forwarded(stack: Stack, case: Case) -> None:
    stack.origin.forget()
    client = await stack.connect()
    await client.send(stack.request("GET {} HTTP/1.1".replace("{}", case["target"])))
    response = await client.response()
    await settle()
    assert response is not None
    if "refused" in case:
        assert response.status == 400
        assert not stack.origin.saw.octets
    else:
        raw = case.get("raw", case["path"]) + ("?" + case["query"] if case.get("query") else "")
        assert response.status == 200
        assert [request.target for request in stack.origin.saw.requests] == [raw]
    client.close()


async def judge(stack: Stack, client: Client, case: Case, before: int) -> None:
    """Compare what came back and what the app saw with what the case says."""
    method = case.get("line", case.get("bytes", "POST")).split(" ")[0]
    response = await client.response(method if method in ("HEAD", "GET") else "POST")
    assert response is not None, "no answer"
    assert response.complete
    saw = stack.origin.saw
    await settle()
    assert not saw.mess
    for kind in ("refused", "cut", "answered", "redirected"):
        if kind in case:
            assert response.status == case[kind]
            await check_refused(client, response, saw.requests, kind)
            await settle()
            assert kind == "cut" or saw.octets == before, f"the app saw {saw}"
            return
    expected = case.get("forwarded") or case["forwarded_then_refused"]
    assert response.status == 200, response.raw
    check_forwarded(saw.requests[0], identified=expected.get("identified", True))
    check_expected(saw.requests[0], expected)
    assert response.body == (b"" if method == "HEAD" else b"answer to " + saw.requests[0].first)
    await what_follows(client, case, expected, saw.requests)


async def check_refused(client: Client, response: Message, requests: list[Message], kind: str) -> None:
    """A refusal closes the connection unless it is an answer to a request we understood."""
    assert not requests
    if kind in ("answered", "redirected"):
        assert not response.values("Connection")
        assert await client.nothing()
    else:
        assert response.values("Connection") == [b"close"], "the client is not told that the connection is closed"
        if not client.eof:
            client.half_close()  # an unread body is waited for, for a moment: see the tests of deadlines
        assert await client.closed()


async def what_follows(client: Client, case: Case, expected: dict[str, Any], requests: list[Message]) -> None:
    """The bytes behind the case were a request of their own, or nothing, or refused."""
    if "next" in expected:
        second = await client.response()
        assert second is not None
        assert second.body == b"answer to " + expected["next"].encode()
        assert [request.first for request in requests[1:]] == [expected["next"].encode()]
        check_forwarded(requests[1], identified=True)
        return
    if "forwarded_then_refused" in case:
        second = await client.response()
        assert second is not None
        assert second.status == 400
        assert await client.closed()
    elif expected.get("closes"):
        assert await client.closed()
    else:
        assert await client.nothing()
    assert len(requests) == 1
