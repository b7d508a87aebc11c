"""One decision as one line of JSON, and the way back from the line to the facts. Pure.

A line looks like this (one line in the file)::

    {"time":"2026-03-01T12:00:00.123456Z","run":"5f0c9a1e","seq":42,"unix":1772366400.1234567,
     "outcome":"allow","reason":"rule-allows","reference":"…","session":"…","kind":"person","identity":"a@example.com",
     "address":"10.0.0.7","route":"grafana","rule":"sre-reads","method":"GET","host":"grafana.example.com",
     "path":"/api","status":200,"bytes_out":8192,"decide_us":3.1,"upstream_ms":4.2,"revision":"9f2c","facts":{…}}

`time` is RFC 3339 in UTC with microseconds; `run` and `seq` number the lines of one worker process without a gap, so
that a missing line is visible; `unix` is the same instant as the clock gave it; `facts` is the complete input of
`policy.decide`, absent when the request was refused before there was anything to decide. Members with their default
value are left out. Lines about the record itself have a `type` other than `request` (see `Notice`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from proxy.model.device import Device
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome

NO_FACTS = msgspec.Raw()


class FactsMissing(ValueError):
    """The record holds no facts: the request was refused before policy was asked, or the line is not a decision."""


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"time": "unix"}):
    """What one request, login or revocation came to. Texts may hold anything a client sent: JSON escapes it.

    Never put a query string, a cookie, a token or any other secret in here.
    """

    time: float  # seconds since the epoch, when it was decided
    outcome: Outcome
    reason: Reason
    type: Literal["request", "stream", "login", "logout", "refresh", "revocation", "factor", "device"] = "request"
    reference: str = ""  # the request's reference, as shown on refusals
    session: str = ""  # public session id
    kind: str = ""  # person, service; "" is nobody
    identity: str = ""  # e-mail address, else subject
    device: str = ""  # its id in the inventory, else the SHA-256 of the client certificate
    address: str = ""  # client IP address
    route: str = ""
    rule: str = ""
    method: str = ""
    host: str = ""
    path: str = ""  # canonical, without query
    status: int = 0  # sent to the client; 0 when none was
    bytes_in: int = 0  # body bytes from the client
    bytes_out: int = 0  # body bytes to the client
    decide_us: float = 0.0  # microseconds in `policy.decide`
    upstream_ms: float = 0.0  # milliseconds from sending the request upstream to its response head
    revision: str = ""  # of the configuration
    since: float = 0.0  # of a stream that was ended: when what ended it came about, seconds since the epoch
    note: str = ""  # what went wrong, in words, when the reason alone does not say it
    facts: msgspec.Raw = NO_FACTS  # from `encode_facts`


class Notice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line about the record itself.

    `start` and `stop` frame a worker's run; `stop` carries the counts. `unclosed` says that an earlier run ended
    without `stop`. `lost` says how many lines never reached the file. `torn` follows a line that broke off.
    """

    type: Literal["start", "stop", "unclosed", "lost", "torn"]
    worker: int = 0
    pid: int = 0
    of: str = ""  # the run an `unclosed` notice is about
    started: str = ""  # when that run began, RFC 3339
    recorded: int = 0  # decisions handed to the record in this run
    lost: int = 0  # lines of this run that were dropped
    note: str = ""


_encoder = msgspec.json.Encoder()
_replace = msgspec.structs.replace


def encode_identity(identity: Identity) -> msgspec.Raw:
    """The identity as JSON, to be cached with the session and given to `encode_facts`.

    Raises ValueError when a claim cannot be written as JSON (a lone surrogate, an object of another type): nobody
    whose decisions cannot be recorded is let in.
    """
    try:
        return msgspec.Raw(_encoder.encode(identity))
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError) as error:
        raise ValueError(f"the identity of {identity.subject!r} cannot be recorded: {error}") from error


def encode_device(device: Device) -> msgspec.Raw:
    """The device as JSON, to be cached as long as nothing about it changes, and given to `encode_facts`.

    Raises ValueError as `encode_identity` does: what a provider said of a device may be any text.
    """
    try:
        return msgspec.Raw(_encoder.encode(device))
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError) as error:
        raise ValueError(f"the device {device.id!r} cannot be recorded: {error}") from error


def encode_facts(facts: Facts, identity: msgspec.Raw | None = None, device: msgspec.Raw | None = None) -> msgspec.Raw:
    """The facts as JSON for `Event.facts`. `identity` and `device`, when given, must be what `encode_identity` and
    `encode_device` make of those in the facts."""
    # The encoder goes by the value, not by the annotation: what is encoded already is copied as it is.
    if identity is not None:
        facts = _replace(facts, identity=identity)
    if device is not None:
        facts = _replace(facts, device=device)
    return msgspec.Raw(_encoder.encode(facts))


def encode_body(event: Event | Notice) -> bytes:
    """The members of the line as a JSON object, without `time`, `run` and `seq`; never fails for a text in it."""
    try:
        return _encoder.encode(event)
    except UnicodeEncodeError:
        # Bytes of a refused request may have come this far as lone surrogates; the record shows them as \\udcXX.
        texts = {name: _printable(value) for name, value in _fields(event) if isinstance(value, str)}
        return _encoder.encode(_replace(event, **texts))


def _fields(event: Event | Notice) -> list[tuple[str, Any]]:
    return [(name, getattr(event, name)) for name in event.__struct_fields__]


def _printable(text: str) -> str:
    # `type(text)` differs for the enumerations, which are left alone: their values are ours.
    return text.encode("utf-8", "backslashreplace").decode() if type(text) is str else text


def rfc3339(time: float) -> str:
    """Seconds since the epoch as RFC 3339 (§5.6) in UTC with six digits of microseconds, cut rather than rounded."""
    second = int(time // 1)
    return f"{rfc3339_second(second)}.{int((time - second) * 1e6):06d}Z"


def rfc3339_second(second: int) -> str:
    """The part of `rfc3339` before the fraction, as in `2026-03-01T12:00:00`."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class _WithFacts(msgspec.Struct):
    facts: Facts | None = None


_event_decoder = msgspec.json.Decoder(Event)
_facts_decoder = msgspec.json.Decoder(_WithFacts)


def event_of(line: bytes) -> Event:
    """The event in a line of the record. Raises msgspec.ValidationError when the line is a notice or damaged."""
    return _event_decoder.decode(line)


def facts_of(line: bytes) -> Facts:
    """The complete facts of a recorded decision: `decide(policy, facts_of(line))` decides it again.

    Raises FactsMissing when there are none, msgspec.DecodeError or ValidationError when the line is damaged.
    """
    facts = _facts_decoder.decode(line).facts
    if facts is None:
        raise FactsMissing("this record holds no facts: the request was refused before policy was asked")
    return facts
