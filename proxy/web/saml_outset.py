"""The way out to a SAML provider: an AuthnRequest, by redirect or by a form that posts itself.

A provider's answer comes as a form from its own site, and our cookies are SameSite=Lax: they do not come with it. So
the request's ID and the RelayState are made of the attempt's id alone (bindings, section 3.4.3: 80 bytes at most), and
what the attempt was started for stays, sealed, in the attempt's cookie, which the browser shows at `finish`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from proxy.authn.errors import ProviderUnavailable
from proxy.sessions.seal import SealBroken, Sealer
from proxy.web import attempts
from proxy.web.attempts import State
from proxy.web.endpoints import ATTEMPT_COOKIE
from proxy.web.saml_messages import location, posting
from proxy.web.visit import Visit, expire, set_cookie
from proxy.web.wish import Asked

Leave = Callable[[Visit, str, str, list[str]], web.Response]
_PURPOSE: Final = "saml-attempt"
_LARGEST: Final = 3800  # bytes of the cookie's value: with its name and attributes it must fit in 4,096
_ALL: Final = 12 * 1024  # bytes of all attempts' cookies together: a request's head has room for 32 KiB
_ATTEMPT: Final = re.compile(r"[0-9a-f]{8}[A-Za-z0-9_-]{16}")


async def begin(visit: Visit, state: State, asked: Asked, leave: Leave) -> web.Response:
    """Send the browser to the provider of `state`. Raises ProviderUnavailable."""
    provider = visit.context.saml().get(state.provider)
    if provider is None:
        raise ProviderUnavailable("it is not configured")
    outgoing = await provider.login(
        relay_state=state.attempt,
        request_id=request_id(state.attempt),
        force=asked.prompt == "login" or state.max_age is not None,
        acr=asked.acr,
    )
    sealed = _sealed(visit.context.sealer, state, visit.now)
    cookies = [expire(name) for name in _in_the_way(visit.cookies, len(sealed))]
    cookies.append(set_cookie(attempts.cookie_name(state.attempt), sealed, attempts.LIFETIME))
    if outgoing.kind == "post":
        return posting(visit, outgoing, cookies, title="Taking you to the login", step="out", attempt=state.attempt)
    return leave(visit, location(outgoing), state.attempt, cookies)


def request_id(attempt: str) -> str:
    """The ID of an attempt's AuthnRequest: an XML name."""
    return f"_{attempt}"


def attempt_of(relay_state: str, in_response_to: str | None) -> str | None:
    """The attempt that an answer claims to belong to; proof of nothing. None when it claims none."""
    for claimed in (relay_state, (in_response_to or "").removeprefix("_")):
        if _ATTEMPT.fullmatch(claimed):
            return claimed
    return None


def opened(sealer: Sealer, cookies: Mapping[str, str], attempt: str, now: float) -> State | None:
    """What this browser started the attempt for; None when it did not start it, or too long ago."""
    value = cookies.get(attempts.cookie_name(attempt), "")
    try:
        packed = sealer.unseal(_PURPOSE, value, now=now, max_age=attempts.LIFETIME)
        state = msgspec.json.decode(zlib.decompress(packed), type=State)
    except (SealBroken, zlib.error, msgspec.MsgspecError):
        return None
    return state if state.attempt == attempt else None


def _sealed(sealer: Sealer, state: State, now: float) -> str:
    """The cookie's value. An address too long for a cookie is come back to without its query, or at its host."""
    parts = urlsplit(state.back)
    for back in (state.back, parts._replace(query="").geturl(), f"{parts.scheme}://{parts.netloc}/"):
        packed = zlib.compress(msgspec.json.encode(msgspec.structs.replace(state, back=back)), 9)
        sealed = sealer.seal(_PURPOSE, packed, now=now)
        if len(sealed) <= _LARGEST:
            break
    return sealed


def _in_the_way(cookies: Mapping[str, str], size: int) -> list[str]:
    """The attempts to forget so that another one of `size` bytes fits: the malformed, then the oldest."""
    gone = attempts.superfluous(cookies)
    kept = sorted(name for name in cookies if name.startswith(ATTEMPT_COOKIE) and name not in gone)
    total = size + sum(len(cookies[name]) for name in kept)
    while kept and total > _ALL:
        gone.append(oldest := kept.pop(0))
        total -= len(cookies[oldest])
    return gone
