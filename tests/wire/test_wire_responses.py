"""What apps answer, well and badly, and what the client gets: `cases/responses.yaml`.

Each case runs over a fresh connection to the app, with the app's bytes arriving one by one, and over a connection that
has served before. Afterwards the next person's request must get its own answer, over the same connection or, where the
app cannot be trusted with another request, over a new one.
"""

from __future__ import annotations

from typing import Any

import pytest
from recording_origin import Answer
from strict_reader import Message
from wire_cases import Case, load_cases
from wire_client import Client, settle
from wire_stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAYS = ("whole", "bytewise", "served")
CASES = [
    pytest.param({**case.values[0], "way": way}, id=f"{case.id}-{way}")
    for case in load_cases("responses.yaml")
    for way in case.values[0].get("ways", WAYS)
]
_LONG = {
    "{huge}": "x" * 70_000,
    "{many}": "".join(f"X-{number}: y\r\n" for number in range(300)),
    "{hints}": "HTTP/1.1 103 Early Hints\r\n\r\n" * 1000,
    "{continues}": "HTTP/1.1 100 Continue\r\n\r\n" * 1000,
}
_DOTS = 10_000


def expand(text: str) -> bytes:
    """The long passages that would make a table unreadable."""
    for name, long in _LONG.items():
        text = text.replace(name, long)
    return text.replace("{dots}", "1\r\n.\r\n" * _DOTS).encode("latin-1")


def answer_of(case: Case) -> Answer:
    """What the app writes."""
    given = case["answer"] if isinstance(case["answer"], list) else [case["answer"]]
    pieces = [expand(piece) for piece in given]
    if case["way"] == "bytewise":
        pieces = [bytes((byte,)) for byte in b"".join(pieces)]
    return Answer(pieces, case.get("then", "keep"), early=case.get("early", False))


def bytewise(case: Case) -> Case:
    """The case as it goes when the app's bytes arrive one by one."""
    if "bytewise" not in case:
        return case
    return {**{key: value for key, value in case.items() if key != "fails"}, **case["bytewise"]}


@pytest.mark.parametrize("case", CASES)
async def test_case(stack: Stack, case: Case) -> None:
    await stack.hang_up()
    if case["way"] == "served":
        await stack.answered_as_ever("/before")
    if case["way"] == "bytewise":
        case = bytewise(case)
    stack.origin.forget()
    stack.origin.script = lambda request: answer_of(case)
    line = case.get("line", "GET /r HTTP/1.1")
    client = await stack.connect()
    await client.send(stack.request(line, case.get("fields", []), case.get("body", "")))
    used = stack.origin.accepted
    response = await client.response(line.split(" ")[0])
    await settle()
    assert response is not None
    saw = stack.origin.saw
    assert not saw.mess
    assert len(saw.requests) == case.get("requests", 1)
    connections = {request.connection for request in saw.requests} or {used - 1}
    if "fails" in case:
        await check_failed(client, response, case)
    elif "cut" in case:
        assert not response.complete
        assert case["cut"].encode().startswith(response.body)
        assert await client.closed()
    else:
        await check_got(client, response, case["gets"])
    client.close()
    canary = await stack.answered_as_ever()
    if case.get("reused", False):
        assert canary.connection in connections, "a good connection was thrown away"
    else:
        assert canary.connection not in connections, "a connection that cannot be trusted was used again"


async def check_failed(client: Client, response: Message, case: Case) -> None:
    """A refusal of ours, with nothing of the app's in it, on a connection that goes on."""
    assert response.status == case["fails"]
    assert response.complete
    assert response.values("Content-Type") == [b"application/json"]
    assert case.get("interim") == "any" or len(response.interim) == case.get("interim", 0)
    assert not client.silent
    if not response.values("Connection"):
        assert await client.nothing()


async def check_got(client: Client, response: Message, expected: dict[str, Any]) -> None:
    """What the case says about the answer."""
    assert response.complete
    assert response.status == expected.get("status", 200)
    if "body" in expected:
        wanted = expected["body"].encode("latin-1")
        assert response.body == (b"." * _DOTS if wanted == b"{dots}" else wanted)
    if "framing" in expected:
        assert response.framing == expected["framing"]
    for name, value in expected.get("fields", {}).items():
        assert response.values(name) == [value.encode("latin-1")]
    for name in expected.get("absent", []):
        assert not response.aliases(name)
    assert len(response.interim) == expected.get("interim", 0)
    if expected.get("clean"):
        assert b"ostiary" not in b"".join(response.interim).lower()
    if expected.get("closes"):
        assert response.values("Connection") == [b"close"]
        assert await client.closed()
    elif expected.get("told_to_close"):
        assert response.values("Connection") == [b"close"]
    elif expected.get("closes_later"):  # the head had left before it was known that the body will not be read
        client.half_close()
        assert await client.closed()
    else:
        assert not response.values("Connection")
        assert await client.nothing()
