"""What our own pages report, as lines of the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.audit.event import Event
from proxy.audit.journal import Journal
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome

_EVENTS: dict[str, tuple[str, Outcome, Reason]] = {
    "login": ("login", Outcome.ALLOW, Reason.OWN_PAGE),
    "step-up": ("login", Outcome.ALLOW, Reason.OWN_PAGE),
    "login-failed": ("login", Outcome.DENY, Reason.LOGIN_FAILED),
    "logout": ("logout", Outcome.ALLOW, Reason.OWN_PAGE),
    "factor-added": ("factor", Outcome.ALLOW, Reason.OWN_PAGE),
    "factor-removed": ("factor", Outcome.ALLOW, Reason.OWN_PAGE),
    "factor-used": ("factor", Outcome.ALLOW, Reason.OWN_PAGE),
    "factor-failed": ("factor", Outcome.DENY, Reason.SECOND_FACTOR_FAILED),
    "device-enrolled": ("device", Outcome.ALLOW, Reason.OWN_PAGE),
    "device-attested": ("device", Outcome.ALLOW, Reason.OWN_PAGE),
    "device-proved": ("device", Outcome.ALLOW, Reason.OWN_PAGE),
    "device-refused": ("device", Outcome.DENY, Reason.DEVICE_REFUSED),
    "device-revoked": ("device", Outcome.ALLOW, Reason.OWN_PAGE),
    "backchannel-logout": ("revocation", Outcome.ALLOW, Reason.SESSION_REVOKED),
}


def record_event(journal: Journal, clock: Callable[[], float], event: str, **fields: Any) -> None:
    """Record a login, a failed login, a logout or a revocation by the provider."""
    kind, outcome, usual = _EVENTS[event]
    reason = fields.get("reason", usual)
    identity = fields.get("identity")
    line = Event(
        time=clock(),
        type=kind,  # type: ignore[arg-type]  # the table holds only the literals
        outcome=outcome,
        reason=reason if isinstance(reason, Reason) else usual,
        reference=str(fields.get("reference", "")),
        session=str(fields.get("session", "")),
        device=str(fields.get("device", "")),
        address=str(fields.get("address") or ""),
        note=_note(fields),
    )
    if isinstance(identity, Identity):
        line.kind = identity.kind
        line.identity = identity.email or identity.subject
    journal.record(line)


def _note(fields: dict[str, Any]) -> str:
    names = ("provider", "owner", "issuer", "why", "ended", "unlisted")
    said = {name: fields[name] for name in names if fields.get(name) not in (None, "")}
    return ", ".join(f"{name}: {value}" for name, value in said.items())
