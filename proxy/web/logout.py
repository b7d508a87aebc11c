"""The way out: a question, then the end of the session on all hosts, then logout at the provider.

A GET only asks: no other site, image or link can log anybody out. The POST must come from our own page.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord
from proxy.web.endpoints import LOGGED_OUT, LOGIN, LOGOUT, PREFIX, PROOF_COOKIE, SESSION_COOKIE
from proxy.web.form import is_same_origin
from proxy.web.logout_state import provider_title
from proxy.web.pages import JSON_HEADERS, initial
from proxy.web.provider_logout import reference
from proxy.web.refusals import Act
from proxy.web.visit import Refused, Visit, answer, expire, label, see_other


async def ask(visit: Visit) -> web.Response:
    """GET `/.ostiary/logout` on any host."""
    session = await visit.session()
    if session is None:
        return see_other(visit.origins.login + LOGGED_OUT)
    who = label(session.identity)
    return visit.page(
        "ask",
        title="Log out?",
        text="This ends your session in every app here, in this browser.",
        detail="Open connections of these apps are closed, so save your work first.",
        door="ajar",
        post=LOGOUT,
        post_text="Log out",
        acts=[Act(PREFIX, "Stay logged in")],
        identity=who,
        initial=initial(who),
    )


async def leave(visit: Visit) -> web.Response:
    """POST `/.ostiary/logout` on any host, from a page of the same origin only."""
    if not is_same_origin(visit):
        raise Refused(Reason.ORIGIN_REFUSED, f"Logging out needs a click on our own page. Open {LOGOUT} on this host.")
    gone = (expire(SESSION_COOKIE),)
    session = await visit.session()
    if session is None:
        return _done(visit, visit.origins.login + LOGGED_OUT, gone)
    location = reference(visit, session)
    await _end(visit, session)
    return _done(visit, location or visit.origins.login + LOGGED_OUT, gone)


async def _end(visit: Visit, session: SessionRecord) -> None:
    """End this session and its siblings: parallel tabs may have made several in one session at the provider."""
    sessions = visit.context.sessions
    sids = {session.sid}
    if session.provider_sid:
        sids.update(
            await sessions.store.by_provider_session(session.provider, session.identity.subject, session.provider_sid)
        )
    await sessions.end_many(sorted(sids), Reason.SESSION_REVOKED)
    visit.context.record(
        "logout", reference=visit.reference, session=session.sid, identity=session.identity, address=visit.address
    )


def _done(visit: Visit, location: str, cookies: tuple[str, ...]) -> web.Response:
    if visit.want() == "json":
        body = msgspec.json.encode({"logged_out": True, "continue": location})
        return answer(200, JSON_HEADERS, body, cookies)
    if visit.navigates() and location != visit.home() + LOGGED_OUT:
        # `form-action 'self'` also forbids redirects of the form's answer to another origin: a page goes instead.
        return visit.page(
            "carry", cookies, title="You are logged out here", text="One more step.", next=location, step="", attempt=""
        )
    return see_other(location, cookies)


async def logged_out(visit: Visit) -> web.Response:
    """GET `/.ostiary/logged-out` on the login host: where everybody ends up, also back from the provider."""
    if not visit.on_login_host:
        return see_other(visit.origins.login + LOGGED_OUT)
    session = await visit.session()
    if session is not None:
        who = label(session.identity)
        return visit.page(
            "ask",
            title="You are still logged in",
            text="This browser has a session here.",
            detail="",
            door="ajar",
            post=LOGOUT,
            post_text="Log out",
            acts=[Act(PREFIX, "Your apps")],
            identity=who,
            initial=initial(who),
        )
    title = provider_title(visit)
    return visit.page(
        "ask",
        (expire(SESSION_COOKIE), expire(PROOF_COOKIE)),
        title="You are logged out",
        text=f"Your session has ended here and at {title}." if title else "Your session here has ended.",
        detail=""
        if title
        else "You may still be logged in at your identity provider. On a shared computer, close the browser.",
        door="shut",
        post="",
        post_text="",
        acts=[Act(f"{LOGIN}?return=/", "Log in again")],
        identity="",
        initial="",
    )
