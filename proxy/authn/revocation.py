"""Certificate revocation lists. Pure. RFC 5280 §5 and §6.3, complete direct lists only.

Once there is any list, every issuer on a path needs one, current and correctly signed: the anchor and each
intermediate CA. Without it nobody knows whether the certificate below was revoked (§6.3.3: "undetermined"), and what is
not known admits nobody; web servers that check lists do the same. Without any list, revocation is not asked about.

Of several lists of an issuer the newest counts (§5.2.3: later thisUpdate, higher CRL number). Where the two disagree or
do not tell, what any of the candidates revokes is revoked. The order in the configuration means nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID

from proxy.authn.certification_path import Link, Path
from proxy.model.reasons import Reason

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNDERSTOOD = frozenset({ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER})


class RevocationLists:
    """The configured lists by issuer. Raises `ValueError` for a list we cannot act upon, saying what to publish."""

    def __init__(self, lists: Sequence[x509.CertificateRevocationList]) -> None:
        self._by_issuer: dict[x509.Name, list[x509.CertificateRevocationList]] = {}
        self._genuine: dict[tuple[int, bytes], bool] = {}
        for crl in lists:
            _check_usable(crl)
            self._by_issuer.setdefault(crl.issuer, []).append(crl)
        self.moments = tuple(moment for crl in lists for moment in _window(crl))  # when a verdict may change

    def problem(self, path: Path, now: float, *, of_all: bool = True) -> Reason | None:
        """CERTIFICATE_REVOKED, CERTIFICATE_CRL_STALE or None for a whole path; nobody revokes the anchor itself.

        Without `of_all` an issuer of whom there is no list at all is passed over.
        """
        findings = {
            self._finding(item, issuer, now)
            for item, issuer in pairwise(path)
            if of_all or issuer.certificate.subject in self._by_issuer
        }
        for reason in (Reason.CERTIFICATE_REVOKED, Reason.CERTIFICATE_CRL_STALE):
            if reason in findings:
                return reason
        return None

    def all_signed_by_any(self, issuers: Sequence[Link]) -> bool:
        """Whether every list in the name these issuers share was signed by one of them."""
        lists = self._by_issuer.get(issuers[0].certificate.subject, [])
        return all(any(self._is_genuine(crl, issuer) for issuer in issuers) for crl in lists)

    def good_until(self, path: Path, now: float) -> float:
        """When the first list that the path relies on runs out, seconds since the epoch; infinity without lists."""
        newest = (self._newest(issuer, now) for issuer in path[1:])
        return min((_runs_out(lists) for lists in newest if lists), default=math.inf)

    def _finding(self, item: Link, issuer: Link, now: float) -> Reason | None:
        if not self._by_issuer:
            return None
        newest = self._newest(issuer, now)
        serial = item.certificate.serial_number
        if any(crl.get_revoked_certificate_by_serial_number(serial) is not None for crl in newest):
            return Reason.CERTIFICATE_REVOKED
        return None if newest and now < _runs_out(newest) else Reason.CERTIFICATE_CRL_STALE

    def _newest(self, issuer: Link, now: float) -> list[x509.CertificateRevocationList]:
        """The lists that this issuer signed, are not from the future, and that no other of them clearly follows."""
        usable = [
            crl
            for crl in self._by_issuer.get(issuer.certificate.subject, ())
            if _window(crl)[0] <= now and self._is_genuine(crl, issuer)
        ]
        return [crl for crl in usable if not any(_follows(other, crl) for other in usable)]

    def _is_genuine(self, crl: x509.CertificateRevocationList, issuer: Link) -> bool:
        key = (id(crl), issuer.certificate.fingerprint(hashes.SHA256()))
        if key not in self._genuine:
            if len(self._genuine) > 1024:  # presented intermediates can be many
                self._genuine.clear()
            self._genuine[key] = _may_sign_lists(issuer) and _signed_by(crl, issuer)
        return self._genuine[key]


def _window(crl: x509.CertificateRevocationList) -> tuple[float, float]:
    """thisUpdate and nextUpdate, seconds since the epoch."""
    following = crl.next_update_utc
    return crl.last_update_utc.timestamp(), following.timestamp() if following else -math.inf


def _follows(later: x509.CertificateRevocationList, earlier: x509.CertificateRevocationList) -> bool:
    """Whether `later` replaces `earlier`: nothing says the opposite and something says so."""
    ours, theirs = _number(later), _number(earlier)
    numbers = 0 if ours is None or theirs is None else ours - theirs
    moments = _window(later)[0] - _window(earlier)[0]
    return numbers >= 0 and moments >= 0 and (numbers > 0 or moments > 0)


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _runs_out(lists: Sequence[x509.CertificateRevocationList]) -> float:
    """When the last of these runs out: each is complete, so one that is current is enough."""
    return max(_window(crl)[1] for crl in lists)


def _check_usable(crl: x509.CertificateRevocationList) -> None:
    who = f"the revocation list of {crl.issuer.rfc4514_string()}"
    if crl.next_update_utc is None:
        raise ValueError(f"{who} does not say when it will be renewed: publish it with nextUpdate")
    try:
        extensions = list(crl.extensions)
        strong = crl.signature_hash_algorithm is None or isinstance(crl.signature_hash_algorithm, _HASHES)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{who} cannot be read: publish it anew") from None
    if any(extension.oid == ExtensionOID.DELTA_CRL_INDICATOR for extension in extensions):
        raise ValueError(f"{who} holds only the changes since an earlier one (delta): use the complete list")
    if any(extension.oid == ExtensionOID.ISSUING_DISTRIBUTION_POINT for extension in extensions):
        raise ValueError(f"{who} covers only some certificates or those of other issuers: use the complete list")
    if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in extensions):
        raise ValueError(f"{who} has a critical extension that is not understood")
    if not strong:
        raise ValueError(f"{who} is signed with a weak hash: use SHA-256 or better")


def _may_sign_lists(issuer: Link) -> bool:
    usage = issuer.find(x509.KeyUsage)
    return not isinstance(usage, x509.KeyUsage) or usage.crl_sign


def _signed_by(crl: x509.CertificateRevocationList, issuer: Link) -> bool:
    try:
        return crl.is_signature_valid(issuer.certificate.public_key())  # type: ignore[arg-type]  # other kinds raise
    except (TypeError, ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
