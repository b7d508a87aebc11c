"""What a webhook says. Pure.

    {"devices": [{"match": {"serial": "C02XL0"}, "attributes": {"managed": true, "os_version": "14.2"}, "observed": 1}]}

`match` names the device (`id`, `serial`, `cert_sha256`, or `email` and `name`), `observed` is optional: when the system
last heard from it, seconds since the epoch. Without it that is when the message was signed: one that is delivered late
is no news.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from proxy.devices.management.signature import FUTURE, WebhookRefused
from proxy.devices.management.words import Told
from proxy.model.device import Value
from proxy.wire.strict_json import parse_object

_MOST = 500  # devices in one body
_Text = Annotated[str, Meta(min_length=1, max_length=255)]


class _Match(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    id: _Text | None = None
    serial: _Text | None = None
    cert_sha256: _Text | None = None
    email: _Text | None = None
    name: _Text | None = None


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    match: _Match
    attributes: dict[str, bool | int | float | str | list[str]]
    observed: float | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    devices: Annotated[list[_Entry], Meta(max_length=_MOST)]


def read(body: bytes, *, sent: float, now: float) -> list[Told]:
    """The devices a body tells of that was signed at `sent`. Raises WebhookRefused saying where it is wrong."""
    try:
        told = msgspec.convert(parse_object(body), _Body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise WebhookRefused(f"the body is not as it should be: {error}") from None
    return [_told(entry, number, sent, now) for number, entry in enumerate(told.devices)]


def _told(entry: _Entry, number: int, sent: float, now: float) -> Told:
    matches: dict[str, Any] = {name: value for name, value in msgspec.structs.asdict(entry.match).items() if value}
    if not matches.keys() - {"email", "name"} and len(matches) < 2:
        raise WebhookRefused(f"devices[{number}].match names no device: id, serial, cert_sha256, or email and name")
    values: dict[str, Value] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.attributes.items()
    }
    observed = sent if entry.observed is None else entry.observed
    if not 0 < observed <= now + FUTURE:
        raise WebhookRefused(f"devices[{number}].observed is no time of the past, in seconds since the epoch")
    return Told(matches, values, min(observed, now))
