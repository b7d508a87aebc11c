"""Whether each client CA that is named has a revocation list, once any list is named."""

from __future__ import annotations

from cryptography import x509

from proxy.settings.document import Document
from proxy.settings.reading import read_regular
from proxy.settings.schema import Configuration, Tls

_LARGEST = 16 * 1024 * 1024


def check_lists(document: Document, configuration: Configuration) -> None:
    """Warn of authorities in `client_ca` that `client_crl` says nothing of: all their certificates are refused.

    Intermediate CAs need a list too, but only clients show them; `authn.revocation` refuses those without.
    """
    for index, listener in enumerate(configuration.listeners):
        if listener.tls is None or listener.tls.client_ca is None or not listener.tls.client_crl:
            continue
        for name in _without_list(listener.tls, listener.tls.client_ca):
            document.problem(
                ("listeners", index, "tls", "client_crl"),
                f"no revocation list of {name}: every certificate of that authority is refused",
                "name its list too; intermediate authorities need theirs as well",
                severity="warning",
            )


def _without_list(tls: Tls, client_ca: str) -> list[str]:
    try:
        named = {_list(read_regular(file, _LARGEST)).issuer for file in tls.client_crl}
        authorities = x509.load_pem_x509_certificates(read_regular(client_ca, _LARGEST))
    except (OSError, ValueError):
        return []  # reported by whoever checks the files themselves
    missing = (each.subject.rfc4514_string() for each in authorities if each.subject not in named)
    return list(dict.fromkeys(missing))


def _list(data: bytes) -> x509.CertificateRevocationList:
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)
