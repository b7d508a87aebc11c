"""The soak's upstream: answers whose every byte is known in advance, streams, a WebSocket echo, a digest of uploads.

Paths are `/soak/<id>/<what>`; the id only serves to find the request again in the audit record. `/active` (asked for
directly, not through the proxy) says how many exchanges are under way: none, once every client has gone.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys

import uvloop
from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler

MEBIBYTE = 1024 * 1024
_BLOCK = random.Random(7).randbytes(MEBIBYTE)  # not secret: the same bytes in every process
_SLICE = 65_536
_EVENT_PAUSE = 0.02
active = 0


def content(seed: int, length: int) -> bytes:
    """The body that `?seed=…&length=…` stands for."""
    start = seed % MEBIBYTE
    return (_BLOCK[start:] + _BLOCK * (length // MEBIBYTE + 1))[:length]


async def get_bytes(request: web.Request) -> web.StreamResponse:
    """`/bytes`: with a Content-Length; with `chunked=1` in chunks of uneven size."""
    body = content(int(request.query["seed"]), int(request.query["length"]))
    if "chunked" not in request.query:
        return web.Response(body=body, content_type="application/octet-stream")
    answer = web.StreamResponse()
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    place, step = 0, 1
    while place < len(body):
        await answer.write(body[place : place + step])
        place, step = place + step, step * 3 % _SLICE + 1
    await answer.write_eof()
    return answer


async def digest(request: web.Request) -> web.Response:
    """`/digest`: length and SHA-256 of what was uploaded, however it was framed."""
    seen, length = hashlib.sha256(), 0
    async for chunk in request.content.iter_chunked(_SLICE):
        seen.update(chunk)
        length += len(chunk)
    return web.Response(text=f"{length} {seen.hexdigest()}")


async def events(request: web.Request) -> web.StreamResponse:
    """`/events`: numbered server-sent events until the client goes, or `count` of them."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await answer.prepare(request)
    for number in range(int(request.query.get("count", sys.maxsize))):
        await answer.write(b"data: %d\n\n" % number)
        await asyncio.sleep(_EVENT_PAUSE)
    return answer


async def trickle(request: web.Request) -> web.StreamResponse:
    """`/trickle`: a download that never ends by itself."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(_BLOCK[:_SLICE])
        await asyncio.sleep(_EVENT_PAUSE)


async def echo(request: web.Request) -> web.WebSocketResponse:
    """`/ws`: every message back."""
    socket = web.WebSocketResponse(max_msg_size=4 * MEBIBYTE)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def how_many(request: web.Request) -> web.Response:
    """`/active`: exchanges under way, without this one."""
    del request
    return web.Response(text=str(active - 1))


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Know how many exchanges are under way."""
    global active
    active += 1
    try:
        return await handler(request)
    finally:
        active -= 1


def application() -> web.Application:
    """All of it."""
    app = web.Application(middlewares=[counted], client_max_size=0)
    app.router.add_get("/soak/{id}/bytes", get_bytes)
    app.router.add_post("/soak/{id}/digest", digest)
    app.router.add_get("/soak/{id}/events", events)
    app.router.add_get("/soak/{id}/trickle", trickle)
    app.router.add_get("/soak/{id}/ws", echo)
    app.router.add_get("/active", how_many)
    return app


async def serve(port: int) -> None:
    """Listen on 127.0.0.1 until stopped."""
    runner = web.AppRunner(application(), access_log=None, handler_cancellation=True, keepalive_timeout=3600)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(serve(parser.parse_args().port))
