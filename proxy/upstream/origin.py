"""What a `to:` URL means: where to connect, with or without TLS, and under which name."""

from __future__ import annotations

import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from proxy.settings.schema import UpstreamTls


class OriginUnusable(Exception):
    """An upstream address or its TLS files cannot be used; the message says which and why."""


class Origin(NamedTuple):
    """An address to connect to. Two routes with equal origins share a pool; `tls` is the key, `context` follows it."""

    text: str  # as in the configuration, for messages and metrics
    host: str
    port: int
    path: str  # of a Unix socket; "" otherwise
    authority: bytes  # what Host says when it is rewritten
    tls: UpstreamTls | None
    authorities: str = ""  # PEM certificates: the bundle of the trust domain in tls.spiffe_id

    @property
    def key(self) -> tuple[object, ...]:
        """What makes connections interchangeable."""
        return (self.host, self.port, self.path, self.tls)


def parse_origin(url: str, tls: UpstreamTls, authorities: str = "") -> Origin:
    """`http://host[:port]`, `https://host[:port]` or `unix:/path`. `authorities` as in Origin.

    Raises OriginUnusable.
    """
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise OriginUnusable(f"{url}: write unix:/absolute/path")
        return Origin(url, "", 0, path, b"localhost", None)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OriginUnusable(f"{url}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise OriginUnusable(f"{url}: write http://host:port, https://host:port or unix:/path")
    secure = parts.scheme == "https"
    authority = parts.netloc.rpartition("@")[2].encode("idna" if not parts.netloc.isascii() else "ascii")
    return Origin(
        url, parts.hostname, port or (443 if secure else 80), "", authority, tls if secure else None, authorities
    )


def context_of(tls: UpstreamTls, authorities: str = "") -> ssl.SSLContext:
    """A verifying client context: own authorities or the system's, and our certificate if there is one.

    With a SPIFFE ID to expect, only `authorities` count, and the name is `peer_identity`'s to verify.
    """
    try:
        context = _of_trust_domain(tls, authorities) if tls.spiffe_id else ssl.create_default_context(cafile=tls.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(file for file in (tls.ca, tls.cert, tls.key) if file)
        raise OriginUnusable(f"{files}: {error.strerror or error}") from None
    return context


def _of_trust_domain(tls: UpstreamTls, authorities: str) -> ssl.SSLContext:
    if not authorities:
        raise OriginUnusable(f"{tls.spiffe_id}: the bundle of its trust domain has no X.509 authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the SPIFFE ID is the name
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # each authority in a bundle is one by itself
    context.load_verify_locations(cadata=authorities)
    return context
