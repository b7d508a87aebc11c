"""The provider logs somebody out: OpenID Connect Back-Channel Logout 1.0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from proxy.authn.errors import LoginRefused, ProviderUnavailable
from proxy.authn.oidc import OidcProvider
from proxy.authn.tokens import LogoutToken
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.store import StoreUnavailable
from proxy.web.pages import JSON_HEADERS
from proxy.web.visit import Refused, Visit, answer

_MOST_LINES: Final = 50  # of the record for one logout token
_FORM: Final = "application/x-www-form-urlencoded"


async def receive(visit: Visit) -> web.Response:
    """POST `/.ostiary/oidc/{provider}/backchannel-logout` on the login host.

    200 when the sessions are ended (also when there were none), 400 for a token we do not accept (§2.8), 503 when
    we could not check or act just now: the provider may send a new token later.
    """
    name = visit.request.match_info["provider"]
    provider = visit.context.providers().get(name)
    if provider is None or not visit.on_login_host:
        raise Refused(Reason.NO_ROUTE)
    token = await _token(visit.request)
    if token is None:
        return _answer(400, "invalid_request", "send one logout_token as a form")
    try:
        logout = await provider.verify_logout_token(token)
    except ProviderUnavailable as error:
        visit.context.log.warning("provider %s: logout token not checked: %s", name, error)
        return _answer(503, "temporarily_unavailable", "the keys of the provider cannot be read now")
    except LoginRefused as error:
        visit.context.log.warning("provider %s: logout token refused: %s", name, error)
        return _answer(400, "invalid_request", "the logout token is not acceptable")
    return await _act(visit, provider, logout)


async def _token(request: web.Request) -> str | None:
    if request.content_type != _FORM:
        return None
    try:
        # Not request.post(): that decodes with whatever charset the sender names.
        text = (await request.read()).decode("ascii")
        values = [value for name, value in parse_qsl(text, max_num_fields=16) if name == "logout_token"]
    except ValueError:
        return None
    return values[0] if len(values) == 1 else None


async def _act(visit: Visit, provider: OidcProvider, logout: LogoutToken) -> web.Response:
    sessions = visit.context.sessions
    if not await sessions.store.consume(f"logout:{provider.name}:{logout.jti}", logout.expires + 120):
        return _answer(400, "invalid_request", "this logout token was used before")
    ended = await sessions.end_at_provider(provider.name, logout.sub, logout.sid)
    await record_ended(visit, provider.name, ended)
    return answer(200, JSON_HEADERS, b"{}")


async def record_ended(visit: Visit, provider: str, ended: Sequence[str]) -> None:
    """A line for each session that ended, as whose it was; one line when there was none."""
    told = {"reference": visit.reference, "provider": provider, "ended": len(ended)}
    if not ended:
        visit.context.record("backchannel-logout", **told)
    for sid in ended[:_MOST_LINES]:
        visit.context.record("backchannel-logout", **told, session=sid, identity=await _identity(visit, sid))
    if len(ended) > _MOST_LINES:
        visit.context.record("backchannel-logout", **told, unlisted=len(ended) - _MOST_LINES)


async def _identity(visit: Visit, sid: str) -> Identity | None:
    try:
        record = await visit.context.sessions.store.get(sid)
    except StoreUnavailable:  # it has ended, and that is what must be on record
        return None
    return record.identity if record is not None else None


def _answer(status: int, error: str, description: str) -> web.Response:
    body = msgspec.json.encode({"error": error, "error_description": description})
    return answer(status, JSON_HEADERS, body)
