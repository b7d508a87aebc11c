"""Our key pair, and the public keys of a provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from proxy.authn.errors import ProviderMisconfigured

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_BITS = 3072  # of a key made here: NIST SP 800-57, good beyond 2030
_MIN_BITS, _MAX_BITS = 2048, 8192  # beyond, a verification is a denial of service
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LIFETIME = timedelta(days=3650)  # nobody looks at it: a provider trusts the certificate it was given


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """PEM: what signs our messages and opens what is encrypted, its certificate, and a former key (b"": none)."""

    key: bytes
    certificate: bytes
    previous: bytes = b""

    def __repr__(self) -> str:
        return "Keys(…)"

    @classmethod
    def read(cls, key: str, certificate: str, previous: str | None) -> Keys:
        """From files. Raises `ProviderMisconfigured` when one cannot be read."""
        try:
            former = Path(previous).read_bytes() if previous else b""
            return cls(key=Path(key).read_bytes(), certificate=Path(certificate).read_bytes(), previous=former)
        except OSError as error:
            raise ProviderMisconfigured(f"a SAML key cannot be read: {error}") from None


def make_key(subject: str, now: float) -> tuple[bytes, bytes]:
    """A new RSA key and a certificate for it that it signs itself, both PEM. Takes up to a second: not on the loop."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, self_signed(key, subject, now).public_bytes(serialization.Encoding.PEM)


def self_signed(key: PrivateKey, subject: str, now: float) -> x509.Certificate:
    """A certificate that only carries a key, as SAML metadata wants it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject[:64])])
    start = datetime.fromtimestamp(now, UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start)
    return builder.not_valid_after(start + _LIFETIME).sign(key, hashes.SHA256())


def load_private(pem: bytes) -> PrivateKey:
    """An RSA or EC key without passphrase. Raises `ProviderMisconfigured`."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise ProviderMisconfigured("a SAML key is not a PEM private key without passphrase") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) or not is_usable(key.public_key()):
        raise ProviderMisconfigured("a SAML key must be RSA of 2048 bits or more, or EC P-256, P-384 or P-521")
    return key


def load_certificate(pem: bytes) -> x509.Certificate:
    """The one certificate of a PEM file. Raises `ProviderMisconfigured`."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ProviderMisconfigured("a SAML certificate cannot be read: it must be PEM") from None


def is_usable(key: object) -> bool:
    """Whether a public key is of a kind and size we verify with."""
    if isinstance(key, rsa.RSAPublicKey):
        return _MIN_BITS <= key.key_size <= _MAX_BITS and key.public_numbers().e <= 65537
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES


def public_bytes(key: CertificatePublicKeyTypes) -> bytes:
    """One spelling of a public key, to compare keys by."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
