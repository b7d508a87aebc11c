"""The device's key: ECDSA over P-256. Here in a file; `tpm.py` has the one that cannot leave its machine."""

from __future__ import annotations

import base64
from typing import Final, Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from proxy.agent.errors import AgentError
from proxy.agent.home import Home
from proxy.model.report import Key

FILE: Final = "device.key"


class DeviceKey(Protocol):
    """A key that signs for the device."""

    @property
    def storage(self) -> Literal["file", "tpm"]:
        """Where the private key is."""

    @property
    def public(self) -> Key:
        """The public key."""

    def sign(self, message: bytes) -> bytes:
        """The ES256 signature of `message` (RFC 7518 §3.4): r and s, 32 bytes each. Blocks; raises AgentError."""


class FileKey:
    """A key in a file of mode 0600."""

    storage: Final = "file"

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = as_jwk(private.public_key())

    @classmethod
    def create(cls, home: Home) -> FileKey:
        """Make a key and keep it. Raises AgentError."""
        private = ec.generate_private_key(ec.SECP256R1())
        home.write(
            FILE,
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        return cls(private)

    @classmethod
    def load(cls, home: Home) -> FileKey:
        """The key that was made at enrolment. Raises AgentError when it is missing, damaged, or open to others."""
        data = home.read(FILE)
        try:
            private = serialization.load_pem_private_key(data, None)
        except (ValueError, TypeError) as error:
            raise AgentError(f"{home.path / FILE} is not a key made here: enrol again with --replace") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise AgentError(f"{home.path / FILE} is not a P-256 key: enrol again with --replace")
        return cls(private)

    def sign(self, message: bytes) -> bytes:
        """See `DeviceKey`."""
        return raw(self._private.sign(message, ec.ECDSA(hashes.SHA256())))


def as_jwk(public: ec.EllipticCurvePublicKey) -> Key:
    """The public key as JWK."""
    numbers = public.public_numbers()
    return Key(kty="EC", crv="P-256", x=base64url(numbers.x.to_bytes(32)), y=base64url(numbers.y.to_bytes(32)))


def raw(signature: bytes) -> bytes:
    """An ECDSA signature as JOSE wants it, from DER. Raises ValueError."""
    r, s = decode_dss_signature(signature)
    try:
        return r.to_bytes(32) + s.to_bytes(32)
    except OverflowError as error:
        raise ValueError("not a signature by a P-256 key") from error


def verifies(public: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    """Whether a DER signature over `message` is by this key."""
    try:
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
