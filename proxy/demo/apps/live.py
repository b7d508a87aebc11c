"""The app that stays connected: a WebSocket that echoes and tells the time, and server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from aiohttp import WSMsgType, web

from proxy.demo.apps.caller import CLAIMS, VERIFIER, CallerVerifier, only_through_ostiary
from proxy.demo.apps.pages import page

_TICK = 1.0  # seconds


def make(verifier: CallerVerifier) -> web.Application:
    """`/` the page, `/ws` the WebSocket, `/events` the stream."""
    application = web.Application(middlewares=[only_through_ostiary()])
    application[VERIFIER] = verifier
    application.router.add_get("/", _page)
    application.router.add_get("/ws", _websocket)
    application.router.add_get("/events", _events)
    return application


async def _page(request: web.Request) -> web.Response:
    return page("live.html", sub=request[CLAIMS]["sub"])


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    """Text in, `{"echo": text}` out; `{"clock": …}` each second."""
    socket = web.WebSocketResponse(max_msg_size=1 << 20)
    await socket.prepare(request)
    clock = asyncio.create_task(_tell_time(socket))
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_json({"echo": message.data})
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
    finally:
        clock.cancel()
    return socket


async def _tell_time(socket: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):
        while not socket.closed:
            await socket.send_json({"clock": _now()})
            await asyncio.sleep(_TICK)


async def _events(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await stream.prepare(request)
    number = 0
    with contextlib.suppress(ConnectionError):
        while True:
            number += 1
            await stream.write(f"id: {number}\nevent: clock\ndata: {_now()}\n\n".encode())
            await asyncio.sleep(_TICK)
    return stream


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
