"""The way in: from an app host to the login host, to a provider if nobody is logged in there, and towards the app.

App host `/.ostiary/login` ties the journey to this browser (bind cookie) and goes to the login host. There a session
answers at once with a ticket (`handover`); without one, or when it is too old for what is asked, a provider is chosen
and an attempt begins (`attempts`). The provider leads to `callback`.
"""

from __future__ import annotations

import secrets
from typing import Final

from aiohttp import web

from proxy.authn.errors import ProviderUnavailable
from proxy.authn.factors import person_of
from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord
from proxy.settings.schema import AnyProvider, Provider, SamlProvider
from proxy.web import attempts, saml_outset
from proxy.web.arrival import has_own_factors
from proxy.web.attempts import MAX_RESTARTS, State
from proxy.web.endpoints import BIND_COOKIE, LOGIN, callback
from proxy.web.failure import other_ways, record_failure
from proxy.web.handover import lead_on, well_formed_bind
from proxy.web.pages import hue, initial
from proxy.web.visit import Refused, Visit, app_title, expire, route_of, see_other, set_cookie
from proxy.web.wish import Wish, asked_of, is_enough, lacking, read_wish

_NO_COOKIES: Final = (
    "Your browser did not bring back the cookies set on the way. Allow cookies for this site, "
    "close other login windows, and try again."
)


async def login(visit: Visit) -> web.Response:
    """GET `/.ostiary/login` on any host. A script is told where to log in; it is never sent there."""
    if visit.request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
        raise Refused(Reason.LOGIN_REQUIRED, retry=visit.home() + visit.request.raw_path)
    wish = read_wish(visit)
    if wish.restarts > MAX_RESTARTS:
        raise Refused(Reason.LOGIN_FAILED, _NO_COOKIES, retry=wish._replace(restarts=0).query())
    if not visit.on_login_host:
        return _to_login_host(visit, wish)
    if wish.back.host != visit.origins.login_host and not wish.bind:
        return see_other(wish.back.origin + wish.query(**{"return": wish.back.path}))
    session = await visit.session()
    if session is not None and is_enough(wish, session.identity, visit.now):
        return lead_on(visit, session, wish.back, wish.bind, wish.restarts)
    if session is not None and await _asks_own_factor(visit, wish, session):
        return see_other(visit.origins.login + wish.second_factor())
    return await _choose(visit, wish)


def _to_login_host(visit: Visit, wish: Wish) -> web.Response:
    bind = visit.cookies.get(BIND_COOKIE, "")
    cookies: tuple[str, ...] = ()
    if not well_formed_bind(bind):
        bind = secrets.token_urlsafe(32)
        cookies = (set_cookie(BIND_COOKIE, bind),)
    return see_other(visit.origins.login + wish.query(bind=attempts.digest(bind), email=wish.email), cookies)


async def _asks_own_factor(visit: Visit, wish: Wish, session: SessionRecord) -> bool:
    """Whether our own second factor gives what is missing. For mere freshness the provider will do as well, so people
    who have none of ours are not made to enrol one for that."""
    if wish.prompt or not has_own_factors(visit, session.provider) or visit.context.factors is None:
        return False
    if lacking(wish._replace(mfa=False), session.identity):
        return False
    return wish.mfa or bool(await visit.context.factors.of(person_of(session.identity)))


async def _choose(visit: Visit, wish: Wish) -> web.Response:
    providers = visit.snapshot.providers
    if not providers:
        raise Refused(
            Reason.LOGIN_FAILED, "No identity provider is configured here; only client certificates are accepted."
        )
    chosen, problem = _provider(visit, wish)
    if chosen is None:
        return _chooser(visit, wish, problem)
    return await begin(visit, wish._replace(provider=chosen))


def _provider(visit: Visit, wish: Wish) -> tuple[str | None, str]:
    """The provider to use, or None and what to tell a person who has to choose."""
    providers = visit.snapshot.providers
    if wish.provider in providers:
        return wish.provider, ""
    if wish.email:
        return _by_domain(providers, wish.email)
    route = route_of(visit, wish.back)
    if route is not None and route.provider in providers:
        return route.provider, ""
    return (next(iter(providers)), "") if len(providers) == 1 else (None, "")


def _by_domain(providers: dict[str, AnyProvider], email: str) -> tuple[str | None, str]:
    _, at, domain = email.lower().rpartition("@")
    if not at or not domain:
        return None, "That is not an e-mail address. Type it in full, like name@example.org."
    for provider in providers.values():
        if domain in (known.lower() for known in provider.domains):
            return provider.name, ""
    return None, f"No identity provider is set up for {domain}. Check the address, or choose one below."


def _chooser(visit: Visit, wish: Wish, problem: str) -> web.Response:
    providers = visit.snapshot.providers.values()
    ways = [
        {
            "href": wish.query(provider=provider.name),
            "title": provider.title or provider.name,
            "issuer": _place(provider),
            "initial": initial(provider.title or provider.name),
            "hue": hue(provider.name),
        }
        for provider in providers
    ]
    return visit.page(
        "chooser",
        title="Log in",
        app=app_title(visit, wish.back),
        by_mail=any(provider.domains for provider in providers),
        action=LOGIN,
        fields=list(wish.values(provider="").items()),
        email=wish.email,
        problem=problem,
        ways=ways,
    )


def _place(provider: AnyProvider) -> str:
    """Where people will be sent, as they know it."""
    address = provider.issuer if isinstance(provider, Provider) else provider.metadata
    return address.partition("://")[2].partition("/")[0] or next(iter(provider.domains), "SAML")


async def begin(visit: Visit, wish: Wish) -> web.Response:
    """Send the browser to the provider with a new attempt. Raises `Refused` when the provider does not answer."""
    secret = attempts.new_secret(visit.now)
    state = State(
        attempt=secret.attempt,
        provider=wish.provider,
        back=wish.back.url,
        started=visit.now,
        bind=wish.bind,
        restarts=wish.restarts,
        max_age=wish.max_age,
        prompt=wish.prompt,
        mfa=wish.mfa,
        acr=wish.acr,
    )
    sealer = visit.context.sealer
    try:
        asked = asked_of(visit.snapshot.providers[wish.provider], wish)
        if isinstance(visit.snapshot.providers[wish.provider], SamlProvider):
            return await saml_outset.begin(visit, state, asked, leave)
        location = await visit.context.providers()[wish.provider].authorization_url(
            redirect_uri=visit.origins.login + callback(wish.provider),
            state=attempts.seal_state(sealer, state, visit.now),
            nonce=secret.nonce,
            code_challenge=secret.challenge,
            prompt=asked.prompt or None,
            max_age=wish.max_age,
            login_hint=wish.email or None,
            acr_values=" ".join(asked.acr) or None,
        )
    except (ProviderUnavailable, KeyError) as error:
        visit.context.log.warning("provider %s: no login possible: %s", wish.provider, error)
        record_failure(visit, wish.provider, str(error), Reason.PROVIDER_UNAVAILABLE)
        raise Refused(
            Reason.PROVIDER_UNAVAILABLE, other_ways(visit, wish.provider), retry=_retry(visit, wish)
        ) from error
    cookies = [expire(name) for name in attempts.superfluous(visit.cookies)]
    sealed = attempts.seal_secret(sealer, secret, visit.now)
    cookies.append(set_cookie(attempts.cookie_name(secret.attempt), sealed, attempts.LIFETIME))
    return leave(visit, location, secret.attempt, cookies)


def _retry(visit: Visit, wish: Wish) -> str:
    """Try again at the chooser when there is a choice, else at the same provider."""
    return wish.query(provider="" if len(visit.snapshot.providers) > 1 else wish.provider)


def leave(visit: Visit, location: str, attempt: str, cookies: list[str]) -> web.Response:
    """To the provider's page at `location`, with the cookies of the attempt."""
    if not visit.navigates():
        return see_other(location, cookies)
    # A page on the way keeps the address's #fragment in this tab; the provider has no business seeing it.
    return visit.page(
        "carry",
        cookies,
        title="Taking you to the login",
        text="If nothing happens, continue by hand.",
        next=location,
        step="out",
        attempt=attempt,
    )
