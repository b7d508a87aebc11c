"""Pages of the sample apps."""

from __future__ import annotations

import secrets
from importlib import resources

import jinja2
from aiohttp import web

_PAGES = jinja2.Environment(
    loader=jinja2.FunctionLoader(
        lambda name: resources.files("proxy.demo.apps").joinpath("templates", name).read_text("utf-8")
    ),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(name: str, **values: object) -> web.Response:
    """Render a page; only its own style and script run, and it may connect to its own host only."""
    nonce = secrets.token_urlsafe(16)
    answer = web.Response(text=_PAGES.get_template(name).render(nonce=nonce, **values), content_type="text/html")
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def wants_page(request: web.Request) -> bool:
    """Whether a browser asks, rather than a program."""
    return "text/html" in request.headers.get("Accept", "")
