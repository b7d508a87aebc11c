"""One line in the record and a few counters for each request, whatever became of it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from proxy.audit.event import Event, encode_facts, encode_identity
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome

if TYPE_CHECKING:
    from proxy.gateway.door import House
    from proxy.gateway.http import HttpExchange

_IDENTITY = "recorded identity"


def _encoded_identity(exchange: HttpExchange, identity: Identity) -> msgspec.Raw:
    """The identity as it is recorded, encoded once per session or connection."""
    scratch = exchange.session.scratch if exchange.session is not None else exchange.notes.identity_blocks
    known = scratch.get(_IDENTITY)
    if known is None:
        known = scratch[_IDENTITY] = encode_identity(identity)
    raw: msgspec.Raw = known
    return raw


def record_exchange(exchange: HttpExchange, status: int) -> None:
    """Record a finished exchange."""
    house = exchange.house
    verdict = exchange.verdict
    reason = exchange.cut_reason or verdict.reason
    plan = exchange.route_plan
    seconds = monotonic() - exchange.started
    event = Event(
        time=exchange.now,
        outcome=verdict.outcome,
        reason=reason,
        reference=exchange.reference,
        address=exchange.notes.address,
        method=exchange.head.method,
        host=exchange.host,
        status=status,
        bytes_in=exchange.bytes_in,
        bytes_out=exchange.bytes_out,
        decide_us=exchange.decide_us,
        upstream_ms=exchange.upstream_ms,
        revision=exchange.snapshot.revision,
        rule=verdict.rule,
        note=exchange.note,
    )
    name = ""
    if plan is not None:
        name = event.route = plan.name
    if exchange.target is not None:
        event.path = exchange.target.path
    identity = exchange.identity
    if exchange.facts is not None:
        raw = None
        if identity is not None:
            raw = _encoded_identity(exchange, identity)
            event.kind = identity.kind
            event.identity = identity.email or identity.subject
            event.session = identity.session
        event.facts = encode_facts(exchange.facts, raw)
    if exchange.certificate is not None:
        event.device = exchange.certificate.sha256
    house.journal.record(event)
    house.metrics.observe(name, verdict.outcome.value, status, seconds, exchange.bytes_out)
    house.metrics.decided(reason.value)


def record_malformed(
    house: House, address: str, reason: Reason, why: str, reference: str, status: int, bytes_out: int
) -> None:
    """Record bytes that did not make a request."""
    house.journal.record(
        Event(
            time=house.clock(),
            outcome=Outcome.DENY,
            reason=reason,
            reference=reference,
            address=address,
            status=status,
            bytes_out=bytes_out,
            revision=house.snapshot.revision,
            note=why,
        )
    )
    house.metrics.observe("", Outcome.DENY.value, status, 0.0, bytes_out)
    house.metrics.decided(reason.value)
