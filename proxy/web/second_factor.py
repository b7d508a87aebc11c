"""Our own second factor, asked for where a page wants more than the login: a passkey, a code, or a recovery code.

The same session goes on afterwards, stronger, under new handles; the person is led back to what they were doing.
"""

from __future__ import annotations

import math
import re
import secrets
from typing import Final

import msgspec
from aiohttp import web

from proxy.authn.factors import FactorRefused, Factors, TooManyAttempts, Used, person_of
from proxy.model.reasons import MEANING, Reason
from proxy.sessions.session import SessionRecord
from proxy.web.arrival import going_to, has_own_factors, renewed, take_along
from proxy.web.endpoints import FACTORS, LOGIN, SECOND_FACTOR
from proxy.web.form import read_form
from proxy.web.handover import destination, lead_on
from proxy.web.pages import initial
from proxy.web.visit import Refused, Visit, app_title, label, see_other
from proxy.web.wish import Wish, is_enough, lacking, read_wish

_TAB: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NONE: Final = "You have none yet. Pages that ask for more than your login will ask you to set one up."
_CONFIRM: Final = "confirm"  # a parameter: ask, however well the person is known already


async def ask(visit: Visit) -> web.Response:
    """GET `/.ostiary/second-factor` on the login host."""
    wish = read_wish(visit)
    session = await _session(visit)
    if session is None or not has_own_factors(visit, session.provider):
        return see_other(visit.origins.login + wish.query())
    if wish.back.host != visit.origins.login_host and not wish.bind:
        return see_other(wish.back.origin + wish.query(**{"return": wish.back.path}))
    if visit.asked(_CONFIRM) != "1" and is_enough(wish, session.identity, visit.now):
        return lead_on(visit, session, wish.back, wish.bind)
    return await _page(visit, wish, session, secrets.token_urlsafe(12))


async def check(visit: Visit) -> web.Response:
    """POST `/.ostiary/second-factor` on the login host, from our own page only."""
    fields = await read_form(visit, SECOND_FACTOR)
    wish = read_wish(visit)
    session = await _session(visit)
    if session is None or not has_own_factors(visit, session.provider):
        raise Refused(Reason.LOGIN_REQUIRED, retry=visit.origins.login + wish.query())
    tab = fields.get("tab", "")
    tab = tab if _TAB.fullmatch(tab) else secrets.token_urlsafe(12)
    try:
        used = await _judged(visit, session, fields)
    except TooManyAttempts as error:
        _failed(visit, session, fields, Reason.TOO_MANY_ATTEMPTS)
        return await _page(visit, wish, session, tab, error.sentence, Reason.TOO_MANY_ATTEMPTS, error.wait)
    except FactorRefused as error:
        _failed(visit, session, fields, Reason.SECOND_FACTOR_FAILED)
        return await _page(visit, wish, session, tab, str(error), Reason.SECOND_FACTOR_FAILED)
    stronger, cookies = await strengthen(visit, session, used, "factor-used")
    return _lead_on(visit, wish, stronger, tab, cookies)


def _lead_on(visit: Visit, wish: Wish, session: SessionRecord, tab: str, cookies: tuple[str, ...]) -> web.Response:
    if lacking(wish, session.identity):  # a kind of login that only the provider can give
        location = visit.origins.login + wish.query()
    else:
        location = destination(visit, session, wish.back, wish.bind)
    return take_along(visit, tab, location, "Confirmed", going_to(visit, wish), cookies)


async def strengthen(
    visit: Visit, session: SessionRecord, used: Used, event: str
) -> tuple[SessionRecord, tuple[str, ...]]:
    """Write into the session what was shown, under a new handle; cookies to set. Raises `Refused` when it has ended."""

    def change(record: SessionRecord) -> SessionRecord:
        known = msgspec.structs.replace(record.identity, second_factor=used.methods, second_factor_at=visit.now)
        return msgspec.structs.replace(record, identity=known)

    if await visit.context.sessions.strengthen(session.sid, change):
        stronger = await renewed(visit, session.sid, event, why=used.name)
        if stronger is not None:
            return stronger
    raise Refused(Reason.SESSION_REVOKED, retry=visit.origins.login + f"{LOGIN}?return=/")


def factors_of(visit: Visit) -> Factors:
    """The service. Only to be asked for where `has_own_factors` holds."""
    assert visit.context.factors is not None, "there is a service where there are own factors"
    return visit.context.factors


async def _session(visit: Visit) -> SessionRecord | None:
    if not visit.on_login_host:
        raise Refused(Reason.NO_ROUTE)
    return await visit.session()


async def _judged(visit: Visit, session: SessionRecord, fields: dict[str, str]) -> Used:
    factors, person = factors_of(visit), person_of(session.identity)
    way = fields.get("way", "")
    if way == "passkey":
        answer = fields.get("answer", "").encode()
        return await factors.check_passkey(person, session.sid, fields.get("sealed", ""), answer)
    if way == "code":
        return await factors.check_code(person, fields.get("code", ""))
    if way == "recovery":
        return await factors.check_recovery(person, fields.get("code", ""))
    raise Refused(Reason.BAD_REQUEST, "The form does not say which way it is.")


def _failed(visit: Visit, session: SessionRecord, fields: dict[str, str], reason: Reason) -> None:
    visit.context.record(
        "factor-failed",
        reference=visit.reference,
        session=session.sid,
        identity=session.identity,
        address=visit.address,
        why=fields.get("way", ""),
        reason=reason,
    )


async def _page(
    visit: Visit,
    wish: Wish,
    session: SessionRecord,
    tab: str,
    problem: str = "",
    reason: Reason | None = None,
    wait: float = 0.0,
) -> web.Response:
    factors, person = factors_of(visit), person_of(session.identity)
    known = await factors.of(person)
    begun = await factors.ask_passkey(person, session.sid)
    answer = visit.page(
        "second-factor",
        status=200 if reason is None else MEANING[reason].status,
        title="Please confirm that it is you" if known else "A second factor is needed here",
        app=app_title(visit, wish.back),
        action=wish.second_factor(),
        setup=wish.link(FACTORS),
        known=bool(known),
        options=begun.options if begun else "",
        sealed=begun.sealed if begun else "",
        codes=any(each.kind == "code" for each in known),
        recovery=await factors.recovery_left(person) > 0 if known else False,
        tab=tab,
        problem=problem,
        waiting=reason is Reason.TOO_MANY_ATTEMPTS,
        identity=label(session.identity),
        initial=initial(label(session.identity)),
    )
    if wait and not math.isinf(wait):
        answer.headers["Retry-After"] = str(math.ceil(wait))
    return answer


async def portal_section(visit: Visit, session: SessionRecord) -> dict[str, object] | None:
    """What the portal says about this person's second factor; None when their provider has its own."""
    if not has_own_factors(visit, session.provider):
        return None
    known = await factors_of(visit).of(person_of(session.identity))
    return {"href": FACTORS, "has": bool(known), "summary": ", ".join(each.name for each in known) or _NONE}
