"""The admin address: is it alive, is it ready, what does it count.

Owns `/healthz`, `/readyz` and `/metrics` for the operator's own machines. Must not know how readiness or counts come
about: it is given both as callables. To add an endpoint: one handler and its row in `make_admin`.

Browsers cannot be tricked into reading it: a request must name an IP address, `localhost` or a configured name in
`Host`, which a page of another site that re-binds its own name (DNS rebinding) does not; only GET and HEAD exist.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Collection
from ipaddress import ip_address

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.telemetry.exposition import CONTENT_TYPE

log = logging.getLogger("ostiary.admin")

Ready = Callable[[], tuple[bool, dict[str, str]]]
"""Whether requests can be served, and one word or sentence per thing that takes: `{"store": "ok"}`."""

_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^\[\]:@/?#]+))(?::[0-9]{1,5})?")

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_admin(
    ready: Ready, metrics: Callable[[], Awaitable[bytes]], *, hosts: Collection[str] = ()
) -> web.Application:
    """The application. `metrics` gives the text of `/metrics`; `hosts` are names it may be asked under."""
    app = web.Application(middlewares=[_guard(frozenset(host.lower() for host in hosts))], client_max_size=0)
    app.on_response_prepare.append(_stamp)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz(ready))
    app.router.add_get("/metrics", _metrics(metrics))
    return app


async def _stamp(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers["Server"] = "ostiary"


def _guard(hosts: Collection[str]) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_ours(request.headers.getall("Host", []), hosts):
            return _json(421, {"error": "ask under an IP address, localhost, or a name listed in admin.hosts"})
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed:
            refused = _json(405, {"error": "only GET and HEAD"})
            refused.headers["Allow"] = "GET, HEAD"
            return refused
        except web.HTTPNotFound:
            return _json(404, {"error": "there is /healthz, /readyz and /metrics"})

    return guard


def _is_ours(given: list[str], hosts: Collection[str]) -> bool:
    if len(given) != 1 or (parts := _HOST.fullmatch(given[0].lower())) is None:
        return False
    name = parts["v6"] or parts["name"].removesuffix(".")
    return name == "localhost" or name in hosts or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _healthz(_: web.Request) -> web.Response:
    return _json(200, {"status": "ok"})


def _readyz(ready: Ready) -> Handler:
    async def readyz(_: web.Request) -> web.Response:
        try:
            good, checks = ready()
        except Exception:  # a check that breaks must not look like one that passed
            log.exception("a readiness check broke")
            good, checks = False, {"readiness": "the check itself failed; see the log"}
        return _json(200 if good else 503, {"ready": good, "checks": checks})

    return readyz


def _metrics(metrics: Callable[[], Awaitable[bytes]]) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        try:
            body = await metrics()
        except Exception:  # the scraper must see a failed scrape, not an empty one
            log.exception("the metrics could not be gathered")
            return _json(503, {"error": "the metrics could not be gathered; see the log"})
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    return answer


def _json(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value) + b"\n", content_type="application/json")
