"""The partner's provider as an aiohttp application: its pages and addresses, and what holds for all of them."""

from __future__ import annotations

import base64
import hashlib
import secrets
from importlib import resources
from urllib.parse import urlsplit

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.demo.saml_idp.messages import TWO_FACTORS, Request, Wrong, read_redirect
from proxy.demo.saml_idp.provider import Login, SamlProvider

PROVIDER = web.AppKey("saml_provider", SamlProvider)
COOKIE = "demo_saml_idp"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SUBMIT = "document.forms[0].submit()"
_SUBMIT_HASH = base64.b64encode(hashlib.sha256(_SUBMIT.encode()).digest()).decode()


def _template(name: str) -> str:
    """Pages of this provider; their frame is the other demo provider's."""
    room = "proxy.demo.idp" if name in {"base.html", "problem.html"} else "proxy.demo.saml_idp"
    return resources.files(room).joinpath("templates", name).read_text("utf-8")


_PAGES = jinja2.Environment(
    loader=jinja2.FunctionLoader(_template),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def make_application(provider: SamlProvider) -> web.Application:
    """Everything the provider answers."""
    application = web.Application(middlewares=[_guard], client_max_size=64 * 1024)
    application[PROVIDER] = provider
    application.router.add_get("/metadata", _metadata)
    application.router.add_get("/sso", _sso)
    application.router.add_post("/login", _login)
    application.router.add_get("/slo", _slo)
    application.router.add_get("/", _home)
    application.router.add_post("/end", _end)
    return application


def _page(name: str, status: int = 200, **values: object) -> web.Response:
    nonce = secrets.token_urlsafe(16)
    text = _PAGES.get_template(name).render(nonce=nonce, **values)
    answer = web.Response(text=text, status=status, content_type="text/html")
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'sha256-{_SUBMIT_HASH}'; "
        "form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'"
    )
    return answer


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only under its own name, against DNS rebinding; and its forms only from its own pages."""
    provider = request.app[PROVIDER]
    answer: web.StreamResponse
    if request.host != urlsplit(provider.origin).netloc:
        answer = _problem("Unknown host", f"This provider is at {provider.origin} only.", 421)
    elif request.method == "POST" and request.headers.get("Origin", provider.origin) != provider.origin:
        answer = _problem("A foreign page sent this form", "Nothing was done.", 403)
    else:
        try:
            answer = await handler(request)
        except Wrong as wrong:
            answer = _problem("This was asked for wrongly", str(wrong), 400)
    answer.headers.update(_HEADERS)
    return answer


def _problem(title: str, text: str, status: int) -> web.Response:
    return _page("problem.html", status, title=title, text=text)


async def _metadata(request: web.Request) -> web.Response:
    body = request.app[PROVIDER].signer.metadata()
    return web.Response(body=body, content_type="application/samlmetadata+xml")


async def _sso(request: web.Request) -> web.Response:
    """GET /sso with an AuthnRequest (redirect binding)."""
    provider = request.app[PROVIDER]
    asked = await _message(request)
    if asked.kind != "AuthnRequest":
        raise Wrong(f"A {asked.kind} is not for this address.")
    browser = request.cookies.get(COOKIE)
    login = provider.login_of(browser)
    if login is not None and provider.enough(asked, login):
        return await _answer(provider, asked, login)
    known = browser or secrets.token_urlsafe(32)
    shown = _page(
        "login.html",
        people=list(provider.people.values()),
        interaction=provider.ask(asked, known),
        again=login is not None,
        two=TWO_FACTORS in asked.contexts,
    )
    # Not Secure: the provider speaks plain http on loopback. Lax: people arrive here from the proxy's host.
    shown.set_cookie(COOKIE, known, httponly=True, samesite="Lax", path="/")
    return shown


async def _message(request: web.Request) -> Request:
    """The message in the query, verified. Raises Wrong."""
    return read_redirect(request.rel_url.raw_query_string, await request.app[PROVIDER].peer())


async def _login(request: web.Request) -> web.Response:
    """POST /login: somebody chose who to be."""
    provider, form = request.app[PROVIDER], await request.post()
    browser = request.cookies.get(COOKIE)
    asked = provider.answered(str(form.get("interaction", "")), browser)
    if asked is None or browser is None:
        raise Wrong("This login page was used already, or is older than ten minutes. Go back to the app you wanted.")
    if form.get("answer") == "cancel":
        return await _answer(provider, asked, None)
    person = provider.people.get(str(form.get("person", "")))
    if person is None:
        raise Wrong("Nobody was chosen. Go back and choose one of the people.")
    before = provider.login_of(browser)
    if before is not None and before.person != person:
        await provider.end(before.index)
    return await _answer(provider, asked, provider.log_in(browser, person, two=form.get("factors") == "two"))


async def _answer(provider: SamlProvider, asked: Request, login: Login | None) -> web.Response:
    """The form that takes the response to the proxy; None is a person who said no."""
    peer = await provider.peer()
    fields = provider.response(peer, asked, login)
    return _page("post.html", action=peer.acs, fields=list(fields.items()), script=_SUBMIT)


async def _slo(request: web.Request) -> web.Response:
    """GET /slo: the proxy ends a login, or has answered that it ended one."""
    provider = request.app[PROVIDER]
    read = await _message(request)
    if read.kind == "LogoutResponse":
        return web.Response(status=303, headers={"Location": "/"})
    if read.kind != "LogoutRequest":
        raise Wrong(f"A {read.kind} is not for this address.")
    return web.Response(status=303, headers={"Location": provider.ended_by(await provider.peer(), read)})


async def _home(request: web.Request) -> web.Response:
    """GET /: what this is, and who is logged in."""
    provider = request.app[PROVIDER]
    here = provider.login_of(request.cookies.get(COOKIE))
    return _page("home.html", rows=provider.logins(), here=here.index if here else "", people=provider.people.values())


async def _end(request: web.Request) -> web.Response:
    """POST /end: the buttons on the front page. The index is unguessable and shown there only."""
    await request.app[PROVIDER].end(str((await request.post()).get("index", "")))
    return web.Response(status=303, headers={"Location": "/"})
