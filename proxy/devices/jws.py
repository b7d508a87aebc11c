"""What devices sign: compact JWS (RFC 7515) with ES256 (RFC 7518 §3.4) and nothing else. Pure.

Nothing in the token chooses how it is verified. The header may hold exactly `alg`, `typ` and, where a device is named,
`kid`; every other member (`jwk`, `jku`, `x5u`, `x5c`, `crit`, `b64`, …) is refused, needed or not. The algorithm is
ours, and the key comes from the inventory, or for an enrolment from the signed claims, where it proves only itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from proxy.devices.errors import DeviceRefused
from proxy.model.report import Activation, Attestation, Enrolment, Key, Proof, Report
from proxy.wire.strict_json import parse_object

LARGEST = 64 * 1024  # characters of a token
SKEW = 60.0  # seconds by which the device's clock and ours may differ, either way
_COMPACT = re.compile(r"[A-Za-z0-9_-]{2,1024}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{86}")
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}")
Claims = TypeVar("Claims", Enrolment, Report, Proof, Attestation, Activation)


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: Literal["ES256"]
    typ: str
    kid: str = ""


class Signed(msgspec.Struct, frozen=True):
    """A token taken apart. Nothing of it is verified yet; `kid` says only whose key to try."""

    kid: str
    payload: bytes
    signing_input: bytes
    signature: bytes


def take_apart(token: str, typ: str, *, named: bool) -> Signed:
    """Read the form of a token of this `typ`. `named`: it must say by `kid` which device it is of, else it must not.

    Raises DeviceRefused.
    """
    if len(token) > LARGEST:
        raise DeviceRefused(f"larger than {LARGEST} characters")
    if not _COMPACT.fullmatch(token):
        raise DeviceRefused("not a compact JWS signed with ES256")
    head, payload, signature = token.split(".")
    try:
        header = msgspec.convert(parse_object(_bytes(head)), _Header)
    except (msgspec.MsgspecError, ValueError):
        raise DeviceRefused(
            "its header must hold alg (ES256), typ and, but for an enrolment, kid, each once; nothing else"
        ) from None
    if header.typ != typ:
        raise DeviceRefused(f"its typ must be {typ}")
    if bool(header.kid) is not named:
        raise DeviceRefused("its kid must name the device" if named else "its kid must be left out")
    return Signed(header.kid, _bytes(payload), f"{head}.{payload}".encode(), _bytes(signature))


def claims_of(signed: Signed, shape: type[Claims]) -> Claims:
    """The claims, exactly those of `shape`. To be believed only after `verify`. Raises DeviceRefused."""
    try:
        return msgspec.convert(parse_object(signed.payload), shape)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DeviceRefused(f"its claims are not those of {_article(shape.__name__)}: {error}") from None


def verify(signed: Signed, key: Key) -> None:
    """Hold the signature against the key. Raises DeviceRefused."""
    half = len(signed.signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signed.signature[:half], signed.signature[half:]))
    try:
        public_key(key).verify(encode_dss_signature(r, s), signed.signing_input, ECDSA(SHA256()))
    except InvalidSignature:
        raise DeviceRefused("its signature is not by this device's key") from None


def public_key(key: Key) -> EllipticCurvePublicKey:
    """The key for `cryptography`. Raises DeviceRefused when it is not a point of P-256."""
    if not (_COORDINATE.fullmatch(key.x) and _COORDINATE.fullmatch(key.y)):
        raise DeviceRefused("its key is not one of P-256")
    x, y = (int.from_bytes(_bytes(one), "big") for one in (key.x, key.y))
    try:
        return EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    except ValueError:
        raise DeviceRefused("its key is not one of P-256") from None


def thumbprint(key: Key) -> str:
    """RFC 7638 with SHA-256, base64url: the same key always has the same."""
    plain = msgspec.json.encode({"crv": key.crv, "kty": key.kty, "x": key.x, "y": key.y})
    return base64.urlsafe_b64encode(hashlib.sha256(plain).digest()).rstrip(b"=").decode()


def check(aud: str, iat: int, *, audience: str, now: float) -> None:
    """For us exactly, and made just now by the device's clock. Raises DeviceRefused."""
    if aud != audience:
        raise DeviceRefused(f"it is meant for {aud[:200]!r}, not for {audience}")
    if not now - SKEW <= iat <= now + SKEW:
        raise DeviceRefused(f"its clock differs from ours by {iat - now:+.0f} s; set the device's clock")


def _bytes(text: str) -> bytes:
    """Strict base64url: one spelling per value."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise DeviceRefused("not a compact JWS signed with ES256") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise DeviceRefused("not a compact JWS signed with ES256")
    return raw


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name.lower()}"
