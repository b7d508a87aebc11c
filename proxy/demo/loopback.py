"""Outbound HTTP inside the demo: `*.localhost` is this machine, and the development authority is trusted.

Browsers and curl know the first by themselves (RFC 6761 section 6.3); programs that ask the system's resolver do not
everywhere.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class LoopbackResolver(AbstractResolver):
    """Resolves `localhost` and everything below it to 127.0.0.1, and nothing else."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the one address. Raises OSError for a name outside `localhost`."""
        if not f".{host}".endswith(".localhost"):
            raise OSError(None, f"the demo talks to this machine only, not to {host}")
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=flags)]

    async def close(self) -> None:
        """Nothing is held."""


def context(ca: Path, cert: Path | None = None) -> ssl.SSLContext:
    """A TLS context that trusts `ca` alone; with `cert` (its key beside it, `.key`) it shows that certificate."""
    made = ssl.create_default_context(cafile=str(ca))
    if cert is not None:
        made.load_cert_chain(str(cert), str(cert.with_suffix(".key")))
    return made


def connector(ca: Path, cert: Path | None = None) -> aiohttp.TCPConnector:
    """A connector for `aiohttp.ClientSession`; call it inside a running loop."""
    return aiohttp.TCPConnector(
        resolver=LoopbackResolver(), ssl=context(ca, cert), family=socket.AF_INET, use_dns_cache=False
    )
