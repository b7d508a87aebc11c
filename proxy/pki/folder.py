"""The `certs/` folder: two authorities, what they issued, and the index that remembers it.

    servers-ca.crt  servers-ca.key   signs server certificates; browsers are asked to trust it
    clients-ca.crt  clients-ca.key   signs client certificates; the proxy is told to trust it (`client_ca`)
    servers.crl     clients.crl      what each has revoked
    NAME.crt        NAME.key         what was issued
    index.json                       every certificate ever issued here, so that `list` and `revoke` work

Two authorities, because one that browsers trust must not also be able to make somebody a client, nor the reverse.
Keys are 0600. Every method that changes something holds a lock on the folder and takes the time as a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.pki.authority import AUTHORITY_LIFETIME, CRL_LIFETIME, LEAF_LIFETIME, Authority, Issued, Revocation
from proxy.pki.errors import PkiError
from proxy.pki.files import PRIVATE, PUBLIC, locked, write_atomically

Role = Literal["servers", "clients"]
Kind = Literal["server", "client", "spiffe"]
ROLES: tuple[Role, ...] = ("servers", "clients")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = frozenset({"servers-ca", "clients-ca", "assertion"})


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One issued certificate. Times in seconds since the epoch; `serial` and `sha256` (of the DER) in hex."""

    serial: str
    kind: Kind
    names: tuple[str, ...]
    not_before: float
    not_after: float
    sha256: str
    file: str  # the certificate's file name when it was issued
    revoked: float | None = None

    @property
    def role(self) -> Role:
        """Which authority signed it."""
        return "servers" if self.kind == "server" else "clients"

    def state(self, now: float) -> Literal["valid", "expired", "revoked"]:
        """Whether it is good at `now`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if now > self.not_after else "valid"


class _Index(msgspec.Struct, kw_only=True):
    crl_number: dict[str, int] = msgspec.field(default_factory=dict)
    issued: list[Entry] = msgspec.field(default_factory=list)


class CertificateFolder:
    """A folder of authorities and certificates."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or made yet."""
        self.path = path

    # --- authorities -------------------------------------------------------------------------------------------

    def init(
        self,
        *,
        now: float,
        name: str = "private",
        domains: Sequence[str] = (),
        lifetime: float = AUTHORITY_LIFETIME,
        force: bool = False,
    ) -> None:
        """Make both authorities and their empty revocation lists. `domains` limits the one for servers.

        Raises PkiError when there are some already and not `force`; with `force`, everything issued before becomes
        worthless, and the index starts anew.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            present = [role for role in ROLES if self._path(f"{role}-ca.key").exists()]
            if present and not force:
                raise PkiError(
                    f"{self.path} already has an authority ({present[0]}-ca.key). With --force a new one replaces it; "
                    "every certificate issued before is then worthless"
                )
            index = _Index()
            for role in ROLES:
                limits = domains if role == "servers" else ()
                authority = Authority.create(f"{name} CA for {role}", now=now, lifetime=lifetime, domains=limits)
                write_atomically(self._path(f"{role}-ca.key"), authority.key_pem, mode=PRIVATE)
                write_atomically(self._path(f"{role}-ca.crt"), authority.cert_pem, mode=PUBLIC)
                self._write_crl(role, authority, index, now=now, lifetime=CRL_LIFETIME)
            self._write_index(index)

    def authority(self, role: Role) -> Authority:
        """Read one authority. Raises PkiError when it is missing, unreadable or broken."""
        cert_path, key_path = self._path(f"{role}-ca.crt"), self._path(f"{role}-ca.key")
        try:
            certificate = x509.load_pem_x509_certificate(cert_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except FileNotFoundError as error:
            raise PkiError(
                f"there is no authority in {self.path} ({Path(error.filename).name} is missing). "
                f"Make one: ostiary certs init --dir {self.path}"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise PkiError(f"cannot read the authority in {self.path}: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"{key_path} is not an elliptic-curve key; authorities made here are P-256")
        return Authority(certificate, key)

    # --- issuing -----------------------------------------------------------------------------------------------

    def server(
        self,
        names: Sequence[str],
        *,
        now: float,
        file: str | None = None,
        lifetime: float = LEAF_LIFETIME,
        force: bool = False,
    ) -> Entry:
        """Issue a server certificate for DNS names and addresses. Raises PkiError."""
        return self._issue("server", names, lambda ca: ca.server(names, now=now, lifetime=lifetime), file, force=force)

    def client(
        self, name: str, *, now: float, file: str | None = None, lifetime: float = LEAF_LIFETIME, force: bool = False
    ) -> Entry:
        """Issue a client certificate with a DNS name. Raises PkiError."""
        return self._issue("client", [name], lambda ca: ca.client(name, now=now, lifetime=lifetime), file, force=force)

    def spiffe(
        self, name: str, *, now: float, file: str | None = None, lifetime: float = LEAF_LIFETIME, force: bool = False
    ) -> Entry:
        """Issue a client certificate with a SPIFFE ID. Raises PkiError."""
        return self._issue("spiffe", [name], lambda ca: ca.spiffe(name, now=now, lifetime=lifetime), file, force=force)

    def _issue(
        self, kind: Kind, names: Sequence[str], sign: Callable[[Authority], Issued], file: str | None, *, force: bool
    ) -> Entry:
        if not names:
            raise PkiError("say at least one name that the certificate is for")
        authority = self.authority("servers" if kind == "server" else "clients")
        issued = sign(authority)  # before the lock: a wrong name must not even touch the folder
        stem = file or _stem(names[0])
        if not _FILE_NAME.fullmatch(stem) or stem in _RESERVED:
            raise PkiError(f"{stem!r} cannot be used as a file name here; choose another with --name")
        with self._locked():
            self._refuse_overwrite(stem, force=force)
            index = self._read_index()
            entry = _entry(kind, names, issued.certificate, f"{stem}.crt")
            index.issued.append(entry)
            self._write_index(index)  # first: a certificate that exists is always known, so always revocable
            write_atomically(self._path(f"{stem}.key"), issued.key_pem, mode=PRIVATE)
            write_atomically(self._path(f"{stem}.crt"), issued.cert_pem, mode=PUBLIC)
        return entry

    def _refuse_overwrite(self, stem: str, *, force: bool) -> None:
        taken = [path for end in ("crt", "key") if (path := self._path(f"{stem}.{end}")).exists()]
        if taken and not force:
            raise PkiError(f"{taken[0]} exists. Replace it with --force, or choose another file with --name")

    # --- revoking ----------------------------------------------------------------------------------------------

    def revoke(self, what: str, *, now: float) -> Entry:
        """Revoke the certificate with this serial number (hex) or in this file, and sign a new list at once.

        Returns its entry; revoking twice changes nothing. Raises PkiError when it was not issued here.
        """
        serial = self._serial_of(what)
        with self._locked():
            index = self._read_index()
            position = next((i for i, entry in enumerate(index.issued) if entry.serial == serial), None)
            if position is None:
                raise PkiError(f"no certificate with serial {serial} was issued here: ostiary certs list shows all")
            entry = index.issued[position]
            if entry.revoked is None:
                entry = index.issued[position] = msgspec.structs.replace(entry, revoked=now)
            authority = self.authority(entry.role)
            self._write_crl(entry.role, authority, index, now=now, lifetime=CRL_LIFETIME)
            self._write_index(index)
        return entry

    def crl(self, role: Role, *, now: float, lifetime: float = CRL_LIFETIME) -> Path:
        """Sign a fresh revocation list (do so well before the last one runs out). Returns its path."""
        with self._locked():
            index = self._read_index()
            self._write_crl(role, self.authority(role), index, now=now, lifetime=lifetime)
            self._write_index(index)
        return self._path(f"{role}.crl")

    def entries(self) -> tuple[Entry, ...]:
        """Everything issued here, oldest first. Raises PkiError when the index is unreadable."""
        return tuple(self._read_index().issued)

    def _write_crl(self, role: Role, authority: Authority, index: _Index, *, now: float, lifetime: float) -> None:
        number = index.crl_number[role] = index.crl_number.get(role, 0) + 1
        revoked = [
            Revocation(int(entry.serial, 16), entry.revoked)
            for entry in index.issued
            if entry.role == role and entry.revoked is not None
        ]
        crl = authority.crl(revoked, number=number, now=now, lifetime=lifetime)
        write_atomically(self._path(f"{role}.crl"), crl.public_bytes(serialization.Encoding.PEM), mode=PUBLIC)

    def _serial_of(self, what: str) -> str:
        path = Path(what)
        if path.is_file():
            try:
                return f"{x509.load_pem_x509_certificate(path.read_bytes()).serial_number:x}"
            except ValueError:
                raise PkiError(f"{path} does not hold a PEM certificate") from None
        try:
            return f"{int(what.replace(':', ''), 16):x}"
        except ValueError:
            raise PkiError(f"{what!r} is neither a serial number in hex nor a certificate file") from None

    # --- the index ---------------------------------------------------------------------------------------------

    def _read_index(self) -> _Index:
        path = self._path("index.json")
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Index)
        except FileNotFoundError:
            return _Index()
        except (OSError, msgspec.DecodeError) as error:
            raise PkiError(f"cannot read {path}: {error}. Restore it, it is what `revoke` works from") from error

    def _write_index(self, index: _Index) -> None:
        data = msgspec.json.format(msgspec.json.encode(index), indent=1)
        write_atomically(self._path("index.json"), data + b"\n", mode=PUBLIC)

    def _path(self, name: str) -> Path:
        return self.path / name

    def _locked(self) -> AbstractContextManager[None]:
        if not self.path.is_dir():
            raise PkiError(f"there is no folder {self.path}. Make it and its authorities: ostiary certs init")
        return locked(self._path(".lock"))


def _stem(name: str) -> str:
    """A file name from what the certificate is for: `*.apps.localhost` → wildcard.apps.localhost, SPIFFE → its path."""
    if name.startswith("spiffe://"):
        return "-".join(name.split("/")[3:])
    return name.replace("*", "wildcard").replace(":", "-").lower()


def _entry(kind: Kind, names: Sequence[str], certificate: x509.Certificate, file: str) -> Entry:
    return Entry(
        serial=f"{certificate.serial_number:x}",
        kind=kind,
        names=tuple(names),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        file=file,
    )
