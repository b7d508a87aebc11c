"""Checks of the tokens a provider issues to us: ID tokens and logout tokens. Pure: keys and time are parameters.

The order is the order of trust. First the form (one compact JWS, nothing that lets the token choose how it is
verified), then the signature with a key and an algorithm *we* pinned, and only then is any claim read.
Sources: RFC 7515, RFC 7519, RFC 8725 (JWT best practice), OpenID Connect Core §3.1.3, Back-Channel Logout 1.0 §2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jwt
import msgspec

from proxy.authn.errors import TokenInvalid, UnknownKey
from proxy.authn.keys import ASYMMETRIC, KeySet
from proxy.wire.strict_json import parse_object

SKEW = 60.0  # seconds by which the provider's clock and ours may differ, either way
MAX_TOKEN = 64 * 1024  # characters
_MAX_ID_TOKEN_AGE = 3600.0  # an ID token is fetched right after it is made
_MAX_LIFETIME = 366 * 86400.0  # an `exp` beyond this is a mistake or a lie
_MAX_LOGOUT_LIFETIME = 3600.0  # bounds how long a `jti` must be remembered
_LOGOUT_LIFETIME = 120.0  # what the standard recommends, for providers that leave `exp` out
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Each of these would let the token bring its own key, or change what the signature covers.
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "enc", "zip"})
_ID_TOKEN_TYPES = frozenset({"", "jwt", "application/jwt"})
_LOGOUT_TOKEN_TYPES = _ID_TOKEN_TYPES | {"logout+jwt", "application/logout+jwt"}
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class Header(msgspec.Struct, frozen=True):
    """The few header parameters that may steer verification. `typ` is lower-case, "" when absent."""

    alg: str
    kid: str | None
    typ: str


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What an ID token must agree with. None means: not asked.

    `nonce`: the one sent with the request; `renewal` allows it to be absent (OpenID Connect Core §12.2).
    `access_token`: the one issued together, for `at_hash`. `max_age`: seconds, as asked at the provider.
    """

    issuer: str
    client_id: str
    nonce: str
    access_token: str = ""
    max_age: float | None = None
    renewal: bool = False

    def __repr__(self) -> str:
        return f"Expected(issuer={self.issuer!r}, client_id={self.client_id!r})"


class LogoutToken(msgspec.Struct, frozen=True, kw_only=True):
    """A verified back-channel logout. At least one of `sub` and `sid` is not "".

    Remember `jti` until `expires` (seconds since the epoch) and refuse it the second time.
    """

    sub: str
    sid: str
    jti: str
    expires: float


def read_header(token: str, algorithms: Iterable[str], types: frozenset[str] = _ID_TOKEN_TYPES) -> Header:
    """The header of a compact JWS whose form is acceptable; nothing in it is trusted yet. Raises `TokenInvalid`."""
    if len(token) > MAX_TOKEN or not _COMPACT.fullmatch(token):
        raise TokenInvalid("the token is not one compact JWS")
    header = _json_part(token.split(".", 1)[0], "header")
    refused = _REFUSED_HEADERS & header.keys()
    if refused:
        raise TokenInvalid(f"the token header has {', '.join(sorted(refused))}, which is never accepted")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not isinstance(alg, str) or alg not in ASYMMETRIC or alg not in algorithms:
        raise TokenInvalid("the token is signed with an algorithm that is not allowed for this provider")
    if (kid is not None and not isinstance(kid, str)) or not isinstance(typ, str) or header.get("cty"):
        raise TokenInvalid("the token header has parameters of the wrong type")
    if typ.lower() not in types:
        raise TokenInvalid("the token is of another type (typ)")
    return Header(alg, kid, typ.lower())


def read_logout_header(token: str, algorithms: Iterable[str]) -> Header:
    """As `read_header`, for a logout token (typ `logout+jwt`, or none as older providers send)."""
    return read_header(token, algorithms, _LOGOUT_TOKEN_TYPES)


def verify_signature(token: str, header: Header, keys: KeySet) -> dict[str, Any]:
    """The claims of a token signed by one of `keys`. Raises `UnknownKey` when none fits, else `TokenInvalid`."""
    candidates = keys.matching(header.kid, header.alg)
    if not candidates:
        raise UnknownKey("the token names a signing key that the provider does not publish")
    codec = jwt.PyJWS(algorithms=[header.alg])
    for key in candidates:
        try:
            codec.decode(token, key=key.bound_to(header.alg), algorithms=[header.alg])
        except jwt.PyJWTError:
            continue
        return _json_part(token.split(".")[1], "payload")
    raise TokenInvalid("the signature of the token is wrong")


def check_id_token(claims: Mapping[str, Any], header: Header, expected: Expected, *, now: float) -> None:
    """Hold verified claims against what was expected. Raises `TokenInvalid` naming the claim."""
    _check_issuer_and_audience(claims, expected.issuer, expected.client_id)
    _check_times(claims, now)
    subject(claims)
    if _nonce_missing_or_wrong(claims.get("nonce"), expected):
        raise TokenInvalid("nonce is not the one sent with this login")
    if claims.get("token_use", "id") != "id" or claims.get("typ") in ("Bearer", "Refresh", "Offline", "Logout"):
        raise TokenInvalid("this is another kind of token, not an ID token")
    if "events" in claims:
        raise TokenInvalid("a security event token cannot be used as an ID token")
    if "at_hash" in claims and not _hash_matches(claims["at_hash"], expected.access_token, header.alg):
        raise TokenInvalid("at_hash does not belong to the access token issued with it")
    _check_authentication_time(claims, expected.max_age, now)


def check_logout_token(claims: Mapping[str, Any], *, issuer: str, client_id: str, now: float) -> LogoutToken:
    """Back-Channel Logout 1.0 §2.6, save for the replay of `jti`, which needs the store. Raises `TokenInvalid`."""
    _check_issuer_and_audience(claims, issuer, client_id)
    issued = moment(claims, "iat")
    expires = moment(claims, "exp") if "exp" in claims else issued + _LOGOUT_LIFETIME
    if issued > now + SKEW or expires <= now - SKEW:
        raise TokenInvalid("the logout token is expired or from the future (iat, exp)")
    if expires - issued > _MAX_LOGOUT_LIFETIME or expires < issued:
        raise TokenInvalid("the logout token has an absurd lifetime (iat, exp)")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict):
        raise TokenInvalid("the token does not announce a logout (events)")
    if "nonce" in claims:
        raise TokenInvalid("a logout token must not have a nonce")
    jti, sid = claims.get("jti"), claims.get("sid", "")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise TokenInvalid("the logout token has no usable jti")
    if not isinstance(sid, str) or len(sid) > 255:
        raise TokenInvalid("sid must be a short string")
    sub = subject(claims) if "sub" in claims else ""
    if not sub and not sid:
        raise TokenInvalid("the logout token names neither sub nor sid")
    return LogoutToken(sub=sub, sid=sid, jti=jti, expires=expires + SKEW)


def subject(claims: Mapping[str, Any], name: str = "sub") -> str:
    """The subject identifier: 1 to 255 printable ASCII characters (OpenID Connect Core §2). Raises `TokenInvalid`."""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not (value.isascii() and value.isprintable()):
        raise TokenInvalid(f"{name} must be a string of 1 to 255 printable ASCII characters")
    return value


def moment(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 §2) between the years 1970 and 9999. Raises `TokenInvalid`."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenInvalid(f"{name} is missing or not a number")
    if not math.isfinite(value) or not 0 < value < 253_402_300_800:
        raise TokenInvalid(f"{name} is not a plausible time")
    return float(value)


def _json_part(part: str, what: str) -> dict[str, Any]:
    try:
        return parse_object(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        raise TokenInvalid(f"the token {what} cannot be read: {error}") from None


def _check_issuer_and_audience(claims: Mapping[str, Any], issuer: str, client_id: str) -> None:
    if claims.get("iss") != issuer:
        raise TokenInvalid("iss is not the configured issuer")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(item, str) for item in audiences):
        raise TokenInvalid("aud must be a string or a list of strings")
    if client_id not in audiences:
        raise TokenInvalid("aud does not name our client_id")
    if "azp" in claims and claims["azp"] != client_id:
        raise TokenInvalid("azp is another client")
    if len(set(audiences)) > 1 and "azp" not in claims:
        raise TokenInvalid("aud names several clients but azp does not say that this token is for us")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued = moment(claims, "exp"), moment(claims, "iat")
    if expires <= now - SKEW:
        raise TokenInvalid("the token has expired (exp)")
    if expires > now + _MAX_LIFETIME or expires < issued:
        raise TokenInvalid("the token has an absurd lifetime (exp)")
    if issued > now + SKEW:
        raise TokenInvalid("the token was issued in the future (iat): compare the clocks")
    if issued < now - _MAX_ID_TOKEN_AGE - SKEW:
        raise TokenInvalid("the token was issued long ago (iat)")
    if "nbf" in claims and moment(claims, "nbf") > now + SKEW:
        raise TokenInvalid("the token is not valid yet (nbf): compare the clocks")


def _nonce_missing_or_wrong(nonce: object, expected: Expected) -> bool:
    if nonce is None and expected.renewal:
        return False
    if not isinstance(nonce, str) or not expected.nonce:
        return True
    return not hmac.compare_digest(nonce.encode(), expected.nonce.encode())


def _hash_matches(at_hash: object, access_token: str, alg: str) -> bool:
    """OpenID Connect Core §3.1.3.6: left half of the hash that the signature algorithm uses (SHA-512 for Ed25519)."""
    if not isinstance(at_hash, str) or not access_token or not access_token.isascii():
        return False
    digest = _HASHES.get(alg[-3:], hashlib.sha512)(access_token.encode()).digest()
    left = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    return hmac.compare_digest(left, at_hash.encode())


def _check_authentication_time(claims: Mapping[str, Any], max_age: float | None, now: float) -> None:
    if "auth_time" not in claims and max_age is None:
        return
    authenticated = moment(claims, "auth_time")
    if authenticated > now + SKEW:
        raise TokenInvalid("auth_time is in the future: compare the clocks")
    if max_age is not None and authenticated < now - max_age - SKEW:
        raise TokenInvalid("the login is older than was asked for (auth_time)")
