"""The form and signature of a bearer token; what it says is read only after that. Pure. RFC 7515 §7.1, RFC 8725."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from proxy.authn.errors import TokenInvalid
from proxy.authn.tokens import MAX_TOKEN, SKEW, Header, moment, read_header
from proxy.wire.strict_json import parse_object


class Lifetime(NamedTuple):
    """From when to when a token counts, seconds since the epoch, without the skew that is granted."""

    begins: float
    ends: float


def read_token(token: bytes, algorithms: Iterable[str], types: frozenset[str]) -> tuple[str, Header]:
    """The token as text, and its header. Each part must be spelled in the one canonical way of base64url, so that a
    token has one digest only. Raises `TokenInvalid`."""
    if len(token) > MAX_TOKEN or not token.isascii():
        raise TokenInvalid("the token is not one compact JWS")
    text = token.decode("ascii")
    header = read_header(text, algorithms, types)
    if not all(_canonical(part) for part in token.split(b".")):
        raise TokenInvalid("the token has a part in non-canonical base64url")
    return text, header


def _canonical(part: bytes) -> bool:
    try:
        data = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (ValueError, binascii.Error):
        return False
    return base64.urlsafe_b64encode(data).rstrip(b"=") == part


def end_of(token: bytes) -> float:
    """When a token that was verified expires, seconds since the epoch, without skew. Raises `TokenInvalid`."""
    payload = b"".join(token.split(b".")[1:2])
    try:
        return moment(parse_object(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))), "exp")
    except (ValueError, binascii.Error) as error:
        raise TokenInvalid(f"the token payload cannot be read: {error}") from None


def check_audience(claims: Mapping[str, Any], accepted: Iterable[str]) -> None:
    """`aud`, a text or a list of texts (RFC 7519 §4.1.3), names one of ours exactly. Raises `TokenInvalid`."""
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(item, str) for item in audiences):
        raise TokenInvalid("aud must be a string or a list of strings")
    if set(accepted).isdisjoint(audiences):
        raise TokenInvalid("aud names another service: ask the issuer for a token with the audience configured here")


def check_times(claims: Mapping[str, Any], now: float, longest: float) -> Lifetime:
    """exp, and iat and nbf where present, with SKEW either way. `longest`: seconds a token may be valid for.

    Raises `TokenInvalid`.
    """
    expires = moment(claims, "exp")
    starts = [moment(claims, name) for name in ("iat", "nbf") if name in claims]
    if expires <= now - SKEW:
        raise TokenInvalid("the token has expired (exp)")
    if any(start > now + SKEW for start in starts):
        raise TokenInvalid("the token is not valid yet (iat, nbf): compare the clocks")
    begins = min(starts, default=now)
    if expires <= max(starts, default=now - SKEW):
        raise TokenInvalid("the token ends before it begins (exp)")
    if expires - begins > longest:
        raise TokenInvalid("the token is valid for longer than is accepted here (exp, longest)")
    return Lifetime(begins, expires)
