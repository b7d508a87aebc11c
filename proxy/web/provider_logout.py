"""Logout at the provider (RP-Initiated Logout 1.0, or SAML single logout), always from the login host.

The provider wants the ID token (or the NameID) in the address. No script of an app may read that, so an app host only
ever names a sealed reference: it works once, for two minutes, on the login host, and tells what it holds only to the
browser that logged in, which proves so by a cookie that no app host sees.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

import msgspec
from aiohttp import web

from proxy.authn.errors import AuthnError
from proxy.authn.token_endpoint import Tokens
from proxy.model.reasons import Reason
from proxy.sessions.seal import SealBroken
from proxy.sessions.session import SessionRecord
from proxy.settings.schema import SamlProvider
from proxy.web import saml_logout
from proxy.web.endpoints import LOGGED_OUT, PROOF_COOKIE, PROVIDER_LOGOUT
from proxy.web.logout_state import seal_state
from proxy.web.visit import Refused, Visit, expire, see_other, set_cookie

LIFETIME: Final = 120.0  # seconds from our form to the provider
_REFERENCE: Final = "logout-reference"
_PROOF: Final = "logout-proof"
_LARGEST_HINT: Final = 8192  # characters; sealed it is half as long again, and must fit in a URL


class _Reference(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed in. The session has ended by then, and its tokens are erased with it."""

    id: str
    sid: str
    provider: str
    hint: str  # an ID token; for SAML what the session kept (`saml_messages.Kept`)

    def __repr__(self) -> str:
        return f"_Reference(id={self.id!r}, provider={self.provider!r})"


def proof(visit: Visit, sid: str) -> str:
    """The Set-Cookie value for the login host by which this browser proves later that the session was its own."""
    return set_cookie(PROOF_COOKIE, visit.context.sealer.seal(_PROOF, sid.encode(), now=visit.now))


def reference(visit: Visit, session: SessionRecord) -> str | None:
    """The login host's URL that logs out at the provider; None when that provider is no longer configured.

    To be asked before the session ends.
    """
    if session.provider not in visit.snapshot.providers:
        return None
    hint = _hint(visit, session)
    if len(hint) > _LARGEST_HINT:
        hint = ""
    inside = _Reference(secrets.token_urlsafe(16), session.sid, session.provider, hint)
    sealed = visit.context.sealer.seal(_REFERENCE, msgspec.json.encode(inside), now=visit.now)
    return f"{visit.origins.login}{PROVIDER_LOGOUT}?reference={sealed}"


def _hint(visit: Visit, session: SessionRecord) -> str:
    try:
        held = visit.context.sessions.tokens(session)
        if isinstance(visit.snapshot.providers[session.provider], SamlProvider):
            return held.decode()
        return Tokens.from_bytes(held).id_token if held else ""
    except ValueError:
        return ""


async def leave_provider(visit: Visit) -> web.Response:
    """GET `/.ostiary/logout/provider` on the login host: on to the provider, or to our last page when that cannot be.

    For windows only: a script that fetches it is refused before the reference is used up.
    """
    if not visit.on_login_host:
        raise Refused(Reason.NO_ROUTE)
    headers = visit.request.headers
    if headers.get("Sec-Fetch-Mode", "navigate") != "navigate" or headers.get("Sec-Fetch-Dest", "document") != (
        "document"
    ):
        raise Refused(Reason.ORIGIN_REFUSED, "This address must be opened in a window.")
    cookies = (expire(PROOF_COOKIE),)
    inside = await _redeemed(visit)
    response = await _onward(visit, inside, cookies) if inside is not None else None
    return response or see_other(visit.origins.login + LOGGED_OUT, cookies if inside is not None else ())


async def _redeemed(visit: Visit) -> _Reference | None:
    token = visit.asked("reference")
    try:
        opened = visit.context.sealer.unseal(_REFERENCE, token, now=visit.now, max_age=LIFETIME)
        inside = msgspec.json.decode(opened, type=_Reference)
    except (SealBroken, msgspec.MsgspecError):
        return None
    fresh = await visit.context.sessions.store.consume(f"logout-reference:{inside.id}", visit.now + LIFETIME)
    return inside if fresh else None


async def _onward(visit: Visit, inside: _Reference, cookies: tuple[str, ...]) -> web.Response | None:
    """To the provider's logout; None when there is none. Without the hint an OpenID provider asks the person, and a
    SAML provider cannot be asked at all; whoever got hold of the reference learns nothing by it."""
    hint = inside.hint if _is_proven(visit, inside.sid) else ""
    context = visit.context
    try:
        if (saml := context.saml().get(inside.provider)) is not None:
            return await saml_logout.leaving(visit, saml, hint, cookies)
        if (provider := context.providers().get(inside.provider)) is None:
            return None
        location = await provider.logout_url(
            id_token=hint,
            post_logout_redirect_uri=visit.origins.login + LOGGED_OUT,
            state=seal_state(visit, inside.provider),
        )
    except AuthnError as error:
        context.log.warning("provider %s: no logout there: %s", inside.provider, error)
        return None
    return see_other(location, cookies) if location else None


def _is_proven(visit: Visit, sid: str) -> bool:
    """Whether this browser logged in to that session."""
    try:
        proven = visit.context.sealer.unseal(_PROOF, visit.cookies.get(PROOF_COOKIE, ""), now=visit.now, max_age=None)
    except SealBroken:
        return False
    return hmac.compare_digest(proven, sid.encode())
