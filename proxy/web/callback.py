"""The way back from the provider: prove that this browser started the attempt, make the session, lead on.

Nothing about an attempt is kept on the server before this. A callback whose attempt this browser does not hold, or
holds no longer, gives nobody a session: the login starts again by itself, a bounded number of times.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from aiohttp import web

from proxy.authn.callback import Callback, parse_callback
from proxy.authn.errors import CallbackInvalid, LoginRefused, ProviderUnavailable
from proxy.authn.oidc import OidcProvider
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord
from proxy.web import attempts
from proxy.web.attempts import Secret, State
from proxy.web.endpoints import SESSION_COOKIE, callback
from proxy.web.handover import destination
from proxy.web.login import MAX_DETAIL, Wish, other_ways, record_failure
from proxy.web.provider_logout import proof
from proxy.web.visit import Refused, Visit, app_title, expire, see_other, set_cookie

_REFUSING: Final = frozenset(
    ("access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required")
)
_BROKEN: Final = frozenset(("server_error", "temporarily_unavailable"))


class Proven(NamedTuple):
    """Who a provider says this is, whichever way it said so.

    `kept` is what a later renewal or logout there needs; it is sealed with the session. `expires` is an earlier end of
    the session that the provider sets. `refresh_at` is None for what the settings say.
    """

    identity: Identity
    kept: bytes
    provider_sid: str
    expires: float = math.inf
    refresh_at: float | None = None


async def receive(visit: Visit) -> web.Response:
    """GET `/.ostiary/oidc/{provider}/callback` on the login host."""
    name = visit.request.match_info["provider"]
    provider = visit.context.providers().get(name)
    if provider is None or not visit.on_login_host:
        raise Refused(Reason.NO_ROUTE)
    try:
        answer = parse_callback(visit.request.rel_url.raw_query_string)
    except CallbackInvalid as error:
        raise Refused(Reason.LOGIN_FAILED, sentence(str(error))) from error
    state = attempts.open_state(visit.context.sealer, answer.state, visit.now)
    if state is None:
        raise Refused(Reason.LOGIN_FAILED, "The answer does not belong to a login that was started here.")
    if state.provider != name:
        visit.context.log.warning("callback of %s got the state of a login at %s", name, state.provider)
        raise Refused(Reason.LOGIN_FAILED, "The answer came from another identity provider than the one asked.")
    secret = attempts.open_secret(visit.context.sealer, visit.cookies, state.attempt, visit.now)
    if secret is None or attempts.is_over(state, visit.now):
        return restart(visit, state)
    fresh = await visit.context.sessions.store.consume(f"login:{state.attempt}", state.started + attempts.LIFETIME + 60)
    if not fresh:
        return restart(visit, state)
    return await _finish(visit, provider, answer, state, secret)


async def _finish(visit: Visit, provider: OidcProvider, answer: Callback, state: State, secret: Secret) -> web.Response:
    done = (expire(attempts.cookie_name(state.attempt)),)
    wish = wish_of(visit, state)
    retry = wish.query()
    if answer.error:
        raise _said_no(visit, answer, state, retry, done)
    try:
        result = await provider.exchange(
            code=answer.code,
            code_verifier=secret.verifier,
            nonce=secret.nonce,
            redirect_uri=visit.origins.login + callback(state.provider),
            iss=answer.iss,
            max_age=state.max_age,
        )
    except ProviderUnavailable as error:
        visit.context.log.warning("provider %s: login not finished: %s", state.provider, error)
        record_failure(visit, state.provider, str(error), Reason.PROVIDER_UNAVAILABLE)
        raise Refused(
            Reason.PROVIDER_UNAVAILABLE, other_ways(visit, wish), retry=retry, cookies=done, attempt=state.attempt
        ) from error
    except LoginRefused as error:
        record_failure(visit, state.provider, str(error))
        raise Refused(
            Reason.LOGIN_REFUSED, sentence(str(error)), retry=retry, cookies=done, attempt=state.attempt
        ) from error
    return await arrive(visit, state, Proven(result.identity, result.tokens.to_bytes(), result.provider_sid), done)


async def arrive(visit: Visit, state: State, proven: Proven, done: tuple[str, ...]) -> web.Response:
    """What every login ends in: a session, and on to where the person wanted to go. `done` are cookies to set.

    The caller has proved that this browser started the attempt, and used the attempt up.
    """
    if _is_stale(visit, state, proven):
        return restart(visit, state, done, prompt="login")
    session, cookies = await _establish(visit, state, proven)
    return _lead_on(visit, state, session, (*done, *cookies))


def wish_of(visit: Visit, state: State) -> Wish:
    """What the attempt was started for, to ask for it again."""
    return Wish(
        back=visit.place(state.back),
        bind=state.bind,
        provider=state.provider,
        max_age=state.max_age,
        prompt=state.prompt,
        restarts=state.restarts,
    )


def restart(visit: Visit, state: State, cookies: tuple[str, ...] = (), prompt: str = "") -> web.Response:
    """Start the login again. Somebody who is logged in by now, in another tab, goes straight through."""
    wish = wish_of(visit, state)
    wish = wish._replace(restarts=state.restarts + 1, prompt=prompt or state.prompt)
    return _take_along(
        visit, state, visit.origins.login + wish.query(), "One more moment", "The login starts again.", cookies
    )


def _said_no(visit: Visit, answer: Callback, state: State, retry: str, cookies: tuple[str, ...]) -> Refused:
    """What the provider's `error` means here. Its words are shown only to the browser that started the attempt."""
    said = f"The provider said: {answer.description}" if answer.description else ""
    detail = said[:MAX_DETAIL] or f"The provider’s answer was “{answer.error}”."
    reason = Reason.LOGIN_FAILED
    if answer.error in _REFUSING:
        reason = Reason.LOGIN_REFUSED
    elif answer.error in _BROKEN:
        reason = Reason.PROVIDER_UNAVAILABLE
    visit.context.log.info("provider %s answered %s", state.provider, answer.error)
    record_failure(visit, state.provider, answer.error, reason)
    return Refused(reason, detail, retry=retry, cookies=cookies, attempt=state.attempt)


def _is_stale(visit: Visit, state: State, proven: Proven) -> bool:
    """Whether the login is older than was asked for, by our clock: policy would ask for another one at once."""
    since = proven.identity.auth_time
    # A minute of grace: clocks differ, and an age of seconds would send people round in circles.
    if state.max_age is not None:
        return since is None or visit.now - since > max(state.max_age, 60)
    return state.prompt == "login" and since is not None and since < state.started - 60


async def _establish(visit: Visit, state: State, proven: Proven) -> tuple[SessionRecord, tuple[str, ...]]:
    """A new session under a new handle, in place of whatever this browser had (no fixation, no leftovers)."""
    sessions = visit.context.sessions
    old = await visit.session()
    if old is not None and _is_twin(old, state, proven):
        return old, ()
    live = await sessions.create(
        proven.identity,
        state.provider,
        proven.kept,
        proven.provider_sid,
        visit.now,
        refresh_at=proven.refresh_at,
        expires=proven.expires,
    )
    handle = await sessions.new_handle(live.sid, visit.host)
    if old is not None:
        await sessions.end(old.sid, Reason.SESSION_REVOKED)
    visit.context.record(
        "login",
        reference=visit.reference,
        session=live.sid,
        identity=live.identity,
        provider=state.provider,
        address=visit.address,
    )
    return live.record, (set_cookie(SESSION_COOKIE, handle), proof(visit, live.sid))


def _is_twin(old: SessionRecord, state: State, proven: Proven) -> bool:
    """Whether another tab of this browser has just logged the same person in: since this attempt began.

    Replacing that session would cut off what the other tab has opened meanwhile; ten tabs would chase each other.
    """
    if state.prompt or state.max_age is not None or old.created < state.started:
        return False
    return old.provider == state.provider and old.identity.subject == proven.identity.subject


def _lead_on(visit: Visit, state: State, session: SessionRecord, cookies: tuple[str, ...]) -> web.Response:
    back = visit.place(state.back)
    location = destination(visit, session, back, state.bind, state.restarts)
    app = app_title(visit, back)
    text = f"Taking you to {app}." if app else "Taking you to your apps."
    return _take_along(visit, state, location, "You are logged in", text, cookies)


def _take_along(
    visit: Visit, state: State, location: str, title: str, text: str, cookies: tuple[str, ...]
) -> web.Response:
    """To `location`, with the #fragment that this tab put by when the attempt began."""
    if not visit.navigates():
        return see_other(location, cookies)
    return visit.page("carry", cookies, title=title, text=text, next=location, step="back", attempt=state.attempt)


def sentence(text: str) -> str:
    """An error's text as a sentence of bounded length."""
    text = text[:MAX_DETAIL].rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
