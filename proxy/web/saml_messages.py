"""What a browser carries between us and a SAML provider, and what of a login is kept for the logout."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from aiohttp import web

from proxy.authn.errors import ProviderUnavailable
from proxy.authn.saml import NameId, Outgoing, SamlProvider
from proxy.model.reasons import Reason
from proxy.web.pages import posting_to
from proxy.web.visit import Refused, Visit, see_other

MAX_FORM: Final = 448 * 1024  # bytes; a message of 256 KiB, in base64, escaped
_ORIGIN: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?")


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the session keeps, sealed, so that the provider knows whom we mean when we ask it for a logout."""

    name_id: NameId
    session_index: str = ""


def provider_of(visit: Visit) -> SamlProvider:
    """The provider that the address names, on the login host. Raises `Refused`."""
    provider = visit.context.saml().get(visit.request.match_info["provider"])
    if provider is None or not visit.on_login_host:
        raise Refused(Reason.NO_ROUTE)
    return provider


def posting(
    visit: Visit, outgoing: Outgoing, cookies: Iterable[str] = (), *, title: str, step: str = "", attempt: str = ""
) -> web.Response:
    """A page whose form takes the message to the provider: by itself, or by its button where no script runs."""
    found = _ORIGIN.match(outgoing.url)
    if found is None:
        raise ProviderUnavailable(f"its metadata names an address that no form can go to: {outgoing.url[:100]!r}")
    response = visit.page(
        "post",
        cookies,
        title=title,
        text="If nothing happens, continue by hand.",
        action=outgoing.url,
        fields=list(outgoing.fields.items()),
        step=step,
        attempt=attempt,
    )
    name, policy = posting_to(found[0])
    response.headers[name.decode()] = policy.decode()
    return response


def carried(visit: Visit, outgoing: Outgoing, cookies: Iterable[str] = (), *, title: str) -> web.Response:
    """The answer that makes the browser carry a message to the provider. Raises ProviderUnavailable."""
    if outgoing.kind == "post":
        return posting(visit, outgoing, cookies, title=title)
    return see_other(location(outgoing), cookies)


def location(outgoing: Outgoing) -> str:
    """The address of a redirect. Raises ProviderUnavailable: RFC 3986 knows ASCII only."""
    if not outgoing.url.isascii():
        raise ProviderUnavailable(f"its metadata names an address that is not ASCII: {outgoing.url[:100]!r}")
    return outgoing.url
