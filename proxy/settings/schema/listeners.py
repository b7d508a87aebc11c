"""Where the proxy listens."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from proxy.settings.schema.base import Strict


class CertificatePair(Strict, frozen=True, kw_only=True):
    """A certificate chain and its private key, both PEM files; chosen by SNI from the names in the certificate."""

    cert: str
    key: str


class Tls(Strict, frozen=True, kw_only=True):
    """TLS of a listener. `client_ca` makes the listener ask for a client certificate; routes decide who needs one."""

    certificates: Annotated[tuple[CertificatePair, ...], Meta(min_length=1)]
    client_ca: str | None = None
    client_crl: tuple[str, ...] = ()  # PEM or DER revocation lists, read again when they change
    client_certificate: Literal["optional", "required"] = "optional"
    min_version: Literal["1.2", "1.3"] = "1.2"


class Listener(Strict, frozen=True, kw_only=True):
    """One address to listen on. With `tls` it serves the routes; without, it only redirects to https,
    unless `cleartext: proxy` says that TLS ends in front of it (loopback or with `trusted_proxies` only)."""

    address: str  # host:port, [v6]:port
    tls: Tls | None = None
    cleartext: Literal["redirect", "proxy"] = "redirect"
    trusted_proxies: tuple[str, ...] = ()  # CIDRs whose X-Forwarded-For is believed; none by default
