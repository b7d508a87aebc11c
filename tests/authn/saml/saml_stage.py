"""Us, a clock, and the steps that many stories share."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree
from saml_idp import ACS, ENTITY, NOW, OUR_SLO, REQUEST, posted

from proxy.authn.saml import Entity, SamlLogin, SamlProvider

US = Entity(entity_id=ENTITY, acs_url=ACS, slo_url=OUR_SLO)
Make = Callable[..., SamlProvider]


class Clock:
    """Time stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


async def login(
    provider: SamlProvider, response: etree._Element | bytes, request_id: str | None = REQUEST, now: float = NOW
) -> SamlLogin:
    """Post a response to us."""
    return await provider.accept(posted(response), request_id=request_id, now=now)
