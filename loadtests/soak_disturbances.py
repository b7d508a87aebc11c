"""The clients of the soak that behave badly, have no business here, or are thrown out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine

import aiohttp

from loadtests.origin import MEBIBYTE, content
from loadtests.soak_traffic import Traffic

PATIENCE = 1.0  # seconds a stream may outlive its session
_GONE = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError)


async def aborted_clients(traffic: Traffic) -> None:
    """Leaves in the middle: of a download, of an upload, of a WebSocket."""
    while traffic.on():
        for leave in (_leave_download, _leave_upload, _leave_websocket):
            request, began = traffic.new_id(), time.monotonic()
            try:
                await leave(traffic, request)
            except _GONE as error:
                traffic.ledger.failed.append(
                    (began, time.monotonic(), f"aborting {request}: {type(error).__name__} {error}")
                )
            traffic.ledger.given_up[request] = time.monotonic()
            traffic.ledger.kinds["aborted"] += 1
            await asyncio.sleep(0.05)


async def _leave_download(traffic: Traffic, request: str) -> None:
    async with traffic.client(keep=False) as client:
        query = {"seed": "1", "length": str(20 * MEBIBYTE)}
        answer = await client.get(f"{traffic.tls}/soak/{request}/bytes", params=query)
        if await answer.content.readexactly(100_000) != content(1, 100_000):
            traffic.ledger.wrong.append(f"the beginning of download {request} differs")
        answer.close()


async def _leave_upload(traffic: Traffic, request: str) -> None:
    port = int(traffic.tls.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=traffic.context, server_hostname=traffic.host)
    head = (
        f"POST /soak/{request}/digest HTTP/1.1\r\nHost: {traffic.host}:{port}\r\nCookie: {traffic.cookies[0]}\r\n"
        f"Content-Length: {MEBIBYTE}\r\n\r\n"
    )
    writer.write(head.encode() + content(2, 200_000))
    await writer.drain()
    writer.transport.abort()


async def _leave_websocket(traffic: Traffic, request: str) -> None:
    traffic.ledger.upgraded.add(request)
    async with traffic.client(keep=False) as client:
        socket = await client.ws_connect(f"{traffic.tls}/soak/{request}/ws", headers={"Origin": traffic.tls})
        await socket.send_str("hello")
        await socket.receive(timeout=20)  # and gone: closing the browser sends no close frame


async def strangers(traffic: Traffic) -> None:
    """Nobody, somebody with an invented handle, and a colleague without the group: refused, in JSON, and on record."""
    cases = (("", "bytes", 401), ("__Host-ostiary=" + "A" * 43, "bytes", 401), (traffic.cookies[0], "forbidden", 403))
    while traffic.on():
        for cookie, what, expected in cases:
            async with traffic.client(keep=False, cookie=cookie) as client:

                async def work(
                    request: str, client: aiohttp.ClientSession = client, what: str = what, expected: int = expected
                ) -> str | None:
                    url = f"{traffic.tls}/soak/{request}/{what}"
                    async with client.get(url, headers={"Accept": "application/json"}, allow_redirects=False) as answer:
                        body = await answer.json(content_type=None)
                    if answer.status == expected and body.get("reason"):
                        return None
                    return f"status {answer.status} instead of {expected}: {body}"

                await traffic.attempt("refused", work)
        await asyncio.sleep(0.2)


async def revoked_sessions(
    traffic: Traffic,
    make: Callable[[], Awaitable[tuple[str, str]]],
    revoke: Callable[[str], Awaitable[None]],
) -> None:
    """A session with three live streams is ended: the streams end within a second, the next request is refused.

    `make` returns (cookie, sid); `revoke` takes the sid and returns when the command line has.
    """
    while traffic.on():
        cookie, sid = await make()
        async with traffic.client(cookie=cookie) as client:
            asked = time.monotonic()
            try:
                ends = [asyncio.create_task(end) for end in await _streams(traffic, client)]
            except _GONE as error:
                traffic.ledger.failed.append(
                    (asked, time.monotonic(), f"streams of session {sid}: {type(error).__name__} {error}")
                )
                continue
            asked = time.monotonic()
            await revoke(sid)
            done = time.monotonic()
            try:
                times = await asyncio.wait_for(asyncio.gather(*ends), PATIENCE + 10)
            except TimeoutError:
                traffic.ledger.wrong.append(f"streams of session {sid} went on ten seconds after it was revoked")
                return
            traffic.ledger.cuts += [max(0.0, ended - done) for ended in times if ended >= asked]
            late = [ended - done for ended in times if ended - done > PATIENCE]
            if late:
                traffic.ledger.wrong.append(f"a stream outlived its session by {max(late):.2f} s")

            async def refused(request: str, client: aiohttp.ClientSession = client) -> str | None:
                query = {"seed": "1", "length": "10"}
                async with client.get(f"{traffic.tls}/soak/{request}/bytes", params=query) as answer:
                    await answer.read()
                return None if answer.status == 401 else f"a revoked session was answered {answer.status}"

            await traffic.attempt("revoked", refused)
        await asyncio.sleep(0.5)


async def _streams(traffic: Traffic, client: aiohttp.ClientSession) -> list[Coroutine[None, None, float]]:
    """Open an event stream, an endless download and a WebSocket; each coroutine says when its stream ended."""
    requests = [traffic.new_id() for _ in range(3)]
    traffic.ledger.given_up.update(dict.fromkeys(requests, time.monotonic()))
    traffic.ledger.upgraded.add(requests[2])
    events = await client.get(f"{traffic.tls}/soak/{requests[0]}/events", raise_for_status=True)
    trickle = await client.get(f"{traffic.tls}/soak/{requests[1]}/trickle", raise_for_status=True)
    socket = await client.ws_connect(f"{traffic.tls}/soak/{requests[2]}/ws", headers={"Origin": traffic.tls})
    await events.content.readany()
    await trickle.content.readany()
    await socket.send_str("here")
    await socket.receive(timeout=20)
    return [_read_out(events), _read_out(trickle), _listen_out(socket)]


async def _read_out(answer: aiohttp.ClientResponse) -> float:
    try:
        while await answer.content.readany():
            pass
    except _GONE:
        pass
    answer.close()
    return time.monotonic()


async def _listen_out(socket: aiohttp.ClientWebSocketResponse) -> float:
    try:
        while not (await socket.receive()).type.value >= aiohttp.WSMsgType.CLOSE.value:
            pass
    except _GONE:
        pass
    return time.monotonic()
