"""The plain JSON API: orders that people read and a service writes; uploads and downloads of any size."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
from aiohttp import web

from proxy.demo.apps.caller import CLAIMS, VERIFIER, CallerVerifier, only_through_ostiary

_LARGEST_DOWNLOAD = 1 << 30
_BLOCK = bytes(range(256)) * 256  # 64 KiB


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    item: str
    amount: int = 1


ORDERS = web.AppKey("orders", dict[int, _Order])


def make(verifier: CallerVerifier) -> web.Application:
    """`/` says what there is."""
    application = web.Application(middlewares=[only_through_ostiary("/health")], client_max_size=1 << 20)
    application[VERIFIER] = verifier
    application[ORDERS] = {1: _Order("fountain pen", 2), 2: _Order("ink, blue-black", 6)}
    application.router.add_get("/", _index)
    application.router.add_get("/health", _health)
    application.router.add_get("/orders", _list)
    application.router.add_post("/orders", _add)
    application.router.add_get("/orders/{number:[0-9]{1,9}}", _one)
    application.router.add_delete("/orders/{number:[0-9]{1,9}}", _remove)
    application.router.add_post("/upload", _upload)
    application.router.add_put("/upload", _upload)
    application.router.add_get("/download", _download)
    return application


async def _index(request: web.Request) -> web.Response:
    return _json(
        request,
        {
            "GET /orders": "all orders",
            "POST /orders": 'a new one: {"item": "…", "amount": 1}',
            "GET /orders/1": "one order",
            "DELETE /orders/1": "forbidden to everybody by the route's deny rule",
            "POST /upload": "count the bytes sent and tell their SHA-256",
            "GET /download?bytes=N": "so many bytes",
            "GET /health": "public: no login needed",
        },
    )


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _list(request: web.Request) -> web.Response:
    orders = [{"number": number, **msgspec.to_builtins(order)} for number, order in request.app[ORDERS].items()]
    return _json(request, {"orders": orders})


async def _add(request: web.Request) -> web.Response:
    try:
        order = msgspec.json.decode(await request.read(), type=_Order)
    except msgspec.DecodeError as error:
        return _json(request, {"error": str(error)}, status=400)
    orders = request.app[ORDERS]
    number = max(orders, default=0) + 1
    orders[number] = order
    while len(orders) > 1000:
        del orders[next(iter(orders))]
    return _json(request, {"number": number, **msgspec.to_builtins(order)}, status=201)


async def _one(request: web.Request) -> web.Response:
    order = request.app[ORDERS].get(int(request.match_info["number"]))
    if order is None:
        return _json(request, {"error": "no such order"}, status=404)
    return _json(request, msgspec.to_builtins(order))


async def _remove(request: web.Request) -> web.Response:
    request.app[ORDERS].pop(int(request.match_info["number"]), None)
    return _json(request, {"removed": True})


async def _upload(request: web.Request) -> web.Response:
    total, digest = 0, hashlib.sha256()
    async for chunk in request.content.iter_any():
        total += len(chunk)
        digest.update(chunk)
    return _json(request, {"bytes": total, "sha256": digest.hexdigest()})


async def _download(request: web.Request) -> web.StreamResponse:
    wanted = request.query.get("bytes", "1048576")
    if not re.fullmatch(r"[0-9]{1,10}", wanted) or int(wanted) > _LARGEST_DOWNLOAD:
        return _json(request, {"error": f"bytes is a number up to {_LARGEST_DOWNLOAD}"}, status=400)
    left = int(wanted)
    stream = web.StreamResponse(headers={"Content-Type": "application/octet-stream", "Content-Length": str(left)})
    await stream.prepare(request)
    while left:
        block = _BLOCK[:left] if left < len(_BLOCK) else _BLOCK
        await stream.write(block)
        left -= len(block)
    return stream


def _json(request: web.Request, body: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response({**body, "caller": request[CLAIMS]["sub"]}, status=status)
