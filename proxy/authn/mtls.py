"""Client certificates: is this chain good now, and if not, what exactly is wrong? Pure: time is a parameter.

The checks run from "is it ours at all" to "what does it say", so that the reason is the one that helps: an expired
certificate of our CA is expired, a foreign one is untrusted however else it is wrong.
RFC 5280 §6; the extended key usage must include clientAuth; names after SPIFFE X.509-SVID (`subject_names`).
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
from cachetools import LRUCache
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.authn.certification_path import Link, Path, link, may_issue, paths
from proxy.authn.revocation import RevocationLists
from proxy.authn.subject_names import NameRefused, service_name, subject_names
from proxy.authn.x509_svid import keeps_to_domain, trust_domain_of
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason

Verdict = Certificate | Reason
_MAX_CHAIN = 10  # certificates a client may present
_MAX_BYTES = 64 * 1024
_CACHED = 4096  # chains; about 1 KiB each

# From least to most nearly admitted: with several paths, the reason of the best one is reported.
_PROGRESS = (
    Reason.CERTIFICATE_UNTRUSTED,
    Reason.CERTIFICATE_NOT_YET_VALID,
    Reason.CERTIFICATE_EXPIRED,
    Reason.CERTIFICATE_CRL_STALE,
    Reason.CERTIFICATE_REVOKED,
    Reason.CERTIFICATE_PURPOSE,
    Reason.CERTIFICATE_NAME,
)
# Kinds of name constraints that `cryptography` can evaluate; on others it gives up.
_JUDGED_BY_LIBRARY = (x509.DNSName, x509.IPAddress, x509.RFC822Name)
_LIBRARY_CA = verification.ExtensionPolicy.permit_all().require_present(
    x509.BasicConstraints, verification.Criticality.AGNOSTIC, None
)
_LIBRARY_LEAF = verification.ExtensionPolicy.permit_all()  # a device's may have no name at all


class _Cached(msgspec.Struct, frozen=True):
    """A verdict, and the span of time in which nothing it depends on changes: `since` ≤ now < `until`."""

    verdict: Verdict
    since: float
    until: float


class CertificateVerifier:
    """Verifies client certificates against trust anchors and revocation lists, which never change: build a new one
    when the files do.

    A certificate that names one of `trust_domains` (name → authorities, from its bundle) is judged by those alone, and
    nothing but its SPIFFE ID is taken from it; any other by `ca`. SVIDs live for minutes, so revocation lists count for
    the authorities they are of, but are not asked of a trust domain.

    Raises `ValueError`, with a text for the administrator, when an anchor is not a sound CA certificate, when a list
    cannot be used, or when it was not signed by the anchor it names.
    """

    def __init__(
        self,
        ca: Sequence[x509.Certificate],
        crls: Sequence[x509.CertificateRevocationList] = (),
        trust_domains: Mapping[str, Sequence[x509.Certificate]] = MappingProxyType({}),
    ) -> None:
        self._anchors = [_anchor(certificate) for certificate in dict.fromkeys(ca)]
        self._domains = {
            name: [_anchor(certificate) for certificate in dict.fromkeys(authorities)]
            for name, authorities in trust_domains.items()
        }
        self._lists = RevocationLists(crls)
        self._cache: LRUCache[bytes, _Cached] = LRUCache(maxsize=_CACHED)
        anchors = [item for each in (self._anchors, *self._domains.values()) for item in each]
        own = [moment for item in anchors for moment in (item.not_before, item.not_after)]
        self._moments = tuple(sorted({*own, *self._lists.moments}))
        self._check_lists()

    def verify(self, chain: Sequence[bytes], now: float) -> Verdict:
        """The verdict on a presented chain (DER, leaf first, others in any order) at `now`, seconds since the epoch."""
        key = _digest(chain)
        cached = self._cache.get(key)
        if cached is None or not cached.since <= now < cached.until:
            cached = self._cache[key] = self._examine(chain, now)
        return cached.verdict

    def _examine(self, chain: Sequence[bytes], now: float) -> _Cached:
        try:
            links = _parse(chain)
        except ValueError:
            return _Cached(Reason.CERTIFICATE_UNTRUSTED, -math.inf, math.inf)
        moments = sorted({*self._moments, *(moment for item in links for moment in (item.not_before, item.not_after))})
        position = bisect.bisect_right(moments, now)
        return _Cached(
            self._judge(links, now),
            moments[position - 1] if position else -math.inf,
            moments[position] if position < len(moments) else math.inf,
        )

    def _judge(self, links: Sequence[Link], now: float) -> Verdict:
        nearest = Reason.CERTIFICATE_UNTRUSTED
        named = trust_domain_of(links[0])
        domain = named if named in self._domains else ""
        for path in paths(links[0], links[1:], self._domains[domain] if domain else self._anchors):
            verdict = self._walk(path, domain, now)
            if isinstance(verdict, Certificate):
                return verdict
            nearest = max(nearest, verdict, key=_PROGRESS.index)
        return nearest

    def _walk(self, path: Path, domain: str, now: float) -> Verdict:
        """`domain`: the trust domain that the path is of; "" for the authorities of the listener."""
        problem = _time_problem(path, now) or self._lists.problem(path, now, of_all=not domain)
        if problem is not None:
            return problem
        if not _is_for_clients(path) or (domain and not keeps_to_domain(path, domain)):
            return Reason.CERTIFICATE_PURPOSE
        try:
            names = subject_names(path[0].find(x509.SubjectAlternativeName))
        except NameRefused:
            return Reason.CERTIFICATE_NAME
        if not _library_agrees(path, now):
            return Reason.CERTIFICATE_UNTRUSTED if service_name(names) else Reason.CERTIFICATE_NAME
        return self._admitted(path, names[:1] if domain else names, domain, now)

    def _admitted(self, path: Path, names: tuple[str, ...], domain: str, now: float) -> Certificate:
        leaf = path[0].certificate
        ends = min(item.not_after for item in path)
        return Certificate(
            sha256=leaf.fingerprint(hashes.SHA256()).hex(),
            serial=f"{leaf.serial_number:x}",
            subject_serial="" if domain else _subject_serial(leaf),
            names=names,
            not_after=path[0].not_after,
            good_until=min(ends, self._lists.good_until(path, now)),
        )

    def _check_lists(self) -> None:
        for subject in {item.certificate.subject for item in self._anchors}:
            issuers = [item for item in self._anchors if item.certificate.subject == subject]
            if not self._lists.all_signed_by_any(issuers):
                raise ValueError(
                    f"a revocation list of {subject.rfc4514_string()} was not signed by that CA: publish it anew"
                )


def identity_of(certificate: Certificate) -> Identity | Reason:
    """The service a verified certificate speaks for: its SPIFFE ID, else its first DNS name; without either nobody
    (a device may be known by another mark of its certificate)."""
    name = service_name(certificate.names)
    return Reason.CERTIFICATE_NAME if name is None else Identity(kind="service", subject=name)


def _anchor(certificate: x509.Certificate) -> Link:
    item = link(certificate)
    if item.extensions is None or not may_issue(item):
        raise ValueError(
            f"{certificate.subject.rfc4514_string()} cannot be a client CA: it needs the CA flag, keyCertSign, "
            "SHA-256 or better, and a key of RSA ≥ 2048, P-256, P-384, P-521 or Ed25519"
        )
    return item


def _parse(chain: Sequence[bytes]) -> list[Link]:
    if not 0 < len(chain) <= _MAX_CHAIN or sum(map(len, chain)) > _MAX_BYTES:
        raise ValueError("too much or nothing presented")
    try:
        return [link(x509.load_der_x509_certificate(der)) for der in dict.fromkeys(chain)]
    except (x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ValueError("not a certificate we know") from error


def _digest(chain: Sequence[bytes]) -> bytes:
    digest = hashlib.sha256()
    for der in chain:
        digest.update(len(der).to_bytes(8, "big"))
        digest.update(der)
    return digest.digest()


def _subject_serial(leaf: x509.Certificate) -> str:
    """The serialNumber of the subject, by which a certificate may name a device; "" unless there is exactly one."""
    try:
        found = leaf.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    except ValueError:
        return ""
    value = found[0].value if len(found) == 1 else ""
    return value if isinstance(value, str) else ""


def _time_problem(path: Path, now: float) -> Reason | None:
    """notAfter itself no longer counts as valid, so that spans of time follow on one another without overlap."""
    if any(now >= item.not_after for item in path):
        return Reason.CERTIFICATE_EXPIRED
    return Reason.CERTIFICATE_NOT_YET_VALID if any(now < item.not_before for item in path) else None


def _is_for_clients(path: Path) -> bool:
    """The leaf says clientAuth, may make signatures and is no CA; no CA above is limited to other purposes."""
    leaf = path[0]
    if leaf.extensions is None:
        return True  # what cannot be parsed has no name either: that is the reason to give
    constraints, usage = leaf.find(x509.BasicConstraints), leaf.find(x509.KeyUsage)
    if isinstance(constraints, x509.BasicConstraints) and constraints.ca:
        return False
    if isinstance(usage, x509.KeyUsage) and (not usage.digital_signature or usage.key_cert_sign or usage.crl_sign):
        return False
    purposes = leaf.find(x509.ExtendedKeyUsage)
    if not isinstance(purposes, x509.ExtendedKeyUsage) or ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        return False
    return all(_lets_clients_pass(issuer) for issuer in path[1:])


def _lets_clients_pass(issuer: Link) -> bool:
    purposes = issuer.find(x509.ExtendedKeyUsage)
    if not isinstance(purposes, x509.ExtendedKeyUsage):
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes


def _library_agrees(path: Path, now: float) -> bool:
    """A second opinion: `cryptography`'s own path validation must accept what ours did, wherever it can judge.

    It cannot with Ed25519 (not in its profile) nor with constraints on URIs and directory names.
    """
    if not all(_library_can_judge(item) for item in path):
        return True
    policy = verification.PolicyBuilder().store(verification.Store([path[-1].certificate]))
    policy = policy.time(datetime.fromtimestamp(now, UTC)).max_chain_depth(len(path))
    policy = policy.extension_policies(ca_policy=_LIBRARY_CA, ee_policy=_LIBRARY_LEAF)
    try:
        policy.build_client_verifier().verify(path[0].certificate, [item.certificate for item in path[1:-1]])
    except verification.VerificationError:
        return False
    return True


def _library_can_judge(item: Link) -> bool:
    if isinstance(item.certificate.public_key(), ed25519.Ed25519PublicKey):
        return False
    constraints = item.find(x509.NameConstraints)
    if not isinstance(constraints, x509.NameConstraints):
        return True
    trees = (*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ()))
    return all(isinstance(tree, _JUDGED_BY_LIBRARY) for tree in trees)
