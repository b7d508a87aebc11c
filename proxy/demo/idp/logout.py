"""Logging out: RP-Initiated Logout 1.0, and the provider's own page with everybody who is logged in."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiMapping

from proxy.demo.idp.provider import PROVIDER, Provider, browser_of, page


async def end_session(request: web.Request) -> web.Response:
    """GET or POST /logout. With an ID token of this browser's login it happens at once; else the person is asked."""
    provider = request.app[PROVIDER]
    given: MultiMapping[object] = await request.post() if request.method == "POST" else request.query
    hint = given.get("id_token_hint")
    sid = provider.signer.hinted_sid(str(hint)) if hint is not None else None
    login = provider.ledger.login_of(browser_of(request))
    if login is not None and sid != login.sid:
        return page("logout.html", person=provider.people[login.sub], sid=login.sid)
    if sid is not None:
        await provider.end(sid)
    return _back(provider, given) if sid is not None else page("logged_out.html")


async def end_one(request: web.Request) -> web.Response:
    """POST /end: the buttons on our own pages. The sid is unguessable and shown on these pages only."""
    await request.app[PROVIDER].end(str((await request.post()).get("sid", "")))
    return web.Response(status=303, headers={"Location": "/"})


async def home(request: web.Request) -> web.Response:
    """GET /: what this is, and who is logged in."""
    provider = request.app[PROVIDER]
    rows = [(login, provider.people[login.sub]) for login in provider.ledger.logins()]
    here = provider.ledger.login_of(browser_of(request))
    return page("home.html", rows=rows, here=here.sid if here else "", people=list(provider.people.values()))


def _back(provider: Provider, given: MultiMapping[object]) -> web.Response:
    target = str(given.get("post_logout_redirect_uri", ""))
    if target not in provider.client.post_logout_redirect_uris:
        return page("logged_out.html")
    state = given.get("state")
    query = "" if state is None else ("&" if "?" in target else "?") + urlencode({"state": str(state)})
    return web.Response(status=303, headers={"Location": target + query})
