"""A provider's JSON Web Key Set, reduced to the keys that may verify a signature. Pure. RFC 7517, RFC 7518.

A key is used for an algorithm only when everything it says about itself allows that: `kty` and `crv` fit, `use` is
absent or `sig`, `key_ops` is absent or contains `verify`, `alg` is absent or equal. Symmetric keys are never taken:
a public document cannot hold a secret, and accepting `oct` is how algorithm confusion starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from proxy.wire.strict_json import parse_object

# algorithm → (kty, crv). RFC 7518 §3.1, RFC 8037 §3.1.
ASYMMETRIC: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
_MAX_KEYS = 100
_MAX_RSA_BITS = 8192  # beyond this a verification is a denial of service
_MIN_RSA_BITS = 2048  # RFC 7518 §3.3


class Key(msgspec.Struct, frozen=True):
    """One usable public key, as published. `kid` and `alg` are "" when the provider left them out."""

    kid: str
    alg: str
    kty: str
    crv: str
    jwk: dict[str, Any]

    def fits(self, alg: str) -> bool:
        """Whether this key may verify a signature made with `alg`."""
        if alg not in ASYMMETRIC or self.alg not in ("", alg):
            return False
        kty, crv = ASYMMETRIC[alg]
        return self.kty == kty and (crv is None or self.crv == crv)

    def bound_to(self, alg: str) -> jwt.PyJWK:
        """The key for PyJWT, tied to one algorithm, whatever a token's header says."""
        return jwt.PyJWK(self.jwk, algorithm=alg)


class KeySet(msgspec.Struct, frozen=True):
    """The usable keys of one provider; several keys may share a `kid` (RFC 7517 §4.5)."""

    keys: tuple[Key, ...] = ()

    def matching(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Keys that may verify a token with this header.

        With a `kid`: every fitting key of that name. Without one: the only fitting key, or none when there are
        several, since then the provider must say which (OpenID Connect Core §10.1).
        """
        fitting = tuple(key for key in self.keys if key.fits(alg))
        if kid is None:
            return fitting if len(fitting) == 1 else ()
        return tuple(key for key in fitting if key.kid == kid)


def parse_key_set(document: bytes) -> KeySet:
    """Read a JWK Set. Keys we cannot use are left out; raises `ValueError` when the document is no JWK Set at all."""
    listed = parse_object(document).get("keys")
    if not (isinstance(listed, list) and len(listed) <= _MAX_KEYS):
        raise ValueError(f"the key set has no list “keys” of at most {_MAX_KEYS} entries")
    return KeySet(tuple(key for item in listed if (key := _key(item)) is not None))


def _key(item: object) -> Key | None:
    if not isinstance(item, dict) or item.get("use", "sig") != "sig" or not _may_verify(item):
        return None
    kid, alg, kty, crv = (item.get(name, "") for name in ("kid", "alg", "kty", "crv"))
    if not all(isinstance(text, str) for text in (kid, alg, kty, crv)):
        return None
    public = {name: item[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in item}
    key = Key(kid, alg, kty, crv, public)
    usable = next((name for name in ASYMMETRIC if key.fits(name)), None)
    return key if usable is not None and _sound(key, usable) else None


def _may_verify(item: Mapping[str, object]) -> bool:
    operations = item.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _sound(key: Key, alg: str) -> bool:
    try:
        material = key.bound_to(alg).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return not isinstance(material, RSAPublicKey) or _MIN_RSA_BITS <= material.key_size <= _MAX_RSA_BITS
