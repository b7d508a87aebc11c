"""The demo's keys and certificates: made when absent, made anew when about to expire, otherwise left alone."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography import x509

from proxy.pki import CertificateFolder, PkiError
from proxy.pki.authority import DAY, new_key, private_pem
from proxy.pki.files import PRIVATE, locked, write_atomically
from proxy.pki.folder import ROLES, Role

TITLE = "Ostiary demo"
SERVER_NAMES = ("*.apps.localhost", "login.apps.localhost")
SERVICES = {
    "billing": "spiffe://example.org/billing",
    "deploy": "spiffe://example.org/ci/deploy",
    "retired": "spiffe://example.org/retired",
}
REVOKED = "retired"
_SOON = 7 * DAY
_AUTHORITY_SOON = 100 * DAY  # longer than what it issues lives


def ensure(path: Path, *, now: float) -> list[str]:
    """Make what is missing in the folder `path`; return a line for each thing made. Raises PkiError or OSError."""
    path.mkdir(parents=True, exist_ok=True)
    with locked(path / ".demo-lock"):
        folder = CertificateFolder(path)
        done = _authorities(folder, now)
        if _stale(folder, "apps", now):
            folder.server(SERVER_NAMES, now=now, file="apps", force=True)
            done.append("apps.crt: the proxy's certificate for *.apps.localhost")
        for file, name in SERVICES.items():
            if _stale(folder, file, now):
                entry = folder.spiffe(name, now=now, file=file, force=True)
                if file == REVOKED:
                    folder.revoke(entry.serial, now=now)
                done.append(f"{file}.crt: {name}" + (", revoked at once" if file == REVOKED else ""))
        for role in ROLES:
            folder.crl(role, now=now)
        if not (path / "assertion.key").exists():
            write_atomically(path / "assertion.key", private_pem(new_key()), mode=PRIVATE)
            done.append("assertion.key: signs X-Ostiary-Assertion")
    return done


def new_client_secret(path: Path) -> str:
    """Make the secret that the proxy and the provider share, for this run."""
    secret = secrets.token_urlsafe(32)
    write_atomically(path, secret.encode(), mode=PRIVATE)
    return secret


def _authorities(folder: CertificateFolder, now: float) -> list[str]:
    try:
        both = [folder.authority(role).certificate for role in ROLES]
    except PkiError:
        if any(folder.path.glob("*-ca.*")):
            raise  # half of an authority, or an unreadable one: not ours to replace
        folder.init(now=now, name=TITLE, domains=["localhost"])
        return ["servers-ca.crt, clients-ca.crt: two private authorities, good for names below localhost only"]
    if min(one.not_valid_after_utc.timestamp() for one in both) - now > _AUTHORITY_SOON:
        return []
    if TITLE not in both[0].subject.rfc4514_string():
        raise PkiError(f"the authority in {folder.path} expires soon and was not made by the demo: renew it yourself")
    folder.init(now=now, name=TITLE, domains=["localhost"], force=True)
    return ["servers-ca.crt, clients-ca.crt: made anew, the old ones were about to expire; trust the new one"]


def _stale(folder: CertificateFolder, file: str, now: float) -> bool:
    """Whether a certificate is missing, unreadable, about to expire or from another authority."""
    role: Role = "servers" if file == "apps" else "clients"
    try:
        certificate = x509.load_pem_x509_certificate((folder.path / f"{file}.crt").read_bytes())
        certificate.verify_directly_issued_by(folder.authority(role).certificate)
    except PkiError:
        raise
    except Exception:  # noqa: BLE001 -- any trouble with the old one is answered by a new one
        return True
    ends = certificate.not_valid_after_utc.timestamp()
    return ends - now < _SOON or not (folder.path / f"{file}.key").exists()
