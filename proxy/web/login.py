"""The way in: from an app host to the login host, to a provider if nobody is logged in there, and towards the app.

App host `/.ostiary/login` ties the journey to this browser (bind cookie) and goes to the login host. There a session
answers at once with a ticket (`handover`); without one, or when it is too old for what is asked, a provider is chosen
and an attempt begins (`attempts`). The provider leads to `callback`.
"""

from __future__ import annotations

import re
import secrets
from typing import Final, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from proxy.authn.errors import ProviderUnavailable
from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord
from proxy.settings.schema import AnyProvider, Provider, SamlProvider
from proxy.web import attempts, saml_outset
from proxy.web.attempts import MAX_RESTARTS, State
from proxy.web.endpoints import BIND_COOKIE, LOGIN, callback
from proxy.web.handover import lead_on, well_formed_bind
from proxy.web.pages import hue, initial
from proxy.web.returns import Place
from proxy.web.visit import Refused, Visit, app_title, expire, route_of, see_other, set_cookie

_PROMPTS: Final = frozenset(("login", "select_account"))
MAX_DETAIL: Final = 200  # characters of what a provider said
_MAX_AGE: Final = re.compile(r"[0-9]{1,8}")
_NO_COOKIES: Final = (
    "Your browser did not bring back the cookies set on the way. Allow cookies for this site, "
    "close other login windows, and try again."
)


class Wish(NamedTuple):
    """What a login link asks for."""

    back: Place
    bind: str = ""
    provider: str = ""
    email: str = ""
    max_age: int | None = None
    prompt: str = ""
    restarts: int = 0

    def query(self, **changes: str) -> str:
        """The link again, with changes; defaults are left out."""
        values = {
            "return": self.back.url,
            "bind": self.bind,
            "provider": self.provider,
            "max_age": "" if self.max_age is None else str(self.max_age),
            "prompt": self.prompt,
            "again": str(self.restarts or ""),
        } | changes
        return f"{LOGIN}?{urlencode({name: value for name, value in values.items() if value})}"


def _wish(visit: Visit) -> Wish:
    bind, max_age, prompt, again = (visit.asked(name) for name in ("bind", "max_age", "prompt", "again"))
    return Wish(
        back=visit.back(),
        bind=bind if well_formed_bind(bind) else "",
        provider=visit.asked("provider")[:32],
        email=visit.asked("email").strip()[:254],
        max_age=int(max_age) if _MAX_AGE.fullmatch(max_age) else None,
        prompt=prompt if prompt in _PROMPTS else "",
        restarts=min(int(again), MAX_RESTARTS + 1) if again.isascii() and again.isdigit() and len(again) < 4 else 0,
    )


async def login(visit: Visit) -> web.Response:
    """GET `/.ostiary/login` on any host. A script is told where to log in; it is never sent there."""
    if visit.request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
        raise Refused(Reason.LOGIN_REQUIRED, retry=visit.home() + visit.request.raw_path)
    wish = _wish(visit)
    if wish.restarts > MAX_RESTARTS:
        raise Refused(Reason.LOGIN_FAILED, _NO_COOKIES, retry=wish._replace(restarts=0).query())
    if not visit.on_login_host:
        return _to_login_host(visit, wish)
    if wish.back.host != visit.origins.login_host and not wish.bind:
        return see_other(wish.back.origin + wish.query(**{"return": wish.back.path}))
    session = await visit.session()
    if session is not None and _is_enough(visit, wish, session):
        return lead_on(visit, session, wish.back, wish.bind, wish.restarts)
    return await _choose(visit, wish)


def _to_login_host(visit: Visit, wish: Wish) -> web.Response:
    bind = visit.cookies.get(BIND_COOKIE, "")
    cookies: tuple[str, ...] = ()
    if not well_formed_bind(bind):
        bind = secrets.token_urlsafe(32)
        cookies = (set_cookie(BIND_COOKIE, bind),)
    return see_other(visit.origins.login + wish.query(bind=attempts.digest(bind), email=wish.email), cookies)


def _is_enough(visit: Visit, wish: Wish, session: SessionRecord) -> bool:
    """Whether the session that is there is what the link asks for. `provider` only says where to log in if one must:
    routes that name different providers would otherwise end each other's sessions."""
    if wish.prompt:
        return False
    if wish.max_age is None:
        return True
    since = session.identity.auth_time
    return since is not None and visit.now - since <= wish.max_age


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
    fields = {"return": wish.back.url, "bind": wish.bind, "prompt": wish.prompt, "again": str(wish.restarts or "")}
    if wish.max_age is not None:
        fields["max_age"] = str(wish.max_age)
    return visit.page(
        "chooser",
        title="Log in",
        app=app_title(visit, wish.back),
        by_mail=any(provider.domains for provider in providers),
        action=LOGIN,
        fields=[(name, value) for name, value in fields.items() if value],
        email=wish.email,
        problem=problem,
        ways=ways,
    )


def _place(provider: AnyProvider) -> str:
    """Where people will be sent, as they know it."""
    return provider.issuer.partition("://")[2].partition("/")[0] if isinstance(provider, Provider) else "SAML"


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
    )
    sealer = visit.context.sealer
    try:
        if isinstance(visit.snapshot.providers.get(wish.provider), SamlProvider):
            return await saml_outset.begin(visit, state, leave)
        location = await visit.context.providers()[wish.provider].authorization_url(
            redirect_uri=visit.origins.login + callback(wish.provider),
            state=attempts.seal_state(sealer, state, visit.now),
            nonce=secret.nonce,
            code_challenge=secret.challenge,
            prompt=wish.prompt or None,
            max_age=wish.max_age,
            login_hint=wish.email or None,
        )
    except (ProviderUnavailable, KeyError) as error:
        visit.context.log.warning("provider %s: no login possible: %s", wish.provider, error)
        record_failure(visit, wish.provider, str(error), Reason.PROVIDER_UNAVAILABLE)
        raise Refused(Reason.PROVIDER_UNAVAILABLE, other_ways(visit, wish), retry=_retry(visit, wish)) from error
    cookies = [expire(name) for name in attempts.superfluous(visit.cookies)]
    sealed = attempts.seal_secret(sealer, secret, visit.now)
    cookies.append(set_cookie(attempts.cookie_name(secret.attempt), sealed, attempts.LIFETIME))
    return leave(visit, location, secret.attempt, cookies)


def record_failure(visit: Visit, provider: str, why: str, reason: Reason = Reason.LOGIN_FAILED) -> None:
    """A line for a login that came to nothing. `why` may be the provider's words; it is bounded here."""
    visit.context.record(
        "login-failed",
        reference=visit.reference,
        provider=provider,
        address=visit.address,
        why=why[:MAX_DETAIL],
        reason=reason,
    )


def _retry(visit: Visit, wish: Wish) -> str:
    """Try again at the chooser when there is a choice, else at the same provider."""
    return wish.query(provider="" if len(visit.snapshot.providers) > 1 else wish.provider)


def other_ways(visit: Visit, wish: Wish) -> str:
    """Which provider cannot be reached, and what one may do instead."""
    provider = visit.snapshot.providers.get(wish.provider)
    name = (provider.title or provider.name) if provider else wish.provider
    if len(visit.snapshot.providers) > 1:
        return f"“{name}” cannot be reached. If you have an account with another provider, try again and choose that."
    return f"“{name}” cannot be reached."


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
