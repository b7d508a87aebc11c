"""Vendors on a real socket, an inventory, and what stands between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from device_people import World

from proxy.devices.management.build import Systems, build_systems
from proxy.devices.management.service import Management
from proxy.model.device import Bound
from proxy.settings import schema

SECRET = "a shared secret of a good length"
Answer = Callable[[web.Request], web.Response]


class Vendor:
    """All three vendors at one address. `script` answers first, one entry for each request; then the truth.

    `rows` are the devices; a page has two. Tokens are t1, t2, …, of which only the last counts.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.script: list[Answer] = []
        self.requests: list[str] = []
        self.tokens = 0
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        self.url = f"http://127.0.0.1:{self._server.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.method} {request.path_qs}")
        body = await request.read()
        if request.path.endswith("/token"):
            assert b"client_secret=hush" in body
            self.tokens += 1
            return web.json_response({"access_token": f"t{self.tokens}", "expires_in": 1799}, status=201)
        if self.script:
            return self.script.pop(0)(request)
        sent = request.headers["Authorization"]
        if sent not in (f"Bearer t{self.tokens}", f"Bearer {SECRET}"):
            return web.json_response({}, status=401)
        return web.json_response(self._truth(request, body))

    def _truth(self, request: web.Request, body: bytes) -> dict[str, Any]:
        if request.path == "/v1.0/deviceManagement/managedDevices":
            start = int(request.query.get("$skiptoken", 0))
            more = {"@odata.nextLink": f"{self.url}{request.path}?$skiptoken={start + 2}"}
            return {"value": self.rows[start : start + 2], **(more if start + 2 < len(self.rows) else {})}
        if request.path == "/api/v1/fleet/hosts":
            size = int(request.query["per_page"])
            start = int(request.query["page"]) * size
            return {"hosts": self.rows[start : start + size]}
        if request.path == "/devices/queries/devices-scroll/v1":
            start = int(request.query.get("offset", "at0").removeprefix("at"))
            ids = [row["device_id"] for row in self.rows[start : start + 2]]
            offset = f"at{start + 2}" if start + 2 < len(self.rows) else ""
            return {"resources": ids, "meta": {"pagination": {"offset": offset, "limit": 2}}}
        if request.path == "/devices/entities/devices/v2":
            wanted = json.loads(body)["ids"]
            return {"resources": [row for row in self.rows if row["device_id"] in wanted]}
        scores = [{"aid": aid, "assessment": {"overall": 50}} for aid in request.query.getall("ids")]
        return {"resources": scores[:1], "errors": [{"code": 404, "id": "…"}]}


class Stage:
    """A vendor, an inventory, and Management between them. Waiting takes no time, but is counted."""

    def __init__(self, vendor: Vendor, world: World, http: aiohttp.ClientSession) -> None:
        self.vendor, self.world, self.http = vendor, world, http
        self.waits: list[float] = []
        self.management = Management(world.devices, world.consumed.consume, lambda: world.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def systems(self, *kinds: str, **changes: Any) -> Systems:
        secret = schema.SecretRef(env="OSTIARY_TEST_SECRET")
        hush = schema.SecretRef(env="OSTIARY_TEST_HUSH")
        url = self.vendor.url
        known: dict[str, Callable[..., Any]] = {
            "intune": lambda **more: schema.Intune(
                **{"name": "intune", "url": url, "tenant": "acme", "client_id": "c", "client_secret": hush} | more
            ),
            "crowdstrike": lambda **more: schema.CrowdStrike(
                **{"name": "crowdstrike", "url": url, "client_id": "c", "client_secret": hush} | more
            ),
            "fleet": lambda **more: schema.Fleet(**{"name": "fleet", "url": url, "token": secret} | more),
            "webhook": lambda **more: schema.Webhook(**{"name": "jamf", "secret": secret} | more),
        }
        listed = tuple(known[kind](**changes) for kind in kinds)
        return build_systems(schema.Devices(management=listed), self.http, lambda: self.world.now, self.sleep)

    async def ask(self, kind: str, **changes: Any) -> int:
        return await self.management.ask(self.systems(kind, **changes).asked[kind])

    def attributes(self, device: str) -> dict[str, Any]:
        found = self.world.devices.facts(Bound(device=device, binding="provider"), None)
        return {} if found is None else {name: one.value for name, one in found.attributes.items()}
