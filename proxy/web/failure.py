"""A login that came to nothing: what is recorded of it, and how it is told."""

from __future__ import annotations

from typing import Final

from proxy.model.reasons import Reason
from proxy.web.visit import Visit

MAX_DETAIL: Final = 200  # characters of what a provider said


def record_failure(visit: Visit, provider: str, why: str, reason: Reason = Reason.LOGIN_FAILED) -> None:
    """A line for a login that came to nothing. `why` may be the provider's words; it is bounded here."""
    visit.context.record(
        "login-failed",
        reference=visit.reference,
        provider=provider,
        address=visit.address,
        why=why[:MAX_DETAIL],
        reason=reason,
    )


def other_ways(visit: Visit, name: str) -> str:
    """Which provider cannot be reached, and what one may do instead."""
    provider = visit.snapshot.providers.get(name)
    title = (provider.title or provider.name) if provider else name
    if len(visit.snapshot.providers) > 1:
        return f"“{title}” cannot be reached. If you have an account with another provider, try again and choose that."
    return f"“{title}” cannot be reached."


def sentence(text: str) -> str:
    """An error's text as a sentence of bounded length."""
    text = text[:MAX_DETAIL].rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
