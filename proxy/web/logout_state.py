"""Which provider a person comes back from after a logout there: sealed, so that our last page can say so."""

from __future__ import annotations

from typing import Final

from proxy.sessions.seal import SealBroken
from proxy.web.visit import Visit

_STATE: Final = "logout-state"
_STATE_AGE: Final = 3600.0  # seconds a provider's logout page may take


def seal_state(visit: Visit, provider: str) -> str:
    """The `state` parameter of our last page."""
    return visit.context.sealer.seal(_STATE, provider.encode(), now=visit.now)


def provider_title(visit: Visit) -> str:
    """The provider that logged this person out too, as its sealed state says; "" when it does not."""
    try:
        sealed = visit.context.sealer.unseal(_STATE, visit.asked("state"), now=visit.now, max_age=_STATE_AGE)
    except SealBroken:
        return ""
    provider = visit.snapshot.providers.get(sealed.decode())
    return (provider.title or provider.name) if provider else ""
