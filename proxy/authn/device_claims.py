"""What a provider's claims say about the device, as the provider setting `device` maps them. Pure.

The values are the provider's word: a management system, or a rule of its own, told it. A claim of another type than the
attribute is left out, so that it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.authn.claims import lookup
from proxy.authn.errors import TokenInvalid
from proxy.authn.tokens import moment
from proxy.model.device import ATTRIBUTES, Assurance, Kind, Observation, Value
from proxy.policy.version import version
from proxy.settings.schema import Provider

_MAX_TEXT = 256
_MAX_SET = 64


def device_claims(claims: Mapping[str, Any], provider: Provider, now: float) -> dict[str, Observation]:
    """Device attribute → observation. `now` (seconds since the epoch) is when the claims were told.

    What an ID token tells was true when it was issued: its `iat` counts when it is earlier.
    """
    found: dict[str, Observation] = {}
    observed = _issued(claims, now)
    for attribute, path in provider.device.items():
        value = _typed(ATTRIBUTES.get(attribute), lookup(claims, path))
        if value is not None:
            found[attribute] = Observation(
                value=value,
                source=f"claims:{provider.name}",
                observed=observed,
                expires=now + provider.device_expiry,
                assurance=Assurance.MANAGED,
            )
    return found


def _issued(claims: Mapping[str, Any], now: float) -> float:
    try:
        return min(moment(claims, "iat"), now)
    except TokenInvalid:
        return now


def _typed(kind: Kind | None, value: object) -> Value | None:
    """The value when it is of this kind, else None. `custom.*` is of no kind: any scalar, or texts."""
    if isinstance(value, bool):
        return value if kind in (Kind.BOOLEAN, None) else None
    if isinstance(value, int | float):
        return value if kind in (Kind.NUMBER, Kind.TIME, None) and abs(value) < 1e15 else None
    if isinstance(value, str):
        return _text(kind, value)
    if isinstance(value, list) and kind in (Kind.SET, None) and len(value) <= _MAX_SET and all(map(_is_plain, value)):
        return tuple(value)
    return None


def _text(kind: Kind | None, value: str) -> Value | None:
    if not _is_plain(value) or kind in (Kind.BOOLEAN, Kind.NUMBER, Kind.TIME):
        return None
    if kind is Kind.VERSION:
        return value if version(value) is not None else None
    return (value,) if kind is Kind.SET else value


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()
