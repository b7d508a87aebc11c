"""The app that shows what apps receive: every header, and the verified assertion."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from proxy.demo.apps.caller import VERIFIER, CallerVerifier, NotVerified
from proxy.demo.apps.pages import page, wants_page

_TIMES = ("iat", "nbf", "exp", "auth_time")


def make(verifier: CallerVerifier) -> web.Application:
    """Any path, any method: the answer is the request."""
    application = web.Application()
    application[VERIFIER] = verifier
    application.router.add_route("*", "/{rest:.*}", _show)
    return application


async def _show(request: web.Request) -> web.Response:
    try:
        claims = await request.app[VERIFIER].verify(request.headers)
        trouble = ""
    except NotVerified as error:
        claims, trouble = {}, str(error)
    headers = [(name, value) for name, value in request.headers.items()]
    if wants_page(request):
        shown = [(name, _readable(name, value)) for name, value in claims.items()]
        return page(
            "headers.html", request=request, headers=headers, claims=shown, sub=claims.get("sub", ""), trouble=trouble
        )
    return web.json_response(
        {
            "app": "headers",
            "method": request.method,
            "path": request.path,
            "query": request.query_string,
            "headers": headers,
            "assertion": {"verified": not trouble, "problem": trouble or None, "claims": claims},
        }
    )


def _readable(name: str, value: Any) -> str:
    if name in _TIMES and isinstance(value, int | float):
        return f"{value} ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
