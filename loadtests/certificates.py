"""Certificates for one run, made with the project's own `proxy.pki`: P-256 throughout, the same for every peer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from proxy.pki import Authority, Issued
from proxy.pki.authority import new_key, private_pem

SERVICE = "spiffe://bench.example/load"


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files. `pair` holds certificate and key together, as HAProxy wants them."""

    ca: Path
    cert: Path
    key: Path
    pair: Path
    client_cert: Path
    client_key: Path


def make(folder: Path, names: tuple[str, ...] = ("localhost", "*.bench.localhost", "127.0.0.1")) -> Certificates:
    """A fresh authority, a server certificate for `names`, and a client certificate for the service `SERVICE`."""
    now = time.time()
    authority = Authority.create("load tests", now=now)
    ca = folder / "ca.crt"
    ca.write_bytes(authority.cert_pem)
    cert, key = _write(authority.server(names, now=now), folder / "server")
    client_cert, client_key = _write(authority.spiffe(SERVICE, now=now), folder / "client")
    pair = folder / "pair.pem"
    pair.write_bytes(cert.read_bytes() + key.read_bytes())
    return Certificates(ca, cert, key, pair, client_cert, client_key)


def _write(issued: Issued, stem: Path) -> tuple[Path, Path]:
    cert, key = stem.with_suffix(".crt"), stem.with_suffix(".key")
    cert.write_bytes(issued.cert_pem)
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)
    return cert, key


def assertion_key(folder: Path) -> Path:
    """A fresh key to sign assertions with."""
    path = folder / "assertion.key"
    path.touch(mode=0o600)
    path.write_bytes(private_pem(new_key()))
    return path
