"""Telling an app who is calling: the signed assertion, the key set it is verified with, and the plain headers. Pure.

The assertion is a JSON Web Token (RFC 7519) signed with ES256, `typ: ostiary+jwt`, with `kid` the RFC 7638 thumbprint
of the key. Claims: `iss` the login URL, `aud` the origin of the app's route, `sub`, `kind` (`person` or `service`),
`iat`, `nbf`, `exp`, `jti`, and when known `provider`, `email`, `groups`, `sid`, `amr`, `acr`, `auth_time`, `device`.
`amr` and `auth_time` count our own second factor: its methods are listed, and the later of the two times is told.
`device` is what the request comes from: `id` in the inventory (absent when only the identity provider knows it),
`binding` (`certificate`, `agent` or `provider`: how the request is tied to it), and `managed` and `compliant` while
known; a value that has expired is left out. It is small whatever else is known of a device.
`sub` is unique within its `provider` only (two identity providers may both know a `42`), and what a provider chose
must never pass for a service: an app that stores people keys them by `provider` and `sub`.

The bytes may be used again for `CACHE_SECONDS`; an assertion is then still valid for at least `MARGIN` seconds.

Changing the key without an app noticing, each step a reload:
1. Make the new key and publish it without signing: `previous: [new.key]`.
2. Wait until every app has fetched the set again (`JWKS_MAX_AGE`, unless an app caches longer on its own).
3. Sign with it and keep publishing the old one: `key: new.key`, `previous: [old.key]`.
4. After the assertion's lifetime and another `JWKS_MAX_AGE`, remove the old one.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from proxy.model.device import Device
from proxy.model.identity import Identity

CACHE_SECONDS = 60  # how long a caller may use the same assertion again
MARGIN = 60  # seconds of validity left at the end of that time, for slow requests and clocks that differ
MAX_LIFETIME = 300  # seconds; the contract with the apps
JWKS_MAX_AGE = 300  # seconds for Cache-Control of the published set

_TYPE = "ostiary+jwt"
_SKEW = 60  # seconds by which the clock of who observed something may be ahead of ours
_LONGEST_ID = 256  # characters of a device's id that an assertion carries; the inventory's own are far shorter
_MAKE_KEY = "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out assertion.key"


class SigningError(ValueError):
    """A key, a lifetime or an identity cannot be used for assertions; the text says what to change."""


class _Key(NamedTuple):
    kid: str
    jwk: dict[str, str]
    private: EllipticCurvePrivateKey | None


class Signer:
    """Signs assertions with the first of `keys`, publishes all of them.

    `keys`: PEM texts, EC P-256; all but the first may be public keys. `issuer`: the login URL. `lifetime`: seconds.
    Raises SigningError when a key or the lifetime cannot be used.
    """

    def __init__(self, keys: Sequence[bytes], issuer: str, lifetime: float = MAX_LIFETIME) -> None:
        if not keys:
            raise SigningError(f"assertion.key: there is no key to sign with; {_MAKE_KEY}")
        if not CACHE_SECONDS + MARGIN <= lifetime <= MAX_LIFETIME:
            raise SigningError(
                f"assertion.lifetime: {lifetime:g}s is outside {CACHE_SECONDS + MARGIN}s to {MAX_LIFETIME}s "
                "(an assertion is used again for a minute and must outlive it; apps are promised five minutes at most)"
            )
        self._keys = [_load(pem, _place(index)) for index, pem in enumerate(keys)]
        first = self._keys[0].private
        if first is None:
            raise SigningError(f"assertion.key: this is a public key, signing takes the private one; {_MAKE_KEY}")
        self._private = first
        self._headers = {"kid": self._keys[0].kid, "typ": _TYPE}
        self._issuer = issuer
        self._lifetime = int(lifetime)

    def __repr__(self) -> str:
        return f"<Signer kid={self.kid} published={len(self._keys)}>"

    @property
    def kid(self) -> str:
        """The thumbprint of the key that signs."""
        return self._keys[0].kid

    def sign(self, identity: Identity, audience: str, now: float, device: Device | None = None) -> bytes:
        """The compact token for `audience` (an origin). Raises SigningError for a person who claims to be a service."""
        if not audience:
            raise SigningError("an assertion needs an audience: the origin of the app's route")
        claims = {"iss": self._issuer, "aud": audience, **_who(identity), **self._times(now)}
        if device is not None:
            claims["device"] = _what(device, now)
        return jwt.encode(claims, self._private, algorithm="ES256", headers=self._headers).encode()

    def _times(self, now: float) -> dict[str, int | str]:
        issued = int(now)
        return {"iat": issued, "nbf": issued, "exp": issued + self._lifetime, "jti": secrets.token_urlsafe(16)}

    def jwks(self) -> dict[str, Any]:
        """The published key set (RFC 7517 §5), the signing key first."""
        unique = {key.kid: key.jwk for key in self._keys}
        return {"keys": list(unique.values())}


def _who(identity: Identity) -> dict[str, Any]:
    if identity.kind == "person" and identity.subject.lower().startswith("spiffe:"):
        raise SigningError(f"the provider {identity.provider!r} calls a person {identity.subject!r}, a service's name")
    known: dict[str, Any] = {
        "email": identity.email,
        "provider": identity.provider,
        "sid": identity.session,
        "acr": identity.acr,
        "amr": list(dict.fromkeys((*identity.amr, *identity.second_factor))),
    }
    claims = {name: value for name, value in known.items() if value}
    if identity.kind == "person":
        claims["groups"] = sorted(identity.groups)
    times = [time for time in (identity.auth_time, identity.second_factor_at) if time is not None]
    if times:
        claims["auth_time"] = int(max(times))
    return {"sub": identity.subject, "kind": identity.kind, **claims}


def _what(device: Device, now: float) -> dict[str, str | bool]:
    claim: dict[str, str | bool] = {"binding": device.binding}
    if device.id and len(device.id) <= _LONGEST_ID:
        claim["id"] = device.id
    for name in ("managed", "compliant"):
        seen = device.attributes.get(name)
        if seen is not None and isinstance(seen.value, bool) and seen.observed <= now + _SKEW and now < seen.expires:
            claim[name] = seen.value
    return claim


def identity_headers(identity: Identity) -> list[tuple[bytes, bytes]]:
    """`X-Ostiary-User` (the subject), `X-Ostiary-Email` and `X-Ostiary-Groups` (sorted, joined by commas).

    Every character except letters and digits of ASCII and `-._~@:/+` is percent-encoded as UTF-8 (RFC 3986 §2.1), so
    that a value holds no control byte, blank, comma, quote or non-ASCII character. Split groups at the commas first,
    then decode each. A header without a value is left out. They repeat what the assertion proves: an app that can be
    reached around the proxy must read the assertion instead.
    """
    values = (
        (b"X-Ostiary-User", _encoded(identity.subject)),
        (b"X-Ostiary-Email", _encoded(identity.email)),
        (b"X-Ostiary-Groups", ",".join(sorted(_encoded(group) for group in identity.groups if group))),
    )
    return [(name, value.encode("ascii")) for name, value in values if value]


def _encoded(text: str) -> str:
    return quote(text, safe="@:/+", errors="replace")


# --- keys ------------------------------------------------------------------------------------------------------------


def _place(index: int) -> str:
    return "assertion.key" if index == 0 else f"assertion.previous[{index - 1}]"


def _load(pem: bytes, place: str) -> _Key:
    private = _private_of(pem, place) if b"PRIVATE KEY-----" in pem else None
    public = private.public_key() if private else _public_of(pem, place)
    numbers = public.public_numbers()
    jwk = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    # RFC 7638 §3: the required members only, in lexicographic order, without white space
    kid = _base64url(hashlib.sha256(msgspec.json.encode(jwk, order="sorted")).digest())
    return _Key(kid, jwk | {"use": "sig", "alg": "ES256", "kid": kid}, private)


def _private_of(pem: bytes, place: str) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:  # what cryptography raises for a missing password
        raise SigningError(
            f"{place}: the key is encrypted and there is nobody to ask for its passphrase; "
            "decrypt it with: openssl pkey -in KEY -out PLAIN, and let only the proxy's user read the result"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{place}: this PEM private key cannot be read ({error}); {_MAKE_KEY}") from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise SigningError(f"{place}: this is not an EC key on the curve P-256, which ES256 needs; {_MAKE_KEY}")
    return key


def _public_of(pem: bytes, place: str) -> EllipticCurvePublicKey:
    if not pem.strip():
        raise SigningError(f"{place}: the key file is empty; {_MAKE_KEY}")
    if b"PUBLIC KEY-----" not in pem:
        raise SigningError(f"{place}: there is no PEM key in it ({_MAKE_KEY})")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{place}: this PEM public key cannot be read ({error})") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise SigningError(f"{place}: this is not an EC key on the curve P-256, which ES256 needs; {_MAKE_KEY}")
    return key


def _coordinate(number: int) -> str:
    return _base64url(number.to_bytes(32, "big"))  # RFC 7518 §6.2.1.2: always the full width


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
