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

    @property
    def key(self) -> tuple[object, ...]:
        """What makes connections interchangeable."""
        return (self.host, self.port, self.path, self.tls)


def parse_origin(url: str, tls: UpstreamTls) -> Origin:
    """`http://host[:port]`, `https://host[:port]` or `unix:/path`. Raises OriginUnusable."""
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
    return Origin(url, parts.hostname, port or (443 if secure else 80), "", authority, tls if secure else None)


def context_of(tls: UpstreamTls) -> ssl.SSLContext:
    """A verifying client context: own authorities or the system's, and our certificate if there is one."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(file for file in (tls.ca, tls.cert, tls.key) if file)
        raise OriginUnusable(f"{files}: {error.strerror or error}") from None
    return context
