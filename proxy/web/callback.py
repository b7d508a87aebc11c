"""The way back from the provider: prove that this browser started the attempt, ask who it is; `arrival` goes on.

Nothing about an attempt is kept on the server before this. A callback whose attempt this browser does not hold, or
holds no longer, gives nobody a session: the login starts again by itself, a bounded number of times.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from proxy.authn.callback import Callback, parse_callback
from proxy.authn.errors import CallbackInvalid, LoginRefused, ProviderUnavailable
from proxy.authn.oidc import OidcProvider
from proxy.model.reasons import Reason
from proxy.web import attempts
from proxy.web.arrival import Proven, arrive, restart
from proxy.web.attempts import Secret, State
from proxy.web.endpoints import callback
from proxy.web.failure import MAX_DETAIL, other_ways, record_failure, sentence
from proxy.web.visit import Refused, Visit, expire
from proxy.web.wish import wish_of

_REFUSING: Final = frozenset(
    ("access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required")
)
_BROKEN: Final = frozenset(("server_error", "temporarily_unavailable"))


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
    retry = wish_of(visit, state).query()
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
            Reason.PROVIDER_UNAVAILABLE,
            other_ways(visit, state.provider),
            retry=retry,
            cookies=done,
            attempt=state.attempt,
        ) from error
    except LoginRefused as error:
        record_failure(visit, state.provider, str(error))
        raise Refused(
            Reason.LOGIN_REFUSED, sentence(str(error)), retry=retry, cookies=done, attempt=state.attempt
        ) from error
    proven = Proven(result.identity, result.tokens.to_bytes(), result.provider_sid, device=result.device)
    return await arrive(visit, state, proven, done)


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
