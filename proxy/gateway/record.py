"""One line in the record and a few counters for each request, whatever became of it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from proxy.audit.event import Event, encode_device, encode_facts, encode_identity
from proxy.audit.template import Template
from proxy.model.device import Device
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome

if TYPE_CHECKING:
    from proxy.gateway.door import House
    from proxy.gateway.http import HttpExchange

_IDENTITY = "recorded identity"
_DEVICE = "recorded device"


def _encoded_identity(exchange: HttpExchange, identity: Identity) -> msgspec.Raw:
    """The identity as it is recorded, encoded once per session or connection."""
    scratch = exchange.session.scratch if exchange.session is not None else exchange.notes.identity_blocks
    known = scratch.get(_IDENTITY)
    if known is None or known[0] is not identity:
        known = scratch[_IDENTITY] = (identity, encode_identity(identity))
    raw: msgspec.Raw = known[1]
    return raw


def _encoded_device(exchange: HttpExchange, device: Device) -> msgspec.Raw:
    """The same for the device."""
    scratch = exchange.session.scratch if exchange.session is not None else exchange.notes.identity_blocks
    known = scratch.get(_DEVICE)
    if known is None or known[0] is not device:
        known = scratch[_DEVICE] = (device, encode_device(device))
    raw: msgspec.Raw = known[1]
    return raw


def require_recordable(exchange: HttpExchange) -> None:
    """Raises ValueError when what is known of who asks cannot be written down: such a request must go nowhere."""
    if exchange.identity is not None:
        _encoded_identity(exchange, exchange.identity)
    if exchange.device is not None:
        _encoded_device(exchange, exchange.device)


def record_stream(exchange: HttpExchange) -> None:
    """Record that something has ended whose decision has a line of its own already: a WebSocket, another upgrade, and
    whatever was decided again and refused while it was open (then this line holds that second decision)."""
    house = exchange.house
    event = _event(exchange, exchange.status)
    event.type = "stream"
    house.journal.record(event)
    seconds = monotonic() - exchange.started
    house.metrics.observe(event.route, str(event.outcome), exchange.status, seconds, exchange.bytes_out)


def record_decision(exchange: HttpExchange, status: int) -> None:
    """Record a decision whose stream goes on; what it comes to is recorded by `record_stream`."""
    exchange.on_record = True
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
        and line[8] is exchange.device
        and line[9] is exchange.certificate
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
    if facts is None or exchange.on_record or exchange.notes.problem is not None:
        return
    raw = _encoded_identity(exchange, identity) if identity is not None else None
    device = None if facts.device is None else _encoded_device(exchange, facts.device)
    key = (exchange.verdict, exchange.route_plan, identity, exchange.head.method, exchange.host, exchange.snapshot)
    template = Template(event, facts, raw, device)
    exchange.notes.line = (*key, template, labels, exchange.device, exchange.certificate)


def _event(exchange: HttpExchange, status: int) -> Event:
    verdict, plan = exchange.verdict, exchange.route_plan
    identity = exchange.identity if exchange.facts is None else exchange.facts.identity  # as it was decided on
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
        since=exchange.since,
        session=exchange.withheld,
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
        event.facts = encode_facts(exchange.facts, raw, _device_of(exchange, exchange.facts))
        event.time = exchange.facts.time  # later than the request's when it was decided again
    if exchange.device is not None and exchange.device.id:
        event.device = exchange.device.id
    elif exchange.certificate is not None:
        event.device = exchange.certificate.sha256
    return event


def _device_of(exchange: HttpExchange, facts: Facts) -> msgspec.Raw | None:
    if facts.device is None:
        return None
    try:
        return _encoded_device(exchange, facts.device)
    except ValueError:  # as for the identity
        return encode_device(Device(binding=facts.device.binding))


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
