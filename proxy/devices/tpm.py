"""What we must know of TPM 2.0: to read a key's public area, and to encrypt what only one TPM can read. Pure.

TPM 2.0 Library (ISO/IEC 11889:2015): part 1, §11.4.10 (KDFa, KDFe), §16 (names), §24 (credential protection), annexes B
and C (secret sharing by RSA and ECC); part 2, §12.2 (TPMT_PUBLIC).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final, NamedTuple

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256

from proxy.devices.errors import DeviceRefused

LARGEST_PUBLIC: Final = 512  # bytes
_ECC: Final = 0x0023
_SHA256: Final = 0x000B
_NULL: Final = 0x0010
_ECDSA: Final = 0x0018
_P256: Final = 0x0003
_COORDINATE: Final = 32  # bytes
# The attributes a signing key must have, and no others (part 2, §8.3): each says something that we rely on.
_ATTRIBUTES: Final = {
    "fixedTPM": 1 << 1,  # it cannot be moved to another TPM
    "fixedParent": 1 << 4,  # nor to another place in this one
    "sensitiveDataOrigin": 1 << 5,  # the TPM made it: nobody brought it along
    "userWithAuth": 1 << 6,  # it is used by its authorisation, which takes that the TPM holds its private part
    "sign": 1 << 18,
}
_MAY: Final = 1 << 10  # noDA: wrong authorisations do not lock it

Endorser = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class SigningKey(NamedTuple):
    """A P-256 key that is what its attributes say, if a TPM answers for its `name`."""

    x: int
    y: int
    name: bytes


class Credential(NamedTuple):
    """TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, as TPM2_ActivateCredential takes them."""

    blob: bytes
    secret: bytes


class _Reader:
    """Big-endian fields, one after another. Raises DeviceRefused when there are too few bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size))

    def sized(self, most: int) -> bytes:
        size = self.number(2)
        if size > most:
            raise DeviceRefused(f"its public area has a field of {size} bytes where at most {most} can be")
        return self._take(size)

    def end(self) -> None:
        if self._at != len(self._data):
            raise DeviceRefused("its public area goes on after its end")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise DeviceRefused("its public area ends too early")
        self._at += size
        return taken


def signing_key(public: bytes) -> SigningKey:
    """The key of a TPMT_PUBLIC: ECDSA over P-256 with SHA-256, made in a TPM and bound to it. Raises DeviceRefused."""
    if len(public) > LARGEST_PUBLIC:
        raise DeviceRefused("its public area is too long")
    reader = _Reader(public)
    _expect(reader.number(2), _ECC, "its key in the TPM is not an ECC key")
    _expect(reader.number(2), _SHA256, "its key in the TPM is not named with SHA-256")
    _check_attributes(reader.number(4))
    _expect(len(reader.sized(64)), 0, "its key in the TPM may be used by a policy that we do not know")
    _expect(reader.number(2), _NULL, "its key in the TPM is for more than signing")
    scheme = (reader.number(2), reader.number(2))
    if scheme != (_ECDSA, _SHA256):
        raise DeviceRefused("its key in the TPM does not sign by ECDSA with SHA-256")
    _expect(reader.number(2), _P256, "its key in the TPM is not one of P-256")
    _expect(reader.number(2), _NULL, "its key in the TPM is for more than signing")
    x, y = (int.from_bytes(reader.sized(_COORDINATE)) for _ in range(2))
    reader.end()
    return SigningKey(x, y, _SHA256.to_bytes(2) + hashlib.sha256(public).digest())


def _expect(found: int, wanted: int, otherwise: str) -> None:
    if found != wanted:
        raise DeviceRefused(otherwise)


def _check_attributes(found: int) -> None:
    missing = [name for name, bit in _ATTRIBUTES.items() if not found & bit]
    if missing:
        raise DeviceRefused(f"its key in the TPM must have {', '.join(missing)}")
    if found & ~(_MAY | sum(_ATTRIBUTES.values())):
        raise DeviceRefused("its key in the TPM has attributes that a signing key needs not")


def make_credential(endorser: Endorser, name: bytes, secret: bytes) -> Credential:
    """What TPM2_MakeCredential would: `secret` (at most 32 bytes), which only the TPM with this endorsement key reads,
    and only when it holds the object of this `name`. For endorsement keys of the TCG's templates L-1 (RSA 2048) and L-2
    (P-256), which name by SHA-256 and encrypt by AES-128-CFB."""
    seed, shared = _shared_by_rsa(endorser) if isinstance(endorser, rsa.RSAPublicKey) else _shared_by_ecdh(endorser)
    key = _kdf_a(seed, b"STORAGE", name, 128)
    encryptor = Cipher(AES(key), CFB(bytes(16))).encryptor()
    encrypted = encryptor.update(_sized(secret)) + encryptor.finalize()
    integrity = hmac.digest(_kdf_a(seed, b"INTEGRITY", b"", 256), encrypted + name, "sha256")
    return Credential(_sized(_sized(integrity) + encrypted), _sized(shared))


def _shared_by_rsa(endorser: rsa.RSAPublicKey) -> tuple[bytes, bytes]:
    seed = secrets.token_bytes(32)
    return seed, endorser.encrypt(seed, padding.OAEP(padding.MGF1(SHA256()), SHA256(), b"IDENTITY\0"))


def _shared_by_ecdh(endorser: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    ours, theirs = ephemeral.public_key().public_numbers(), endorser.public_numbers()
    x, y = (each.to_bytes(_COORDINATE) for each in (ours.x, ours.y))
    agreed = ephemeral.exchange(ec.ECDH(), endorser)
    seed = hashlib.sha256(b"\0\0\0\1" + agreed + b"IDENTITY\0" + x + theirs.x.to_bytes(_COORDINATE)).digest()  # KDFe
    return seed, _sized(x) + _sized(y)


def _kdf_a(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """KDFa for at most 256 bits, which take one round."""
    message = b"\0\0\0\1" + label + b"\0" + context + bits.to_bytes(4)
    return hmac.digest(key, message, "sha256")[: bits // 8]


def _sized(data: bytes) -> bytes:
    """A TPM2B."""
    return len(data).to_bytes(2) + data
