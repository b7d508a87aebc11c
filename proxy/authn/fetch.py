"""Our own calls to a provider: one place for deadlines, bounds, TLS and the translation of failures.

Redirects are not followed: an endpoint is what discovery says it is, and a redirect could leave TLS or our trust.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from proxy.authn.errors import ProviderUnavailable
from proxy.wire.strict_json import parse_object

TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)
MAX_BODY = 512 * 1024  # bytes; key sets and tokens with many groups stay far below
_CHUNK = 64 * 1024


class Answer(msgspec.Struct, frozen=True):
    """Status and whole body of a bounded response. `repr` leaves the body out: it may hold tokens."""

    status: int
    media_type: str
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, media_type={self.media_type!r}, {len(self.body)} bytes)"

    def json(self) -> dict[str, Any]:
        """The JSON object in the body. Raises `ProviderUnavailable`."""
        try:
            return parse_object(self.body)
        except ValueError as error:
            raise ProviderUnavailable(f"the provider's answer cannot be read: {error}") from None


class Fetcher:
    """Calls one provider over a shared `aiohttp.ClientSession`.

    `ca`: path of a PEM file with the authorities to trust instead of the system's; read once, here.
    """

    def __init__(self, http: aiohttp.ClientSession, ca: str | None) -> None:
        self._http = http
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca) if ca else True

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """GET `url`. Raises `ProviderUnavailable` for no, a broken, an endless or a 5xx/429 answer."""
        return await self._call("GET", url, headers or {}, None)

    async def post_form(self, url: str, body: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """POST an encoded form. Raises as `get` does."""
        form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return await self._call("POST", url, form, body.encode("ascii"))

    async def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        # identity: a compressed answer could grow without bound while we read it
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        where = f"{method} {address(url)}"
        try:
            async with self._http.request(
                method, url, data=body, headers=sent, ssl=self._tls, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                return await _read(response, where)
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError, ValueError) as error:
            raise ProviderUnavailable(f"{where}: {type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse, where: str) -> Answer:
    if response.status >= 500 or response.status == 429:
        raise ProviderUnavailable(f"{where}: status {response.status}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProviderUnavailable(f"{where}: the answer is compressed although we asked for it plain")
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_BODY:
            raise ProviderUnavailable(f"{where}: the answer is larger than {MAX_BODY} bytes")
    return Answer(response.status, response.content_type, bytes(body))


def address(url: str) -> str:
    """`url` without its query, for logs."""
    return url.partition("?")[0].partition("#")[0]


def is_secure(url: str) -> bool:
    """Whether a provider's address may be used: absolute https, or http on this very machine; no userinfo, fragment."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    if parts.username is not None or parts.password is not None or "#" in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
