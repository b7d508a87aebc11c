"""The trust bundle of a SPIFFE trust domain: whose X.509-SVIDs and JWT-SVIDs are believed. Pure.

SPIFFE Trust Domain and Bundle §4: a JWK Set whose keys say what they are for (`use`). Several authorities at once are
normal: that is how they roll over. Keys of a use or type that is not known are left out, as §4.2.2 asks; a key of a
known use that cannot be used refuses the whole bundle, because leaving it out would refuse workloads silently.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.authn.keys import KeySet, parse_key_set
from proxy.wire.strict_json import parse_object

_MAX_KEYS = 100
_TYPES = frozenset({"RSA", "EC", "OKP"})


class BundleInvalid(ValueError):
    """A file that is no bundle of this trust domain. The text is for the administrator and names the file."""


class Bundle(msgspec.Struct, frozen=True):
    """The authorities of one trust domain. `keys` verify JWT-SVIDs; a bundle of PEM certificates has none."""

    trust_domain: str
    authorities: tuple[x509.Certificate, ...]
    keys: KeySet = KeySet()
    sequence: int | None = None  # spiffe_sequence: grows with each change

    @property
    def pem(self) -> bytes:
        """The X.509 authorities, one PEM block after the other."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.authorities)


def read_bundle(trust_domain: str, data: bytes, file: str) -> Bundle:
    """Read a SPIFFE bundle (JWK Set) or PEM certificates. Raises `BundleInvalid`, naming `file`."""
    try:
        bundle = _from_pem(trust_domain, data) if b"-----BEGIN" in data[:4096] else _from_jwks(trust_domain, data)
        _check(bundle)
    except ValueError as why:
        raise BundleInvalid(f"{file}: cannot be the bundle of trust domain {trust_domain}: {why}") from None
    return bundle


def _check(bundle: Bundle) -> None:
    if not bundle.authorities and not bundle.keys.keys:
        raise ValueError("it holds no authority: neither a key for x509-svid nor one for jwt-svid")
    for authority in bundle.authorities:
        _check_names(authority, bundle.trust_domain)


def _from_pem(trust_domain: str, data: bytes) -> Bundle:
    if b"PRIVATE KEY-----" in data:
        raise ValueError("it holds a private key, which must not be here: put only certificates into it")
    try:
        return Bundle(trust_domain, _unique(x509.load_pem_x509_certificates(data)))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("its PEM certificates cannot be read") from None


def _from_jwks(trust_domain: str, data: bytes) -> Bundle:
    document = parse_object(data)
    listed = document.get("keys")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ValueError("it has no list “keys”: a SPIFFE bundle is a JWK Set; PEM certificates will do as well")
    if len(listed) > _MAX_KEYS:
        raise ValueError(f"it has more than {_MAX_KEYS} keys")
    certificates, tokens = [], []
    for number, item in enumerate(listed, start=1):
        if item.get("kty") not in _TYPES:
            continue
        if item.get("use") == "x509-svid":
            certificates.append(_certificate(item, f"key {number} (x509-svid)"))
        elif item.get("use") == "jwt-svid":
            tokens.append(_token_key(item, f"key {number} (jwt-svid)"))
    return Bundle(trust_domain, _unique(certificates), _key_set(tokens), _sequence(document))


def _certificate(item: Mapping[str, Any], which: str) -> x509.Certificate:
    """§4.2.2: `x5c` has exactly one certificate, standard base64 of DER (RFC 7517 §4.7)."""
    chain = item.get("x5c")
    if not isinstance(chain, list) or len(chain) != 1 or not isinstance(chain[0], str):
        raise ValueError(f"{which} must have exactly one certificate in “x5c”")
    try:
        return x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise ValueError(f"the certificate of {which} cannot be read") from None


def _token_key(item: Mapping[str, Any], which: str) -> dict[str, Any]:
    """The key as an ordinary signing key, for which there is a strict reader already."""
    kid = item.get("kid")
    if not isinstance(kid, str) or not kid:
        raise ValueError(f"{which} has no “kid”: JWT-SVIDs name their key")
    if "d" in item:
        raise ValueError(f"{which} is a private key, which must not be here: publish the public half only")
    ordinary = {name: value for name, value in item.items() if name != "key_ops"} | {"use": "sig"}
    if not parse_key_set(json.dumps({"keys": [ordinary]}).encode()).keys:
        raise ValueError(f"{which} cannot be used: JWT-SVIDs have RSA keys of 2048 to 8192 bits, P-256, P-384 or P-521")
    return ordinary


def _key_set(keys: list[dict[str, Any]]) -> KeySet:
    kids = [key["kid"] for key in keys]
    for kid in kids:
        if kids.count(kid) > 1:
            raise ValueError(f"two keys for jwt-svid share the “kid” {kid!r}")
    return parse_key_set(json.dumps({"keys": keys}).encode())


def _sequence(document: Mapping[str, Any]) -> int | None:
    for name in ("spiffe_sequence", "spiffe_refresh_hint"):
        if type(document.get(name, 0)) is not int:
            raise ValueError(f"“{name}” must be a whole number")
    return document.get("spiffe_sequence")


def _check_names(authority: x509.Certificate, trust_domain: str) -> None:
    """X509-SVID §4.3: an authority that has a SPIFFE ID has that of its own trust domain."""
    try:
        names = authority.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        if uri.lower().startswith("spiffe:") and uri != f"spiffe://{trust_domain}":
            raise ValueError(f"it has an authority of {uri}")


def _unique(certificates: list[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    return tuple(dict.fromkeys(certificates))
