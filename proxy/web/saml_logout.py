"""SAML single logout: the provider ends sessions here (by a browser, or directly), and we ask it to end those there."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from proxy.authn.errors import AuthnError, LoginRefused, ProviderUnavailable
from proxy.authn.saml import LogoutRequest, Outgoing, SamlProvider
from proxy.model.reasons import Reason
from proxy.web.backchannel import record_ended
from proxy.web.endpoints import LOGGED_OUT
from proxy.web.form import read_foreign_form
from proxy.web.logout_state import seal_state
from proxy.web.saml_messages import MAX_FORM, Kept, carried, provider_of
from proxy.web.visit import Refused, Visit, see_other

_TITLE: Final = "You are logged out here"


async def receive(visit: Visit) -> web.Response:
    """GET or POST `/.ostiary/saml/{provider}/slo` on the login host: a LogoutRequest, or the answer to ours.

    No cookie is looked at: what counts is the provider's signature. That makes a form which the provider posts by
    itself, without a browser, as good as one that a browser brings.
    """
    provider = provider_of(visit)
    form = await read_foreign_form(visit, MAX_FORM) if visit.request.method == "POST" else None
    # Of a GET only the names are looked at here: what the values are is read from what the signature covers.
    present = set(form if form is not None else visit.request.query)
    query = "" if form is not None else visit.request.rel_url.raw_query_string
    try:
        if "SAMLResponse" in present:
            return await _answered(visit, provider, query, form)
        return await _requested(visit, provider, query, form)
    except ProviderUnavailable as error:
        visit.context.log.warning("provider %s: logout not finished: %s", provider.name, error)
        raise Refused(Reason.PROVIDER_UNAVAILABLE) from error
    except LoginRefused as error:
        visit.context.log.warning("provider %s: logout message refused: %s", provider.name, error)
        raise Refused(Reason.BAD_REQUEST, "This logout message is not acceptable.") from error


async def _requested(visit: Visit, provider: SamlProvider, query: str, form: Mapping[str, str] | None) -> web.Response:
    """The provider ends sessions: they are over, in every worker, before it has our answer."""
    request = await provider.accept_logout(query=query, form=form, now=visit.now)
    sessions = visit.context.sessions
    if not await sessions.store.consume(request.key, request.expires):
        raise Refused(Reason.BAD_REQUEST, "This logout message was used before.")
    ended: list[str] = []
    for subject, provider_sid in request.sessions:
        ended += await sessions.end_at_provider(provider.name, subject, provider_sid)
    await record_ended(visit, provider.name, ended)
    return await _confirmed(visit, provider, request)


async def _confirmed(visit: Visit, provider: SamlProvider, request: LogoutRequest) -> web.Response:
    done = visit.origins.login + LOGGED_OUT
    try:
        outgoing = await provider.logout_response(request.id, relay_state=request.relay_state)
    except AuthnError as error:  # the sessions have ended, whether or not the provider hears of it
        visit.context.log.warning("provider %s: its logout cannot be answered: %s", provider.name, error)
        outgoing = None
    return see_other(done) if outgoing is None else carried(visit, outgoing, title=_TITLE)


async def _answered(visit: Visit, provider: SamlProvider, query: str, form: Mapping[str, str] | None) -> web.Response:
    """The provider's answer to our LogoutRequest, whose id is in the RelayState: what it says is shown, no more."""
    relay_state = form.get("RelayState", "") if form is not None else visit.asked("RelayState")
    everything = await provider.accept_logout_response(
        query=query, form=form, request_id=_request_id(relay_state), now=visit.now
    )
    done = visit.origins.login + LOGGED_OUT
    return see_other(f"{done}?state={seal_state(visit, provider.name)}" if everything else done)


async def leaving(visit: Visit, provider: SamlProvider, kept: str, cookies: tuple[str, ...]) -> web.Response | None:
    """Send the browser to the provider to log out there too; None when that cannot be. `kept` is JSON of `Kept`."""
    try:
        known = msgspec.json.decode(kept, type=Kept)
    except msgspec.MsgspecError:
        return None
    relay_state = secrets.token_hex(16)
    outgoing: Outgoing | None = await provider.logout_request(
        known.name_id, known.session_index, request_id=_request_id(relay_state), relay_state=relay_state
    )
    return None if outgoing is None else carried(visit, outgoing, cookies, title=_TITLE)


def _request_id(relay_state: str) -> str:
    return f"_{relay_state}"
