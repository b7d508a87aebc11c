"""The clients of the soak: each kind of traffic runs until the end and checks every byte it gets."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp

from loadtests import wire
from loadtests.ledger import Ledger
from loadtests.origin import MEBIBYTE, content
from loadtests.shapes import Shape

_FAILURES = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, TimeoutError)


@dataclass
class Traffic:
    """Where to, as whom, until when; and the books."""

    tls: str  # origin of the TLS listener
    clear: str  # origin of the clear one
    host: str
    authority: str  # what is sent as Host, on both
    context: ssl.SSLContext
    cookies: list[str]
    ledger: Ledger
    until: float
    dice: random.Random = field(default_factory=lambda: random.Random(11))
    _number: int = 0

    def on(self) -> bool:
        """Still time for another request."""
        return time.monotonic() < self.until

    def new_id(self) -> str:
        """An id no other request has."""
        self._number += 1
        return f"r{self._number}"

    def client(self, *, keep: bool = True, cookie: str | None = None) -> aiohttp.ClientSession:
        """A browser of somebody with a session; one that forgets connections when not `keep`."""
        connector = aiohttp.TCPConnector(ssl=self.context, force_close=not keep, limit=4)
        headers = {"Cookie": self.dice.choice(self.cookies) if cookie is None else cookie, "Accept": "*/*"}
        headers["Host"] = self.authority
        timeout = aiohttp.ClientTimeout(total=60)
        jar = aiohttp.DummyCookieJar()
        return aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout, cookie_jar=jar)

    async def think(self) -> None:
        """As people do between requests, but shorter."""
        await asyncio.sleep(self.dice.random() * 0.02)

    async def attempt(self, kind: str, work: Callable[[str], Awaitable[str | None]]) -> None:
        """Run one exchange under a new id and enter it in the books: `work` returns what was wrong, or None."""
        request, began = self.new_id(), time.monotonic()
        try:
            wrong = await work(request)
        except _FAILURES as error:
            now = time.monotonic()
            self.ledger.given_up[request] = now
            self.ledger.failed.append((began, now, f"{kind} {request}: {type(error).__name__} {error}"))
            return
        self.ledger.answered[request] = time.monotonic()
        self.ledger.kinds[kind] += 1
        if wrong:
            self.ledger.wrong.append(f"{kind} {request}: {wrong}")


async def downloads(traffic: Traffic, *, clear: bool = False, chunked: bool = False, largest: int = 20_000) -> None:
    """GETs of random lengths; small ones are pages, large ones downloads; each compared by checksum."""
    origin = traffic.clear if clear else traffic.tls
    async with traffic.client(keep=traffic.dice.random() < 0.8) as client:

        async def work(request: str) -> str | None:
            seed, length = traffic.dice.randrange(MEBIBYTE), traffic.dice.randrange(largest)
            query = {"seed": str(seed), "length": str(length), **({"chunked": "1"} if chunked else {})}
            seen = hashlib.sha256()
            async with client.get(f"{origin}/soak/{request}/bytes", params=query) as answer:
                async for chunk in answer.content.iter_any():
                    seen.update(chunk)
            if answer.status != 200 or seen.digest() != hashlib.sha256(content(seed, length)).digest():
                return f"status {answer.status}, not the {length} bytes asked for"
            return None

        kind = "chunked download" if chunked else "download" if largest > MEBIBYTE else "GET"
        while traffic.on():
            await traffic.attempt(kind, work)
            await traffic.think()


async def uploads(traffic: Traffic, *, chunked: bool = False, expect: bool = False) -> None:
    """POSTs of up to 3 MiB, with a length or in chunks, perhaps waiting for 100 Continue."""
    async with traffic.client() as client:

        async def work(request: str) -> str | None:
            body = content(traffic.dice.randrange(MEBIBYTE), traffic.dice.randrange(3 * MEBIBYTE))
            data = _pieces(body) if chunked else body
            async with client.post(f"{traffic.tls}/soak/{request}/digest", data=data, expect100=expect) as answer:
                text = await answer.text()
            if answer.status != 200 or text != f"{len(body)} {hashlib.sha256(body).hexdigest()}":
                return f"status {answer.status}, {len(body)} bytes arrived as {text[:100]}"
            return None

        while traffic.on():
            await traffic.attempt("chunked upload" if chunked else "upload", work)
            await traffic.think()


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    step = 1
    while body:
        yield body[:step]
        body, step = body[step:], step * 5 % 70_000 + 1


async def websockets(traffic: Traffic) -> None:
    """A WebSocket, fifty messages of up to 60 KB and their echoes, an orderly close; again."""
    async with traffic.client() as client:

        async def work(request: str) -> str | None:
            headers = {"Origin": traffic.tls}
            traffic.ledger.upgraded.add(request)
            async with client.ws_connect(f"{traffic.tls}/soak/{request}/ws", headers=headers) as socket:
                for _ in range(50):
                    body = content(traffic.dice.randrange(MEBIBYTE), traffic.dice.randrange(60_000))
                    await socket.send_bytes(body)
                    message = await socket.receive(timeout=20)
                    if message.type.value >= aiohttp.WSMsgType.CLOSE.value:
                        raise ConnectionResetError(f"ended as {message.type.name}")
                    if message.type is not aiohttp.WSMsgType.BINARY or message.data != body:
                        return f"{len(body)} bytes came back as {message.type.name}"
            return None if socket.close_code == 1000 else f"closed with {socket.close_code}"

        while traffic.on():
            await traffic.attempt("WebSocket", work)
            await traffic.think()


async def server_sent_events(traffic: Traffic) -> None:
    """A stream of forty events, none missing, none twice."""
    async with traffic.client() as client:

        async def work(request: str) -> str | None:
            async with client.get(f"{traffic.tls}/soak/{request}/events", params={"count": "40"}) as answer:
                body = await answer.read()
            expected = b"".join(b"data: %d\n\n" % number for number in range(40))
            return (
                None if answer.status == 200 and body == expected else f"status {answer.status}, events {body[:200]!r}"
            )

        while traffic.on():
            await traffic.attempt("event stream", work)


async def pipelines(traffic: Traffic) -> None:
    """Five requests in one segment; the answers must come whole and in order. Clear, since the bytes are ours."""
    port = int(traffic.clear.rpartition(":")[2])
    while traffic.on():
        began, requests = time.monotonic(), [traffic.new_id() for _ in range(5)]
        lengths = [traffic.dice.randrange(3000) for _ in requests]
        try:
            wrong = await _pipeline(traffic, port, requests, lengths)
        except _FAILURES as error:
            now = time.monotonic()
            traffic.ledger.given_up.update(dict.fromkeys(requests, now))
            traffic.ledger.failed.append((began, now, f"pipeline {requests[0]}: {type(error).__name__} {error}"))
            continue
        traffic.ledger.answered.update(dict.fromkeys(requests, time.monotonic()))
        traffic.ledger.kinds["pipelined GET"] += len(requests)
        if wrong:
            traffic.ledger.wrong.append(f"pipeline {requests[0]}: {wrong}")
        await traffic.think()


async def _pipeline(traffic: Traffic, port: int, requests: list[str], lengths: list[int]) -> str | None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        shapes = [
            Shape("pipelined", "", f"/soak/{request}/bytes?seed=5&length={length}")
            for request, length in zip(requests, lengths, strict=True)
        ]
        cookie = traffic.dice.choice(traffic.cookies)
        writer.write(b"".join(wire.request(shape, traffic.authority, cookie) for shape in shapes))
        for length in lengths:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            found = wire.head_of(head)
            assert found is not None
            if found[0] != 200 or found[2] != length or await reader.readexactly(length) != content(5, length):
                return f"a wrong answer: {head[:200]!r}"
    finally:
        writer.close()
    return None
