"""Where people enrol and remove their second factors, and get recovery codes.

To change anything takes a fresh login at the provider and, once there is a factor, a fresh use of one: neither a stolen
cookie nor a stolen password is enough to enrol a key of one's own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from proxy.authn.factors import Factor, FactorRefused, NewCode, Used, person_of
from proxy.model.reasons import MEANING, Reason
from proxy.sessions.session import SessionRecord
from proxy.web.arrival import has_own_factors
from proxy.web.endpoints import FACTORS
from proxy.web.form import read_form
from proxy.web.second_factor import factors_of, strengthen
from proxy.web.visit import Refused, Visit, app_title, see_other
from proxy.web.wish import Wish, read_wish

FRESH: Final = 600.0  # seconds
_KINDS: Final = {"passkey": "Passkey", "code": "Authenticator app"}


async def show(visit: Visit) -> web.Response:
    """GET `/.ostiary/factors` on the login host; with `?add=code`, the page to scan."""
    wish = read_wish(visit)
    session = await _session(visit)
    if session is None:
        return see_other(visit.origins.login + _login(visit, wish))
    factors = factors_of(visit)
    if visit.asked("add") == "code" and await _hurdle(visit, wish, session) == "":
        return _code_page(visit, wish, factors.new_code(person_of(session.identity), session.sid, _account(session)))
    return await _page(visit, wish, session)


async def change(visit: Visit) -> web.Response:
    """POST `/.ostiary/factors` on the login host, from our own page only."""
    fields = await read_form(visit, FACTORS)
    wish = read_wish(visit)
    session = await _session(visit)
    if session is None:
        raise Refused(Reason.LOGIN_REQUIRED, retry=visit.origins.login + _login(visit, wish))
    if await _hurdle(visit, wish, session):
        return await _page(visit, wish, session, "Too much time has passed. Confirm again, then try once more.")
    try:
        return await _changed(visit, wish, session, fields)
    except FactorRefused as error:
        if fields.get("do") == "code":
            return _again(visit, wish, session, fields, str(error))
        return await _page(visit, wish, session, str(error))


async def _changed(visit: Visit, wish: Wish, session: SessionRecord, fields: dict[str, str]) -> web.Response:
    factors, person, do = factors_of(visit), person_of(session.identity), fields.get("do", "")
    sealed, name = fields.get("sealed", ""), fields.get("name", "")
    if do == "passkey":
        answer = fields.get("answer", "").encode()
        return await _added(visit, wish, session, await factors.add_passkey(person, session.sid, sealed, answer, name))
    if do == "code":
        code = fields.get("code", "")
        return await _added(visit, wish, session, await factors.add_code(person, session.sid, sealed, code, name))
    if do == "remove":
        gone = await factors.remove(person, fields.get("factor", ""))
        if gone is not None:
            _record(visit, session, "factor-removed", f"{_KINDS[gone.kind]}: {gone.name}")
        return see_other(visit.origins.login + wish.link(FACTORS))
    if do == "recovery" and await factors.of(person):
        _record(visit, session, "factor-added", "new recovery codes")
        return _recovery_page(visit, wish, await factors.new_recovery(person))
    raise Refused(Reason.BAD_REQUEST, "The form does not say what to do.")


async def _added(visit: Visit, wish: Wish, session: SessionRecord, factor: Factor) -> web.Response:
    """Enrolling a factor has shown it as well: the session is stronger by it."""
    factors, person = factors_of(visit), person_of(session.identity)
    _record(visit, session, "factor-added", f"{_KINDS[factor.kind]}: {factor.name}")
    _, cookies = await strengthen(visit, session, Used.of(factor), "factor-used")
    if await factors.recovery_left(person) > 0:
        return see_other(visit.origins.login + wish.link(FACTORS), cookies)
    return _recovery_page(visit, wish, await factors.new_recovery(person), cookies)


async def _session(visit: Visit) -> SessionRecord | None:
    if not visit.on_login_host:
        raise Refused(Reason.NO_ROUTE)
    session = await visit.session()
    if session is not None and not has_own_factors(visit, session.provider):
        raise Refused(Reason.NO_ROUTE, "Your identity provider asks for second factors itself: set yours up there.")
    return session


async def _hurdle(visit: Visit, wish: Wish, session: SessionRecord) -> str:
    """The path and query to go to before anything may be changed; "" when it may be changed now."""
    if visit.now - session.authenticated_at > FRESH:
        return _login(visit, wish) + "&prompt=login"
    used = session.identity.second_factor_at
    known = await factors_of(visit).of(person_of(session.identity))
    if known and (used is None or visit.now - used > FRESH):
        here = wish._replace(back=visit.place(visit.origins.login + wish.link(FACTORS)), bind="", max_age=None, acr=())
        return here.second_factor(confirm="1")
    return ""


def _login(visit: Visit, wish: Wish) -> str:
    here = visit.place(visit.origins.login + wish.link(FACTORS))
    return Wish(back=here).query()


async def _page(visit: Visit, wish: Wish, session: SessionRecord, problem: str = "") -> web.Response:
    factors, person = factors_of(visit), person_of(session.identity)
    known = await factors.all_of(person)
    hurdle = await _hurdle(visit, wish, session)
    begun = None
    if not hurdle and factors.offered.passkeys:
        begun = await factors.new_passkey(person, session.sid, _account(session))
    return visit.page(
        "factors",
        status=MEANING[Reason.SECOND_FACTOR_FAILED].status if problem else 200,
        title="Your second factor",
        problem=problem,
        hurdle=hurdle,
        known=[_row(each) for each in known],
        action=wish.link(FACTORS),
        options=begun.options if begun else "",
        sealed=begun.sealed if begun else "",
        passkeys=factors.offered.passkeys,
        codes=factors.offered.codes,
        add_code=wish.link(FACTORS, add="code"),
        recovery=await factors.recovery_left(person),
        onward=_onward(visit, wish),
        app=_app(visit, wish),
    )


def _code_page(visit: Visit, wish: Wish, new: NewCode, problem: str = "") -> web.Response:
    width, path = new.qr
    return visit.page(
        "factor-code",
        status=MEANING[Reason.SECOND_FACTOR_FAILED].status if problem else 200,
        title="Add an authenticator app",
        problem=problem,
        action=wish.link(FACTORS),
        back=wish.link(FACTORS),
        secret=" ".join(new.secret[at : at + 4] for at in range(0, len(new.secret), 4)),
        sealed=new.sealed,
        width=width,
        path=path,
    )


def _again(visit: Visit, wish: Wish, session: SessionRecord, fields: dict[str, str], problem: str) -> web.Response:
    """The same QR code once more: who mistyped has scanned it already."""
    factors, person = factors_of(visit), person_of(session.identity)
    try:
        new = factors.same_code(person, session.sid, fields.get("sealed", ""), _account(session))
    except FactorRefused:
        new = factors.new_code(person, session.sid, _account(session))
    return _code_page(visit, wish, new, problem)


def _recovery_page(visit: Visit, wish: Wish, codes: list[str], cookies: tuple[str, ...] = ()) -> web.Response:
    return visit.page(
        "recovery-codes",
        cookies,
        title="Your recovery codes",
        codes=codes,
        back=wish.link(FACTORS),
        onward=_onward(visit, wish),
        app=_app(visit, wish),
    )


def _app(visit: Visit, wish: Wish) -> str:
    """The app that asked for a second factor, when one did; "" for the portal."""
    return "" if wish.back.host == visit.origins.login_host else app_title(visit, wish.back)


def _onward(visit: Visit, wish: Wish) -> str:
    """Where the person was going when a second factor was asked for, or the portal."""
    return wish.query() if _app(visit, wish) else wish.back.path


def _row(factor: Factor) -> dict[str, object]:
    return {
        "id": factor.id,
        "kind": _KINDS[factor.kind],
        "name": factor.name,
        "created": _day(factor.created),
        "used": _day(factor.last_used) if factor.last_used else "",
        "synced": factor.synced,
    }


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(min(max(seconds, 0.0), 253402300799.0), UTC).strftime("%Y-%m-%d")


def _account(session: SessionRecord) -> str:
    return session.identity.email or session.identity.subject


def _record(visit: Visit, session: SessionRecord, event: str, why: str) -> None:
    visit.context.record(
        event,
        reference=visit.reference,
        session=session.sid,
        identity=session.identity,
        address=visit.address,
        why=why,
    )
