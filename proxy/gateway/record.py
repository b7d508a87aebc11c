"""One line in the record and a few counters for each request, whatever became of it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from proxy.audit.event import Event, encode_facts, encode_identity
from proxy.audit.template import Template
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


def require_recordable(exchange: HttpExchange) -> None:
    """Raises ValueError when what is known of who asks cannot be written down: such a request must go nowhere."""
    if exchange.identity is not None:
        _encoded_identity(exchange, exchange.identity)


def record_stream(exchange: HttpExchange) -> None:
    """Record that a stream (a WebSocket, another upgrade) has ended; its decision has a line of its own already."""
    house = exchange.house
    event = _event(exchange, exchange.status)
    event.type = "stream"
    house.journal.record(event)
    seconds = monotonic() - exchange.started
    house.metrics.observe(event.route, str(event.outcome), exchange.status, seconds, exchange.bytes_out)


def record_decision(exchange: HttpExchange, status: int) -> None:
    """Record a decision whose stream goes on; what it comes to is recorded by `record_stream`."""
    exchange.house.journal.record(_event(exchange, status))
    exchange.house.metrics.decided(str(exchange.verdict.reason))


def record_exchange(exchange: HttpExchange, status: int) -> None:
    """Record a finished exchange."""
    house, verdict, plan = exchange.house, exchange.verdict, exchange.route_plan
    now, target = exchange.now, exchange.target
    line = exchange.notes.line
    if (
        line is not None
        and target is not None
        and line[0] is verdict
        and line[1] is plan
        and line[2] is exchange.identity
        and line[3] == exchange.head.method
        and line[4] == exchange.host
        and line[5] is exchange.snapshot
        and exchange.cut_reason is None
        and not exchange.note
    ):
        body = line[6].line(
            now,
            exchange.reference,
            target.path,
            status,
            exchange.bytes_in,
            exchange.bytes_out,
            exchange.decide_us,
            exchange.upstream_ms,
        )
        house.journal.record_encoded(now, body)
        name, outcome, reason = line[7]
    else:
        event = _event(exchange, status)
        house.journal.record(event)
        name, outcome, reason = event.route, str(event.outcome), str(event.reason)
        _remember(exchange, event, (name, outcome, reason))
    house.metrics.observe(name, outcome, status, monotonic() - exchange.started, exchange.bytes_out)
    house.metrics.decided(reason)


def _remember(exchange: HttpExchange, event: Event, labels: tuple[str, str, str]) -> None:
    """Keep the parts of an allowed request's line that the next one on this connection is likely to share."""
    facts, identity = exchange.facts, exchange.identity
    if event.outcome is not Outcome.ALLOW or event.note or exchange.cut_reason is not None:
        return
    if facts is None or exchange.notes.chain:  # what is known of a certificate may change between two requests
        return
    raw = _encoded_identity(exchange, identity) if identity is not None else None
    key = (exchange.verdict, exchange.route_plan, identity, exchange.head.method, exchange.host, exchange.snapshot)
    exchange.notes.line = (*key, Template(event, facts, raw), labels)


def _event(exchange: HttpExchange, status: int) -> Event:
    verdict, plan, identity = exchange.verdict, exchange.route_plan, exchange.identity
    event = Event(
        time=exchange.now,
        outcome=verdict.outcome,
        reason=exchange.cut_reason or verdict.reason,
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
    if plan is not None:
        event.route = plan.name
    if exchange.target is not None:
        event.path = exchange.target.path
    if exchange.facts is not None:
        raw = None
        if identity is not None:
            try:
                raw = _encoded_identity(exchange, identity)
            except (
                ValueError
            ):  # refused for it already, see require_recordable; the refusal is on record without claims
                raw = encode_identity(replace(identity, claims={}))
            event.kind = identity.kind
            event.identity = identity.email or identity.subject
            event.session = identity.session
        event.facts = encode_facts(exchange.facts, raw)
    if exchange.certificate is not None:
        event.device = exchange.certificate.sha256
    return event


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
    house.metrics.observe("", str(Outcome.DENY), status, 0.0, bytes_out)
    house.metrics.decided(str(reason))
