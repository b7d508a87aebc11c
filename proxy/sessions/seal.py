"""Values we give away and want back unchanged: sealed with an AEAD, bound to a purpose and a time of issue."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = 1
_SALT = 24
_HEAD = struct.Struct(f">BQ{_SALT}s")  # version, time of issue in milliseconds, salt
_TAG = 16
_LARGEST = 1 << 20
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+")
_FUTURE = 60.0  # a value issued by a clock a little ahead of ours is still good


class SealBroken(Exception):
    """The value was not made here for this purpose, or was changed on the way. The party at fault is its bearer."""


class SealExpired(SealBroken):
    """The value is genuine but too old (or from the future): starting again helps."""


class Sealer:
    """Seals and unseals with a secret key of at least 32 bytes; `previous` keys still open what they sealed.

    Each value gets a key and nonce of its own, derived from the secret and 24 random bytes by HMAC-SHA-512, so the
    number of values is not limited by GCM's 96-bit nonce (NIST SP 800-38D, section 8.3). Format, in base64url
    without padding: version (1), milliseconds since the epoch (8), salt (24), AES-256-GCM ciphertext and tag.
    The head and the purpose are authenticated with it.
    """

    __slots__ = ("_keys",)

    def __init__(self, key: bytes, *, previous: Sequence[bytes] = ()) -> None:
        self._keys = (key, *previous)
        if any(len(each) < 32 for each in self._keys):
            raise ValueError("a sealing key needs at least 32 bytes; make one with `openssl rand -base64 32`")

    def seal(self, purpose: str, data: bytes, *, now: float) -> str:
        """Seal `data` for `purpose`, issued at `now` (seconds since the epoch). Returns URL-safe ASCII."""
        salt = os.urandom(_SALT)
        head = _HEAD.pack(_VERSION, max(0, int(now * 1000)), salt)
        cipher, nonce = _derived(self._keys[0], salt)
        return _encode(head + cipher.encrypt(nonce, data, head + purpose.encode()))

    def unseal(self, purpose: str, token: str, *, now: float, max_age: float | None) -> bytes:
        """The data sealed for `purpose` at most `max_age` seconds before `now`; None: whenever.

        Raises SealExpired when it is genuine but its time is over, SealBroken for everything else.
        """
        raw = _decode(token)
        head = raw[: _HEAD.size]
        version, issued_ms, salt = _HEAD.unpack(head)
        if version != _VERSION:
            raise SealBroken("sealed by another version")
        data = self._opened(salt, raw[_HEAD.size :], head + purpose.encode())
        age = now - issued_ms / 1000
        if max_age is not None and (age > max_age or age < -_FUTURE):
            raise SealExpired(f"sealed {age:.0f} s ago, good for {max_age:.0f} s")
        return data

    def _opened(self, salt: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        for key in self._keys:
            cipher, nonce = _derived(key, salt)
            try:
                return cipher.decrypt(nonce, ciphertext, associated)
            except InvalidTag:
                continue
        raise SealBroken("not sealed by us for this purpose, or changed on the way")

    def __repr__(self) -> str:
        return f"<Sealer keys={len(self._keys)}>"


def _derived(key: bytes, salt: bytes) -> tuple[AESGCM, bytes]:
    material = hmac.digest(key, b"ostiary seal v1\0" + salt, "sha512")
    return AESGCM(material[:32]), material[32:44]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(token: str) -> bytes:
    """Strict base64url: one spelling per value, so that a used value cannot be respelled."""
    if len(token) > _LARGEST or not _ALPHABET.fullmatch(token):
        raise SealBroken("not a sealed value")
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise SealBroken("not a sealed value") from None
    if len(raw) < _HEAD.size + _TAG or _encode(raw) != token:
        raise SealBroken("not a sealed value")
    return raw
