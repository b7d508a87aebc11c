"""Who an upstream is, by the certificate it showed: its SPIFFE ID instead of a DNS name. SPIFFE X509-SVID §5.

OpenSSL has verified the chain to the bundle of the trust domain (signatures, times, serverAuth); here the leaf is held
to the rules for SVIDs and its one name is compared.
"""

from __future__ import annotations

from cryptography import x509


class WrongPeer(Exception):
    """The upstream is somebody else than was configured, or shows no proper SVID."""


def check_spiffe_id(certificate: bytes | None, expected: str) -> None:
    """Whether this certificate (DER) is an X.509-SVID with exactly the SPIFFE ID `expected`. Raises WrongPeer."""
    if certificate is None:
        raise WrongPeer("it shows no certificate")
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        extensions = leaf.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise WrongPeer("its certificate is no X.509-SVID") from None
    if _is_authority(extensions) or not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise WrongPeer("its certificate is that of an authority, or not meant for signatures")
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [expected]:
        raise WrongPeer(f"it is not {expected}")


def _is_authority(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
