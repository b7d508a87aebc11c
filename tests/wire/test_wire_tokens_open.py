"""What a token began ends with it, and when it would not be believed any more; and not for less."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import jwt
import pytest
import pytest_asyncio
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from recording_origin import Answer
from wire_client import settle
from wire_device import HOST
from wire_stack import Setup, Stack

from proxy.settings.load import load

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY, NEXT = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"
FILE, SLOW, ONCE = "https://ci.example", "https://slow.example", "https://once.example"
MESH = "spiffe://mesh.example/deploy"


def published(*keys: ec.EllipticCurvePrivateKey, use: str = "sig") -> bytes:
    """A set of these keys, named by their place among those of this module."""
    algorithm = jwt.get_algorithm_by_name("ES256")
    kids = [(key, "1" if key is KEY else "2") for key in keys]
    listed = [{**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": use} for key, kid in kids]
    return json.dumps({"keys": listed, "spiffe_sequence": 1}).encode()


def issuer(name: str, address: str, **more: Any) -> dict[str, Any]:
    """An issuer as it is configured."""
    about = {"name": name, "issuer": address, "jwks": "ci.json", "audiences": ["https://deploy"], "service": "{job}"}
    return about | more


SETUP = Setup(
    changes={"upload": {"allow": [{"name": "jobs", "services": ["ci:deploy", "slow:deploy", "once:deploy", MESH]}]}},
    configuration={
        "workloads": {
            "issuers": [
                issuer("ci", FILE, claims={"ref": ["main", "dev"]}),
                issuer("slow", SLOW, grace="10m"),
                issuer("once", ONCE, reuse="0s"),
            ],
            "trust_domains": [{"name": "mesh.example", "bundle": "mesh.json", "audiences": ["https://deploy"]}],
        }
    },
    files={"ci.json": published(KEY), "mesh.json": published(KEY, use="jwt-svid")},
)


def token(iss: str = FILE, *, ends: float = 0, key: ec.EllipticCurvePrivateKey = KEY, **claims: Any) -> str:
    """A job's token."""
    now = int(time.time())
    usual = {"iss": iss, "aud": "https://deploy", "sub": "job", "job": "deploy", "ref": "main", "iat": now}
    usual |= {"exp": int(ends) or now + 300, "jti": str(time.perf_counter_ns())}
    return jwt.encode(usual | claims, key, algorithm="ES256", headers={"kid": "1" if key is KEY else "2"})


def asked(shown: str, path: str) -> bytes:
    """A request with this token."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {shown}\r\n\r\n".encode()


async def streaming(stack: Stack, shown: str, path: str = "/upload") -> Any:
    """A stream of events, open."""
    stack.origin.forget()
    stack.origin.script = lambda _: Answer([EVENTS])
    client = await stack.connect()
    await client.send(asked(shown, path))
    while b"one\n" not in client.silent:
        await client._more()
    client.silent = b""
    return client


async def status(stack: Stack, shown: str) -> int:
    """What a new request with this token gets."""
    stack.origin.forget()
    client = await stack.connect()
    await client.send(asked(shown, "/upload/new"))
    response = await client.response()
    client.close()
    assert response is not None
    return int(response.status)


async def recorded(stack: Stack, path: str) -> dict[str, Any]:
    """The last line about this path."""
    await settle()
    stack.worker.journal.flush()
    lines = map(json.loads, (stack.folder / "audit.jsonl").read_text().splitlines())
    return [line for line in lines if line.get("path") == path][-1]


def cuts(stack: Stack) -> int:
    """How many were cut because of a token."""
    rows = stack.worker.metrics.snapshot().get("ostiary_stream_cut_seconds", [])
    return sum(sum(row[1][:-1]) for row in rows if row[0] == "token")


async def looked(stack: Stack, at: float | None = None) -> None:
    """What is open is looked at, and what that asks for is done."""
    house = stack.worker.house
    house.watch.look(house.clock() if at is None else at)
    await settle()
    while house.tasks:
        await asyncio.gather(*house.tasks)
    await settle()


@pytest.fixture
def later(stack: Stack) -> Iterator[Callable[[float], Any]]:
    """Let time pass, as the gateway sees it."""
    house = stack.worker.house
    usual = house.clock

    async def pass_time(to: float) -> None:
        house.clock = lambda: to
        await looked(stack, to)

    yield pass_time
    house.clock = usual


@pytest_asyncio.fixture(loop_scope="module")
async def reload(stack: Stack) -> AsyncIterator[Callable[..., Any]]:
    """Put a changed configuration, or changed files, into force; afterwards the first again."""
    file = stack.folder / "ostiary.yaml"
    before = file.read_text("utf-8")

    async def change(index: int = 0, **issuer: Any) -> None:
        document = yaml.safe_load(before)
        document["workloads"]["issuers"][index].update(issuer)
        file.write_text(yaml.safe_dump(document), "utf-8")
        stack.worker.prepare(load(file))
        stack.worker.commit()
        await looked(stack)

    yield change
    (stack.folder / "ci.json").write_bytes(published(KEY))
    await change()


class Published:
    """An issuer's keys behind an address."""

    def __init__(self) -> None:
        self.keys: bytes | None = published(KEY)  # None: it does not answer
        self.asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.keys is not None:
                head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(self.keys)}\r\n\r\n"
                writer.write(head.encode() + self.keys)
        writer.close()


@pytest_asyncio.fixture(loop_scope="module")
async def keys() -> AsyncIterator[tuple[Published, str]]:
    """The keys, and where they are."""
    there = Published()
    server = await asyncio.start_server(there.answer, "127.0.0.1", 0)
    async with server:
        yield there, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"


@pytest.mark.parametrize(
    ("who", "goes_on"),
    [({"iss": FILE}, 60), ({"iss": SLOW}, 660), ({"iss": ONCE}, 60), ({"sub": MESH}, 60)],
    ids=["an issuer", "one with a grace", "one whose tokens are used once", "a JWT-SVID"],
)
async def test_it_ends_with_its_token(stack: Stack, later: Any, who: dict[str, str], goes_on: float) -> None:
    ends, before = int(time.time()) + 120, cuts(stack)
    shown = token(ends=ends, **who)
    client = await streaming(stack, shown)
    await later(ends + goes_on - 0.1)
    assert await client.nothing()
    await later(ends + goes_on)
    assert await client.closed()
    line = await recorded(stack, "/upload")
    assert (line["reason"], line["since"]) == ("token-invalid", ends + goes_on)
    assert cuts(stack) == before + 1
    assert await status(stack, shown) == 401
    assert not stack.worker.house.open


async def test_a_grace_lets_nothing_new_begin(stack: Stack, later: Any) -> None:
    shown = token(SLOW, ends=int(time.time()) + 120)
    client = await streaming(stack, shown)
    await later(time.time() + 190)
    assert await status(stack, shown) == 401
    assert await client.nothing()
    client.close()


async def test_what_is_required_now_ends_what_does_not_have_it(stack: Stack, reload: Any) -> None:
    main, dev = await streaming(stack, token()), await streaming(stack, token(ref="dev"), "/upload/dev")
    await reload(claims={"ref": "main"})
    assert await dev.closed()
    assert await main.nothing()
    line = await recorded(stack, "/upload/dev")
    assert (line["status"], line["reason"]) == (200, "token-invalid")
    await reload(issuer="https://another.example")
    assert await main.closed()


async def test_a_key_that_is_withdrawn_from_a_file(stack: Stack, reload: Any) -> None:
    client = await streaming(stack, token())
    await reload()
    assert await client.nothing(), "nothing has changed"
    (stack.folder / "ci.json").write_bytes(published(NEXT))
    await reload()
    assert await client.closed()
    assert await status(stack, token(key=NEXT)) == 200


async def test_another_name_is_decided_on(stack: Stack, reload: Any) -> None:
    client = await streaming(stack, token(deputy="deploy"))
    await reload(service="{deputy}")
    assert await client.nothing(), "the same name, made of another claim"
    await reload(service="{ref}")
    assert await client.closed()
    assert (await recorded(stack, "/upload"))["reason"] == "no-rule-allows"


async def test_a_token_that_is_used_once_is_not_used_by_being_judged_again(stack: Stack, reload: Any) -> None:
    shown = token(ONCE)
    client = await streaming(stack, shown)
    assert await status(stack, shown) == 401, "replayed"
    await looked(stack)
    await reload()
    assert await client.nothing()
    await reload(2, claims={"ref": "other"})
    assert await client.closed()


async def test_an_issuer_that_cannot_be_asked_ends_nothing(stack: Stack, reload: Any, later: Any, keys: Any) -> None:
    there, address = keys
    client = await streaming(stack, token())
    there.keys = None
    await reload(jwks=address)
    assert there.asked
    assert await client.nothing()
    there.keys = published(NEXT)
    await asyncio.sleep(1.1)  # keys that were never read are asked for once a second
    await later(time.time() + 6)
    assert await client.closed()


async def test_a_key_that_is_withdrawn_at_its_issuer(stack: Stack, reload: Any, later: Any, keys: Any) -> None:
    there, address = keys
    await reload(jwks=address)
    client, now = await streaming(stack, token()), time.time()
    await looked(stack)
    house = stack.worker.house
    house.workloads._issuers[FILE]._cache._clock = lambda: house.clock()
    there.keys = published(NEXT)
    await later(now + 61)
    assert await client.nothing(), "nobody has asked the issuer for its keys again"
    assert await status(stack, token(key=NEXT)) == 200, "and that is what makes us ask"
    await later(now + 123)
    assert await client.closed()
    assert (await recorded(stack, "/upload"))["reason"] == "token-invalid"


async def test_many_take_turns(stack: Stack, reload: Any) -> None:
    clients = [await streaming(stack, token(ref="dev"), "/upload/many") for _ in range(40)]
    await reload(claims={"ref": "main"})
    await asyncio.gather(*(client.closed() for client in clients))
    assert not stack.worker.house.open
