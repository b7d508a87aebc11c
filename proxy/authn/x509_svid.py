"""X.509-SVIDs: client certificates of a SPIFFE trust domain that has a bundle here. Pure. SPIFFE X509-SVID §4 and §5.

The trust domain in the certificate chooses the authorities, and only those: an authority of one trust domain proves
nothing about another, nor about names outside SPIFFE, so nothing but its SPIFFE ID is taken from an SVID.
"""

from __future__ import annotations

from cryptography import x509

from proxy.authn.certification_path import Link, Path
from proxy.authn.subject_names import NameRefused, is_spiffe_id, subject_names

_SCHEME = "spiffe://"


def trust_domain_of(leaf: Link) -> str:
    """The trust domain that a certificate names; "" when it is no SVID, or a malformed one."""
    try:
        names = subject_names(leaf.find(x509.SubjectAlternativeName))
    except NameRefused:
        return ""
    return names[0][len(_SCHEME) :].partition("/")[0] if names and is_spiffe_id(names[0]) else ""


def keeps_to_domain(path: Path, domain: str) -> bool:
    """Whether the authorities on the path name no other trust domain, and the leaf says what its key is for, as every
    SVID must (§4.3: keyUsage with digitalSignature)."""
    usage = path[0].find(x509.KeyUsage)
    if not isinstance(usage, x509.KeyUsage) or not usage.digital_signature:
        return False
    return all(_is_within(authority, domain) for authority in path[1:])


def _is_within(authority: Link, domain: str) -> bool:
    names = authority.find(x509.SubjectAlternativeName)
    if not isinstance(names, x509.SubjectAlternativeName):
        return authority.extensions is not None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return all(uri == _SCHEME + domain for uri in uris if uri.lower().startswith("spiffe:"))
