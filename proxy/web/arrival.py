"""What a completed login leads to, whatever protocol it came by: a session, or a stronger one, and the way on.

The same person as in the session that is there keeps it: what other tabs have open goes on, every handle the session
had stops working, and this browser gets a new one. Anybody else gets a session of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from proxy.model.device import Observation
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord
from proxy.web.attempts import State
from proxy.web.devices import after_login, bound_for, rebound
from proxy.web.endpoints import SESSION_COOKIE
from proxy.web.failure import record_failure
from proxy.web.handover import destination
from proxy.web.provider_logout import proof
from proxy.web.visit import Refused, Visit, app_title, see_other, set_cookie
from proxy.web.wish import Wish, lacking, shown, wish_of

_GRACE: Final = 60.0  # seconds: clocks differ, and an age of seconds would send people round in circles


class Proven(NamedTuple):
    """Who a provider says this is, whichever way it said so.

    `kept` is what a later renewal or logout there needs; it is sealed with the session. `expires` is an earlier end of
    the session that the provider sets. `refresh_at` is None for what the settings say. `device` is what the provider
    says of the device.
    """

    identity: Identity
    kept: bytes
    provider_sid: str
    expires: float = math.inf
    refresh_at: float | None = None
    device: Mapping[str, Observation] = {}


async def arrive(visit: Visit, state: State, proven: Proven, done: tuple[str, ...]) -> web.Response:
    """What every login ends in: a session, and on to where the person wanted to go. `done` are cookies to set.

    The caller has proved that this browser started the attempt, and used the attempt up.
    Raises `Refused` when the provider did not deliver what was asked of it.
    """
    wish = wish_of(visit, state)
    if is_stale(visit, state, proven):
        return restart(visit, state, done, prompt="login")
    old = await visit.session()
    if old is not None and not _is_same_person(old, state, proven):
        old = None
    proven = _with_second_factor(proven, old)
    # What our own second factor can add later is not the provider's to deliver now.
    missing = lacking(wish._replace(mfa=False) if has_own_factors(visit, state.provider) else wish, proven.identity)
    if missing:
        raise _not_delivered(visit, wish, proven, missing, done, state.attempt)
    session, cookies = await _establish(visit, state, proven, old)
    return _lead_on(visit, state, wish, session, (*done, *cookies))


def _with_second_factor(proven: Proven, old: SessionRecord | None) -> Proven:
    """Our own second factor is not the provider's to take away."""
    if old is None:
        return proven
    identity = msgspec.structs.replace(
        proven.identity, second_factor=old.identity.second_factor, second_factor_at=old.identity.second_factor_at
    )
    return proven._replace(identity=identity)


def _not_delivered(
    visit: Visit, wish: Wish, proven: Proven, missing: tuple[str, ...], done: tuple[str, ...], attempt: str
) -> Refused:
    """No session, and no second try by itself: a provider that did not do it now will not do it in a moment."""
    provider = visit.snapshot.providers.get(wish.provider)
    title = (provider.title or provider.name) if provider else wish.provider
    wanted, came = " and ".join(missing), shown(proven.identity)
    record_failure(visit, wish.provider, f"asked for {wanted}; {came}", Reason.LOGIN_REFUSED)
    detail = f"This asks for {wanted}, and “{title}” was asked for that. It answered without ({came})."
    return Refused(Reason.LOGIN_REFUSED, detail, retry=wish.query(), cookies=done, attempt=attempt)


def is_stale(visit: Visit, state: State, proven: Proven) -> bool:
    """Whether the login is older than was asked for, by our clock: policy would ask for another one at once."""
    since = proven.identity.auth_time
    if state.max_age is not None:
        return since is None or visit.now - since > max(state.max_age, _GRACE)
    return state.prompt == "login" and since is not None and since < state.started - _GRACE


def _is_same_person(old: SessionRecord, state: State, proven: Proven) -> bool:
    return old.provider == state.provider and old.identity.subject == proven.identity.subject


def has_own_factors(visit: Visit, provider: str) -> bool:
    """Whether people of this provider confirm with our own second factor."""
    settings = visit.snapshot.providers.get(provider)
    return visit.context.factors is not None and settings is not None and settings.step_up == "own"


async def _establish(
    visit: Visit, state: State, proven: Proven, same: SessionRecord | None
) -> tuple[SessionRecord, tuple[str, ...]]:
    """The session to go on with, under a new handle (no fixation, no leftovers). `same` is that of the same person."""
    if same is not None:
        if not wish_of(visit, state).is_special and same.created >= state.started:
            return same, ()  # another tab has just logged in: ten tabs would chase each other
        if (stronger := await _strengthen(visit, proven, same)) is not None:
            return stronger
    sessions = visit.context.sessions
    live = await sessions.create(
        proven.identity,
        state.provider,
        proven.kept,
        proven.provider_sid,
        visit.now,
        refresh_at=proven.refresh_at,
        expires=proven.expires,
        device=bound_for(visit, proven.device),
    )
    handle = await sessions.new_handle(live.sid, visit.host)
    if (old := await visit.session()) is not None:
        await sessions.end(old.sid, Reason.SESSION_REVOKED)
    _record(visit, "login", live.record)
    return live.record, (set_cookie(SESSION_COOKIE, handle), proof(visit, live.sid))


async def _strengthen(visit: Visit, proven: Proven, old: SessionRecord) -> tuple[SessionRecord, tuple[str, ...]] | None:
    """What the provider says now, in the session that is there; None when that has ended meanwhile."""
    sessions = visit.context.sessions
    bound = bound_for(visit, proven.device)

    def change(record: SessionRecord) -> SessionRecord:
        now_known = msgspec.structs.replace(
            proven.identity,
            session=record.sid,
            second_factor=record.identity.second_factor,
            second_factor_at=record.identity.second_factor_at,
        )
        return msgspec.structs.replace(
            record,
            identity=now_known,
            provider_sid=proven.provider_sid or record.provider_sid,
            authenticated_at=visit.now if now_known.auth_time is None else now_known.auth_time,
            expires=min(record.expires, proven.expires),
            device=rebound(record.device, bound),
        )

    if not await sessions.strengthen(old.sid, change, proven.kept, proven.refresh_at):
        return None
    return await renewed(visit, old.sid, "step-up")


async def renewed(visit: Visit, sid: str, event: str, **fields: object) -> tuple[SessionRecord, tuple[str, ...]] | None:
    """A strengthened session with this browser's new cookie, recorded; None when it has ended meanwhile."""
    sessions = visit.context.sessions
    record = await sessions.store.get(sid)
    if record is None or record.ended is not None:
        return None
    try:
        handle = await sessions.new_handle(sid, visit.host)
    except KeyError:
        return None
    _record(visit, event, record, **fields)
    return record, (set_cookie(SESSION_COOKIE, handle), proof(visit, sid))


def _record(visit: Visit, event: str, session: SessionRecord, **fields: object) -> None:
    visit.context.record(
        event,
        reference=visit.reference,
        session=session.sid,
        identity=session.identity,
        provider=session.provider,
        address=visit.address,
        **fields,
    )


def _lead_on(visit: Visit, state: State, wish: Wish, session: SessionRecord, cookies: tuple[str, ...]) -> web.Response:
    plain = wish._replace(prompt="")
    if lacking(plain, session.identity):  # the rest is our own second factor's
        location = visit.origins.login + plain.query()
        return take_along(visit, state.attempt, location, "One more step", "Taking you to the second factor.", cookies)
    location = after_login(visit, session, destination(visit, session, wish.back, state.bind, state.restarts))
    return take_along(visit, state.attempt, location, "You are logged in", going_to(visit, wish), cookies)


def going_to(visit: Visit, wish: Wish) -> str:
    """Where the person is led, as a sentence."""
    app = app_title(visit, wish.back)
    return f"Taking you to {app}." if app else "Taking you to your apps."


def restart(visit: Visit, state: State, cookies: tuple[str, ...] = (), prompt: str = "") -> web.Response:
    """Start the login again. Somebody who is logged in by now, in another tab, goes straight through."""
    wish = wish_of(visit, state)
    wish = wish._replace(restarts=state.restarts + 1, prompt=prompt or state.prompt)
    location = visit.origins.login + wish.query()
    return take_along(visit, state.attempt, location, "One more moment", "The login starts again.", cookies)


def take_along(
    visit: Visit, attempt: str, location: str, title: str, text: str, cookies: tuple[str, ...]
) -> web.Response:
    """To `location`, with the #fragment that this tab put by when the attempt began."""
    if not visit.navigates():
        return see_other(location, cookies)
    return visit.page("carry", cookies, title=title, text=text, next=location, step="back", attempt=attempt)
