"""Building a certification path from a leaf to a trust anchor. Pure. RFC 5280 §6.1, RFC 4158.

A path that comes out of here is sound in everything that does not depend on time, revocation, purpose or the leaf's
own names: signatures, CA flags, key usage, path lengths, name constraints, algorithms, no unknown critical extension.
Anchors are held to the same rules as intermediates, which is stricter than RFC 5280 asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from proxy.authn.name_constraints import permits

MAX_INTERMEDIATES = 5
_MAX_SIGNATURES = 64  # verifications per chain: a pile of crafted look-alike certificates costs no more than this

_SIGNATURES = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
        SignatureAlgorithmOID.ED25519,
    }
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
# Extensions whose critical form we act upon. Certificate policies are accepted under any policy; the extensions that
# would demand a particular one (policy constraints) are not understood and refuse the certificate.
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


class Link(msgspec.Struct, frozen=True, eq=False):
    """One certificate of a path with what is read from it once.

    `not_before` and `not_after` are seconds since the epoch; `extensions` is None when they cannot be parsed.
    """

    certificate: x509.Certificate
    not_before: float
    not_after: float
    self_issued: bool  # issuer and subject are the same name: a key change (RFC 5280 §6.1), or a root
    extensions: x509.Extensions | None

    def find(self, kind: type[x509.ExtensionType]) -> x509.ExtensionType | None:
        """The value of the extension of this class, None when absent."""
        if self.extensions is None:
            return None
        try:
            return self.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None


Path = tuple[Link, ...]  # leaf first, anchor last; at least two


def link(certificate: x509.Certificate) -> Link:
    """Read a certificate. Raises `ValueError` for names or times that cannot be read, or an extension given twice."""
    return Link(
        certificate,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        certificate.subject == certificate.issuer,
        _extensions(certificate),
    )


def _extensions(certificate: x509.Certificate) -> x509.Extensions | None:
    try:
        return certificate.extensions
    except x509.DuplicateExtension:
        raise ValueError("an extension is there twice") from None
    except (ValueError, x509.UnsupportedGeneralNameType):
        return None


def may_issue(issuer: Link) -> bool:
    """Whether this certificate may sign others: CA flag and keyCertSign (RFC 5280 §6.1.4 k, n), and it is sound."""
    constraints = issuer.find(x509.BasicConstraints)
    usage = issuer.find(x509.KeyUsage)
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        return False
    return (not isinstance(usage, x509.KeyUsage) or usage.key_cert_sign) and is_sound(issuer)


def is_sound(item: Link) -> bool:
    """Whether key and signature are strong enough, and no critical extension is unknown to us."""
    certificate = item.certificate
    if not _key_is_sound(certificate) or not _signature_is_sound(certificate):
        return False
    return item.extensions is None or all(
        extension.oid in _UNDERSTOOD for extension in item.extensions if extension.critical
    )


def paths(leaf: Link, presented: Sequence[Link], anchors: Iterable[Link]) -> Iterator[Path]:
    """Every sound path, shortest way to an anchor first, built from the presented certificates in any order."""
    if is_sound(leaf):
        search = _Search([item for item in presented if may_issue(item)], list(anchors))
        yield from (path for path in search.extend((leaf,)) if _constraints_hold(path))


class _Search:
    """Depth first, with a budget of signature verifications."""

    def __init__(self, intermediates: list[Link], anchors: list[Link]) -> None:
        self._intermediates = intermediates
        self._anchors = anchors
        self._verified: dict[tuple[int, int], bool] = {}

    def extend(self, path: Path) -> Iterator[Path]:
        for anchor in self._anchors:
            if self._issued(path, anchor):
                yield (*path, anchor)
        if len(path) > MAX_INTERMEDIATES:
            return
        for intermediate in self._intermediates:
            if all(intermediate is not used for used in path) and self._issued(path, intermediate):
                yield from self.extend((*path, intermediate))

    def _issued(self, path: Path, issuer: Link) -> bool:
        child = path[-1]
        if child.certificate.issuer != issuer.certificate.subject or not _length_allows(path, issuer):
            return False
        pair = (id(child), id(issuer))
        if pair not in self._verified:
            if len(self._verified) >= _MAX_SIGNATURES:
                return False
            self._verified[pair] = _signature_verifies(child.certificate, issuer.certificate)
        return self._verified[pair]


def _signature_verifies(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _length_allows(path: Path, issuer: Link) -> bool:
    """RFC 5280 §6.1.4 l, m: pathLenConstraint counts the intermediates below that are not self-issued."""
    constraints = issuer.find(x509.BasicConstraints)
    if not isinstance(constraints, x509.BasicConstraints) or constraints.path_length is None:
        return True
    return sum(not item.self_issued for item in path[1:]) <= constraints.path_length


def _constraints_hold(path: Path) -> bool:
    """RFC 5280 §6.1.3 b, c: each CA's name constraints bind every certificate below, save self-issued intermediates."""
    for depth, issuer in enumerate(path[1:], start=1):
        constraints = issuer.find(x509.NameConstraints)
        if not isinstance(constraints, x509.NameConstraints):
            continue
        for position, below in enumerate(path[:depth]):
            if (position == 0 or not below.self_issued) and not _permitted(constraints, below):
                return False
    return True


def _permitted(constraints: x509.NameConstraints, below: Link) -> bool:
    names = below.find(x509.SubjectAlternativeName)
    alternative = list(names) if isinstance(names, x509.SubjectAlternativeName) else []
    return below.extensions is not None and permits(constraints, below.certificate.subject, alternative)


def _key_is_sound(certificate: x509.Certificate) -> bool:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    if isinstance(key, rsa.RSAPublicKey):
        return 2048 <= key.key_size <= 8192 and key.public_numbers().e >= 3
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, ed25519.Ed25519PublicKey)


def _signature_is_sound(certificate: x509.Certificate) -> bool:
    if certificate.signature_algorithm_oid not in _SIGNATURES:
        return False
    try:
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return False
    return algorithm is None or isinstance(algorithm, _HASHES)
