"""SAML 2.0 in the browser: our metadata, the way back from a provider (ACS), and who the answer makes of whom.

The provider's answer is a form posted from its own site. Our cookies do not come with it, so at the ACS nobody knows
whose browser this is: there an answer is only verified, used up, and sealed. At `finish`, to which the browser is sent
with a GET, its cookies are there again and say whether it started the attempt. Without that check, whoever makes
somebody's browser post an answer would log that person in as themselves (login CSRF). An answer that nobody here asked
for has no attempt to prove: there the person is asked, and answers with a form of our own page.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
from aiohttp import web

from proxy.authn.errors import LoginRefused, ProviderUnavailable
from proxy.authn.saml import Outgoing, SamlLogin, SamlProvider, in_response_to
from proxy.model.reasons import Reason
from proxy.sessions.seal import SealBroken
from proxy.web import attempts
from proxy.web.arrival import Proven, arrive, restart
from proxy.web.attempts import State
from proxy.web.endpoints import LOGIN, saml_finish
from proxy.web.failure import other_ways, record_failure, sentence
from proxy.web.form import read_foreign_form, read_form
from proxy.web.pages import initial
from proxy.web.saml_messages import MAX_FORM, Kept, posting, provider_of
from proxy.web.saml_outset import attempt_of, opened, request_id
from proxy.web.visit import Refused, Visit, answer, expire, label, see_other
from proxy.web.wish import wish_of

_PURPOSE: Final = "saml-answer"
_AGE: Final = 120.0  # seconds from the ACS to `finish`
_ASKED_AGE: Final = 600.0  # the same where the person is asked in between
_LONGEST: Final = 8 * 1024  # characters of a sealed answer that go into an address; a longer one goes by form
_METADATA_AGE: Final = 3600.0
_FOREIGN: Final = (
    "This login was not started in this browser, or it took too long. Allow cookies for this site, and start again "
    "from the app you wanted to open."
)
# What an answer to nobody's question says is anybody's: it is in the record, and not on the page.
_UNASKED: Final = (
    "Your identity provider sent you here without a login having been started here, and that was not accepted. "
    "Open the app you want; you will be taken to your provider from there."
)
_published: WeakKeyDictionary[SamlProvider, tuple[float, bytes]] = WeakKeyDictionary()


class _Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the ACS made of a provider's answer: a login, or why there is none. `attempt` "" was asked for by nobody."""

    provider: str
    attempt: str = ""
    login: SamlLogin | None = None
    why: str = ""
    reason: Reason = Reason.LOGIN_REFUSED
    relay_state: str = ""  # of an answer that nobody asked for: where the provider wants people to go


async def metadata(visit: Visit) -> web.Response:
    """GET `/.ostiary/saml/{provider}/metadata` on the login host: what the provider's administrator imports."""
    provider = provider_of(visit)
    made, document = _published.get(provider, (-math.inf, b""))
    if not 0 <= visit.now - made < _METADATA_AGE:
        document = await asyncio.to_thread(provider.metadata)
        _published[provider] = (visit.now, document)
    headers = (
        (b"Content-Type", b"application/samlmetadata+xml"),
        (b"Cache-Control", b"public, max-age=300"),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'"),
    )
    return answer(200, headers, document)


async def receive(visit: Visit) -> web.Response:
    """POST `/.ostiary/saml/{provider}/acs` on the login host: verified, used up and sealed; no cookie is looked at."""
    provider = provider_of(visit)
    form = await read_foreign_form(visit, MAX_FORM)
    response, relay_state = form.get("SAMLResponse", ""), form.get("RelayState", "")
    if not response:
        raise Refused(Reason.LOGIN_FAILED, "The form holds no SAMLResponse.")
    answers = in_response_to(response)
    attempt = attempt_of(relay_state, answers)
    if attempt is None and answers is not None:
        raise _refused(visit, provider.name, "the answer does not belong to a login that was started here")
    result = await _judged(visit, provider, response, attempt)
    if attempt is None:
        if result.login is None:
            raise Refused(result.reason, _UNASKED, retry=_login())
        result = msgspec.structs.replace(result, relay_state=relay_state[:4096])
    sealed = _seal(visit, result)
    location = visit.origins.login + saml_finish(provider.name)
    if len(sealed) <= _LONGEST:
        return see_other(f"{location}?result={sealed}")
    # A person in hundreds of groups: from our own page, so that the cookies come with the form.
    return posting(visit, Outgoing(kind="post", url=location, fields={"result": sealed}), title="One more moment")


async def _judged(visit: Visit, provider: SamlProvider, response: str, attempt: str | None) -> _Answer:
    """Verify a response and use its assertion up."""
    name, told = provider.name, attempt or ""
    asked = request_id(attempt) if attempt is not None else None
    try:
        login = await provider.accept(response, request_id=asked, now=visit.now)
    except ProviderUnavailable as error:
        visit.context.log.warning("provider %s: login not finished: %s", name, error)
        record_failure(visit, name, str(error), Reason.PROVIDER_UNAVAILABLE)
        return _Answer(name, told, why=other_ways(visit, name), reason=Reason.PROVIDER_UNAVAILABLE)
    except LoginRefused as error:
        record_failure(visit, name, str(error))
        return _Answer(name, told, why=sentence(str(error)))
    if not await visit.context.sessions.store.consume(login.assertion_id, login.assertion_expires):
        record_failure(visit, name, "the assertion was used before")
        return _Answer(name, told, why="This answer of the provider was used before.")
    return _Answer(name, told, login)


def _refused(visit: Visit, provider: str, why: str) -> Refused:
    record_failure(visit, provider, why)
    return Refused(Reason.LOGIN_FAILED, sentence(why), retry=_login())


def _login() -> str:
    return f"{LOGIN}?return=/"


def _seal(visit: Visit, result: _Answer) -> str:
    return visit.context.sealer.seal(_PURPOSE, zlib.compress(msgspec.json.encode(result), 9), now=visit.now)


def _unsealed(visit: Visit, sealed: str, provider: str) -> _Answer:
    """Raises `Refused`."""
    try:
        packed = visit.context.sealer.unseal(_PURPOSE, sealed, now=visit.now, max_age=_ASKED_AGE)
        result = msgspec.json.decode(zlib.decompress(packed), type=_Answer)
        if result.attempt:
            visit.context.sealer.unseal(_PURPOSE, sealed, now=visit.now, max_age=_AGE)
    except (SealBroken, zlib.error, msgspec.MsgspecError):
        raise Refused(Reason.LOGIN_FAILED, _FOREIGN, retry=_login()) from None
    if result.provider != provider:
        raise Refused(Reason.LOGIN_FAILED, "The answer came from another identity provider.", retry=_login())
    return result


async def finish(visit: Visit) -> web.Response:
    """GET `/.ostiary/saml/{provider}/finish` on the login host, with the sealed answer."""
    provider = provider_of(visit)
    result = _unsealed(visit, visit.asked("result"), provider.name)
    if result.attempt:
        return await _complete(visit, result)
    return await _ask(visit, provider, result, visit.asked("result"))


async def finish_form(visit: Visit) -> web.Response:
    """POST to the same: an answer too long for an address, or a person's yes to a login that nobody here asked for."""
    provider = provider_of(visit)
    form = await read_form(visit, LOGIN, MAX_FORM)
    result = _unsealed(visit, form.get("result", ""), provider.name)
    if result.attempt:
        return await _complete(visit, result)
    if form.get("confirmed") != "yes":
        return await _ask(visit, provider, result, form["result"])
    return await _confirmed(visit, result)


async def _complete(visit: Visit, result: _Answer) -> web.Response:
    """The end of an attempt, if this browser started it."""
    state = opened(visit.context.sealer, visit.cookies, result.attempt, visit.now)
    if state is None or attempts.is_over(state, visit.now):
        visit.context.log.info("provider %s: an answer came to a browser that did not ask for it", result.provider)
        raise _refused(visit, result.provider, _FOREIGN)
    done = (expire(attempts.cookie_name(state.attempt)),)
    if state.provider != result.provider:
        visit.context.log.warning("provider %s answered a login at %s", result.provider, state.provider)
        raise Refused(Reason.LOGIN_FAILED, "The answer came from another identity provider than the one asked.")
    fresh = await visit.context.sessions.store.consume(f"login:{state.attempt}", state.started + attempts.LIFETIME + 60)
    if not fresh:
        return restart(visit, state, done)
    if result.login is None:
        retry = wish_of(visit, state).query()
        raise Refused(result.reason, result.why, retry=retry, cookies=done, attempt=state.attempt)
    return await arrive(visit, state, _proven(result.login), done)


def _proven(login: SamlLogin) -> Proven:
    return Proven(
        identity=login.identity,
        kept=msgspec.json.encode(Kept(login.name_id, login.session_index)),
        provider_sid=login.provider_sid,
        expires=math.inf if login.session_expires is None else login.session_expires,
        refresh_at=math.inf,  # nothing of SAML can be asked for again behind the person's back
        device=login.device_claims,
    )


async def _ask(visit: Visit, provider: SamlProvider, result: _Answer, sealed: str) -> web.Response:
    """ "Log in as …?": the person decides, since nothing else says that they wanted this."""
    if result.login is None:
        raise Refused(result.reason, result.why, retry=_login())
    who = label(result.login.identity)
    session = await visit.session()
    detail = ""
    if session is not None and session.identity.subject != result.login.identity.subject:
        detail = f"You are logged in as {label(session.identity)} now; that session would end."
    title = provider.settings.title or provider.name
    return visit.page(
        "confirm",
        title="Log in here?",
        text="You come from your identity provider, without having asked for it here. Go on only if this is you.",
        detail=detail,
        place=title,
        identity=who,
        initial=initial(who),
        post=saml_finish(provider.name),
        result=sealed,
    )


async def _confirmed(visit: Visit, result: _Answer) -> web.Response:
    """A login that nobody here asked for, and that the person wants."""
    login = result.login
    if login is None:
        raise Refused(result.reason, result.why, retry=_login())
    expires = visit.now + _ASKED_AGE + 60
    if not await visit.context.sessions.store.consume(f"{login.assertion_id}:confirmed", expires):
        raise _refused(visit, result.provider, "this answer of the provider was used before")
    back = visit.place(result.relay_state or "/")  # one of our own places, whatever it says
    state = State(attempt="", provider=result.provider, back=back.url, started=visit.now)
    return await arrive(visit, state, _proven(login), ())
