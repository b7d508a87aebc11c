"""From the login host to an app host: a single-use ticket, bound to the host and to the browser that asked."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord
from proxy.sessions.ticket import TicketRefused
from proxy.web import attempts
from proxy.web.attempts import MAX_RESTARTS
from proxy.web.endpoints import BIND_COOKIE, LOGIN, SESSION, SESSION_COOKIE
from proxy.web.returns import Place, safe_path
from proxy.web.visit import Refused, Visit, see_other, set_cookie

_BIND: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_STUCK: Final = (
    "The session could not be handed over to this app. Allow cookies for this site, close other login windows, "
    "and try again."
)


def well_formed_bind(value: str) -> bool:
    """Whether `value` can be a bind cookie of ours, or the digest of one: 256 bits in base64url without padding."""
    return _BIND.fullmatch(value) is not None


def destination(visit: Visit, session: SessionRecord, back: Place, bind: str, restarts: int = 0) -> str:
    """The URL that gives the browser its session on the host of `back` and leads there."""
    if back.host == visit.origins.login_host:
        return back.url
    if not bind:  # nobody on that host asked: a ticket would fit no browser
        return f"{back.origin}{LOGIN}?{urlencode({'return': back.path})}"
    ticket = visit.context.sessions.ticket(session.sid, back.host, bind, back.path)
    query = {"ticket": ticket, "return": back.path} | ({"again": str(restarts)} if restarts else {})
    return f"{back.origin}{SESSION}?{urlencode(query)}"


def lead_on(visit: Visit, session: SessionRecord, back: Place, bind: str, restarts: int = 0) -> web.Response:
    """303 to `destination`. The browser takes its #fragment along by itself."""
    return see_other(destination(visit, session, back, bind, restarts))


async def receive(visit: Visit) -> web.Response:
    """GET `/.ostiary/session` on an app host: redeem the ticket, set the session cookie, go where one wanted to.

    A ticket that is used, late, of another browser or forged gives nobody a session: the login starts again by itself,
    which succeeds at once for whoever is logged in, and a page explains when that does not help.
    """
    bind = visit.cookies.get(BIND_COOKIE, "")
    path = safe_path(visit.asked("return"))
    if not well_formed_bind(bind):
        # Without this, a ticket made for the digest of nothing would fit every browser that has no cookie.
        return _again(visit, path)
    try:
        sid, path = await visit.context.sessions.redeem(visit.asked("ticket"), visit.host, attempts.digest(bind))
        handle = await visit.context.sessions.new_handle(sid, visit.host)
    except TicketRefused as refused:
        visit.context.log.info("ticket refused on %s: %s", visit.host, refused)
        return _again(visit, path)
    except KeyError:
        visit.context.log.info("the session of a ticket for %s has ended", visit.host)
        return _again(visit, path)
    return see_other(visit.home() + safe_path(path), (set_cookie(SESSION_COOKIE, handle),))


def _again(visit: Visit, path: str) -> web.Response:
    again = visit.asked("again")
    restarts = int(again) + 1 if again.isascii() and again.isdigit() and len(again) < 4 else 1
    if restarts > MAX_RESTARTS:
        retry = f"{LOGIN}?{urlencode({'return': path})}"
        raise Refused(Reason.LOGIN_FAILED, _STUCK, retry=retry)
    return see_other(f"{visit.home()}{LOGIN}?{urlencode({'return': path, 'again': str(restarts)})}")
