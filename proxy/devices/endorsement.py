"""Whether a certificate says that a key is the endorsement key of a genuine TPM 2.0. Pure.

TCG EK Credential Profile for TPM 2.0, §3. Every authority that the settings name is trusted by itself, be it a root or
not; certificates between it and the endorsement key's come from the device, and are believed as far as signatures go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from proxy.devices.errors import DeviceRefused
from proxy.devices.tpm import Endorser

MOST_BETWEEN: Final = 5  # certificates a device may send along
LARGEST: Final = 8192  # bytes of one
_EK_CERTIFICATE: Final = ObjectIdentifier("2.23.133.8.1")  # tcg-kp-EKCertificate
_UNDERSTOOD: Final = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,  # the maker and model, which we do not use
        ExtensionOID.CERTIFICATE_POLICIES,
    )
)
_MALFORMED: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


class Endorsement(NamedTuple):
    """An endorsement key, and who vouches for it; `certificate` and `authority` are hex SHA-256."""

    key: Endorser
    certificate: str
    issuer: str  # its name, RFC 4514
    authority: str


class Authorities:
    """Authorities of TPM makers."""

    def __init__(self, certificates: Iterable[x509.Certificate] = ()) -> None:
        self._trusted = {each.fingerprint(SHA256()).hex(): each for each in certificates}
        self._by_name: dict[bytes, list[str]] = {}  # lists of all makers hold thousands
        for sha256, each in self._trusted.items():
            self._by_name.setdefault(each.subject.public_bytes(), []).append(sha256)

    @classmethod
    def of_pem(cls, data: bytes) -> Authorities:
        """Those of a PEM file. Raises ValueError."""
        return cls(x509.load_pem_x509_certificates(data))

    def __len__(self) -> int:
        return len(self._trusted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Authorities) and self._trusted.keys() == other._trusted.keys()

    __hash__ = None  # type: ignore[assignment]  # compared only

    def __contains__(self, sha256: str) -> bool:
        """Whether the authority of this hex SHA-256 is trusted now."""
        return sha256 in self._trusted

    def endorsement(self, der: bytes, between: Sequence[bytes], now: float) -> Endorsement:
        """The endorsement key of a certificate, when one of the authorities answers for it at `now`. Raises
        DeviceRefused."""
        if len(between) > MOST_BETWEEN:
            raise DeviceRefused(f"more than {MOST_BETWEEN} certificates between its TPM's and an authority's")
        try:
            leaf, *others = (_loaded(each) for each in (der, *between))
            key = _endorser(leaf, now)
            authority = self._authority(leaf, others, now)
        except _MALFORMED as error:
            raise DeviceRefused(f"its TPM's certificate cannot be read: {error}"[:300]) from None
        return Endorsement(key, hashlib.sha256(der).hexdigest(), leaf.issuer.rfc4514_string()[:200], authority)

    def _authority(self, leaf: x509.Certificate, others: Sequence[x509.Certificate], now: float) -> str:
        current = leaf
        for below in range(MOST_BETWEEN + 1):
            for sha256 in self._by_name.get(current.issuer.public_bytes(), ()):
                if _has_issued(self._trusted[sha256], current, below, now):
                    return sha256
            step = next((each for each in others if _has_issued(each, current, below, now)), None)
            if step is None:
                break
            current = step
        raise DeviceRefused(
            f"its TPM's certificate, by {leaf.issuer.rfc4514_string()[:200]!r}, is not by an authority that is trusted "
            "here (devices.tpm_authorities)"
        )


def _loaded(der: bytes) -> x509.Certificate:
    if len(der) > LARGEST:
        raise DeviceRefused("its TPM's certificate is too long")
    return x509.load_der_x509_certificate(der)


def _endorser(leaf: x509.Certificate, now: float) -> Endorser:
    """The key of an endorsement key's certificate. Raises DeviceRefused when it is not one, or not in force."""
    if not _is_valid(leaf, now):
        raise DeviceRefused("its TPM's certificate is not valid now")
    constraints = _extension(leaf, x509.BasicConstraints)
    usage = _extension(leaf, x509.KeyUsage)
    if (constraints is not None and constraints.ca) or (usage is not None and usage.key_cert_sign):
        raise DeviceRefused("its TPM's certificate is that of an authority")
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and _EK_CERTIFICATE not in purposes:
        raise DeviceRefused("its TPM's certificate is not for an endorsement key (2.23.133.8.1)")
    if not _is_understood(leaf):
        raise DeviceRefused("its TPM's certificate has a critical extension that is not known here")
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048:
        fits = usage is None or usage.key_encipherment
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        fits = usage is None or usage.key_agreement
    else:
        raise DeviceRefused("its TPM's endorsement key is neither RSA 2048 nor P-256")
    if not fits:
        raise DeviceRefused("its TPM's certificate is not for an endorsement key (key usage)")
    return key


def _has_issued(issuer: x509.Certificate, issued: x509.Certificate, below: int, now: float) -> bool:
    """Whether `issuer` is an authority at `now` that may have `below` others under it, and signed `issued`."""
    if issuer.subject != issued.issuer or not _is_valid(issuer, now):
        return False
    constraints = _extension(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.ca or not _is_understood(issuer):
        return False
    if constraints.path_length is not None and constraints.path_length < below:
        return False
    usage = _extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return False
    purposes = _extension(issuer, x509.ExtendedKeyUsage)
    if purposes is not None and not {_EK_CERTIFICATE, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        return False
    if not isinstance(issued.signature_hash_algorithm, SHA256 | SHA384 | SHA512):
        return False
    try:
        issued.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    return True


def _is_valid(certificate: x509.Certificate, now: float) -> bool:
    return certificate.not_valid_before_utc <= datetime.fromtimestamp(now, UTC) <= certificate.not_valid_after_utc


def _is_understood(certificate: x509.Certificate) -> bool:
    return all(each.oid in _UNDERSTOOD for each in certificate.extensions if each.critical)


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
