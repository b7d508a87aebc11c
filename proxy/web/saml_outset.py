"""The way out to a SAML provider: an AuthnRequest, by redirect or by a form that posts itself."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from proxy.authn.errors import ProviderUnavailable
from proxy.web.attempts import State
from proxy.web.visit import Visit

Leave = Callable[[Visit, str, str, list[str]], web.Response]


async def begin(visit: Visit, state: State, leave: Leave) -> web.Response:
    """Send the browser to the provider of `state`. Raises ProviderUnavailable."""
    del visit, leave
    raise ProviderUnavailable(f"provider {state.provider} is not ready")
