"""The authorization endpoint and the login page (OpenID Connect Core section 3.1.2)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiMapping

from proxy.demo.idp.ledger import Login, Refusal, Request
from proxy.demo.idp.provider import BROWSER_COOKIE, PROVIDER, Provider, browser_of, page, problem

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
ONE_FACTOR = "urn:ostiary:demo:one-factor"
TWO_FACTORS = "urn:ostiary:demo:two-factors"
_FACTORS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "one": (ONE_FACTOR, ("pwd",)),
    "two": (TWO_FACTORS, ("pwd", "otp", "mfa")),
}


class NotSendable(Exception):
    """Client or redirect URI are not ours to send anybody to: the person is told, nobody else."""


async def authorize(request: web.Request) -> web.Response:
    """GET or POST /authorize."""
    provider = request.app[PROVIDER]
    given = await request.post() if request.method == "POST" else request.query
    try:
        redirect_uri = _redirect_uri(provider, given)
    except NotSendable as error:
        return problem("This login was asked for wrongly", str(error))
    try:
        asked = _parse(redirect_uri, given)
    except Refusal as error:
        return _refused(provider, redirect_uri, _one(given, "state"), error)
    login = provider.ledger.login_of(browser_of(request))
    if login is not None and _enough(asked, login, provider.clock()):
        return _done(provider, asked, login)
    if "none" in asked.prompt:
        refusal = Refusal("login_required", "nobody is logged in, or too long ago, and prompt=none forbids asking")
        return _refused(provider, redirect_uri, asked.state, refusal)
    return _ask(provider, asked, browser_of(request))


async def answer(request: web.Request) -> web.Response:
    """POST /login: somebody chose who to be on the login page."""
    provider = request.app[PROVIDER]
    form = await request.post()
    browser = browser_of(request)
    asked = provider.ledger.answer(str(form.get("interaction", "")), browser)
    if asked is None or browser is None:
        return problem(
            "This login page is no longer good",
            "It was used already, is older than ten minutes, or belongs to another browser. "
            "Go back to the app you wanted to open.",
        )
    if form.get("answer") == "cancel":
        refusal = Refusal("access_denied", "the person cancelled")
        return _refused(provider, asked.redirect_uri, asked.state, refusal)
    person = provider.people.get(str(form.get("person", "")))
    factors = _FACTORS.get(str(form.get("factors", "one")))
    if person is None or factors is None:
        return problem("Nobody was chosen", "Go back and choose one of the people.")
    before = provider.ledger.login_of(browser)
    if before is not None and before.sub != person.sub:
        await provider.end(before.sid)
    return _done(provider, asked, provider.ledger.login(browser, person.sub, *factors))


def _one(given: MultiMapping[object], name: str) -> str | None:
    """A parameter's only value; None when absent. Raises Refusal when it is given twice (RFC 6749 section 3.1)."""
    values = given.getall(name, [])
    if len(values) > 1:
        raise Refusal("invalid_request", f"{name} is given more than once")
    return str(values[0]) if values else None


def _redirect_uri(provider: Provider, given: MultiMapping[object]) -> str:
    try:
        client_id, redirect_uri = _one(given, "client_id"), _one(given, "redirect_uri")
        _one(given, "state")
    except Refusal as error:
        raise NotSendable(error.description) from error
    if client_id != provider.client.client_id:
        raise NotSendable("The program that sent you here is not registered (client_id).")
    if redirect_uri is None or redirect_uri not in provider.client.redirect_uris:
        raise NotSendable("The address to come back to is not registered (redirect_uri).")
    return redirect_uri


def _parse(redirect_uri: str, given: MultiMapping[object]) -> Request:
    for name in set(given):
        _one(given, name)
    for name in ("request", "request_uri"):
        if name in given:
            raise Refusal(f"{name}_not_supported", f"{name} is not supported")
    if given.get("response_type") != "code":
        raise Refusal("unsupported_response_type", "response_type must be code")
    if given.get("response_mode", "query") != "query":
        raise Refusal("invalid_request", "response_mode must be query")
    scope = tuple(str(given.get("scope", "")).split())
    if "openid" not in scope:
        raise Refusal("invalid_scope", "scope must contain openid")
    challenge = str(given.get("code_challenge", ""))
    if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
        raise Refusal("invalid_request", "PKCE is required: code_challenge with code_challenge_method=S256")
    prompt = frozenset(str(given.get("prompt", "")).split())
    if "none" in prompt and len(prompt) > 1:
        raise Refusal("invalid_request", "prompt=none goes with nothing else")
    return Request(
        redirect_uri=redirect_uri,
        state=_one(given, "state"),
        nonce=_one(given, "nonce"),
        challenge=challenge,
        scope=scope,
        prompt=prompt,
        max_age=_seconds(_one(given, "max_age")),
        login_hint=_one(given, "login_hint") or "",
        acr_values=tuple((_one(given, "acr_values") or "").split()),
    )


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Refusal("invalid_request", "max_age is a number of seconds")
    return int(text)


def _wants_two(asked: Request) -> bool:
    """Whether only a login with two factors is what was asked for (OpenID Connect Core section 3.1.2.1)."""
    return TWO_FACTORS in asked.acr_values and ONE_FACTOR not in asked.acr_values


def _enough(asked: Request, login: Login, now: float) -> bool:
    """Whether the login that is there answers the request without asking again."""
    if asked.prompt & {"login", "select_account"}:
        return False
    if _wants_two(asked) and login.acr != TWO_FACTORS:
        return False
    return asked.max_age is None or now - login.auth_time <= asked.max_age


def _done(provider: Provider, asked: Request, login: Login) -> web.Response:
    return _back(provider, asked.redirect_uri, asked.state, {"code": provider.ledger.code(login, asked)})


def _refused(provider: Provider, redirect_uri: str, state: str | None, error: Refusal) -> web.Response:
    return _back(provider, redirect_uri, state, {"error": error.code, "error_description": error.description})


def _back(provider: Provider, redirect_uri: str, state: str | None, values: dict[str, str]) -> web.Response:
    query = values | ({} if state is None else {"state": state}) | {"iss": provider.issuer}  # RFC 9207
    mark = "&" if "?" in redirect_uri else "?"
    return web.Response(status=303, headers={"Location": f"{redirect_uri}{mark}{urlencode(query)}"})


def _ask(provider: Provider, asked: Request, browser: str | None) -> web.Response:
    known = browser or secrets.token_urlsafe(32)
    hinted = [person.sub for person in provider.people.values() if asked.login_hint in {person.sub, person.email}]
    shown = page(
        "login.html",
        people=list(provider.people.values()),
        chosen=hinted[0] if hinted else next(iter(provider.people)),
        interaction=provider.ledger.ask(asked, known),
        again=provider.ledger.login_of(browser) is not None,
        two=_wants_two(asked),
    )
    # Not Secure: the provider speaks plain http on loopback. Lax: people arrive here from the proxy's host.
    shown.set_cookie(BROWSER_COOKIE, known, httponly=True, samesite="Lax", path="/")
    return shown
