"""Certificates: a small private authority, what it issues, what it revokes, and the folder it all lives in.

Owns X.509 issuing (P-256), revocation lists and the `certs/` folder with its index. `authority` works in memory and
takes the time as a parameter; `folder` is the only module that touches files. Must not know: the configuration, the
proxy, how a certificate is checked when somebody presents it (that is `authn/mtls.py`).
To add a kind of certificate: a method in `authority.py`, and a command in `cli/certs.py`.
"""

from proxy.pki.authority import Authority, Issued, Revocation
from proxy.pki.errors import PkiError
from proxy.pki.folder import CertificateFolder, Entry
from proxy.pki.names import dns_name, spiffe_id

__all__ = [
    "Authority",
    "CertificateFolder",
    "Entry",
    "Issued",
    "PkiError",
    "Revocation",
    "dns_name",
    "spiffe_id",
]
