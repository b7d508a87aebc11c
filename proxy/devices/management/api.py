"""Calls to a management system: where, as whom, how often again, and how much of an answer is read.

A call that meets 429 or 503 waits as long as it is told, within bounds, and tries again; one that meets 401 gets a new
token, once. Nothing follows a redirect or a link to another origin: the token goes to the configured address alone.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, sock_connect=10)
_MAX_BODY: Final = 64 * 1024 * 1024  # bytes of one page
_CHUNK: Final = 256 * 1024
_TRIES: Final = 5
_LONGEST_WAIT: Final = 120.0  # seconds between two tries
_EARLY: Final = 60.0  # seconds before its end at which a token is renewed

Sleep = Callable[[float], Awaitable[object]]


class ManagementUnavailable(Exception):
    """A system does not answer as it should; asked again at the next turn. The text holds no token."""


class Token(NamedTuple):
    """An access token, and when it ends, seconds since the epoch."""

    value: str
    ends: float

    def __repr__(self) -> str:
        return f"Token(ends={self.ends})"


class Credentials(NamedTuple):
    """How to get a token: the OAuth client credentials grant (RFC 6749 §4.4), with the client in the form."""

    url: str
    client_id: str
    secret: str
    scope: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.url!r}, {self.client_id!r})"


class Api:
    """One system's API under `base`. `access`: a lasting token, or how to get one. `clock`: seconds since the epoch."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        base: str,
        access: str | Credentials,
        *,
        ca: str | None,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.base = base.rstrip("/")
        self._http = http
        self._access = access
        self._clock = clock
        self._sleep = sleep
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca) if ca else True
        self._token: Token | None = None

    async def get(
        self, path: str, params: Mapping[str, str | list[str]] | None = None, *, absent: bool = False
    ) -> dict[str, Any]:
        """GET an object under `base`, or at an address of the same origin. With `absent`, 404 means that there is
        nothing: {}. Raises ManagementUnavailable."""
        return await self._call("GET", self._at(path), absent=absent, params=_flat(params or {}))

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST JSON, get an object. Raises ManagementUnavailable."""
        return await self._call("POST", self._at(path), json=body)

    def _at(self, path: str) -> str:
        if path.startswith("/"):
            return self.base + path
        try:
            ours, theirs = urlsplit(self.base), urlsplit(path)
        except ValueError:
            raise ManagementUnavailable(f"{self.base} leads to what is no address") from None
        if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc):
            raise ManagementUnavailable(f"{self.base} leads to another place, which is not followed")
        return path

    async def _call(self, method: str, url: str, *, absent: bool = False, **more: Any) -> dict[str, Any]:
        renewed = False
        wait = 1.0
        for _ in range(_TRIES):
            headers = {"Authorization": f"Bearer {await self._bearer()}"}
            status, told, body = await self._once(method, url, headers, **more)
            if status == 401 and not renewed and isinstance(self._access, Credentials):
                renewed, self._token = True, None
                continue
            if status in (429, 503):
                await self._sleep(min(_LONGEST_WAIT, _asked_for(told, self._clock()) or wait))
                wait *= 2
                continue
            if absent and status == 404:
                return {}
            if not 200 <= status < 300:
                raise ManagementUnavailable(f"{_where(url)}: status {status}")
            return _object(body, url)
        raise ManagementUnavailable(f"{_where(url)}: asks to wait again and again")

    async def _bearer(self) -> str:
        access = self._access
        if isinstance(access, str):
            return access
        if self._token is None or self._clock() >= self._token.ends - _EARLY:
            form = {"grant_type": "client_credentials", "client_id": access.client_id, "client_secret": access.secret}
            form |= {"scope": access.scope} if access.scope else {}
            status, _, body = await self._once("POST", access.url, {}, data=form)
            if not 200 <= status < 300:
                raise ManagementUnavailable(f"{_where(access.url)}: status {status} for our credentials")
            self._token = _token(_object(body, access.url), self._clock(), access.url)
        return self._token.value

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], **more: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        try:
            async with self._http.request(
                method, url, headers=sent, ssl=self._tls, timeout=_TIMEOUT, allow_redirects=False, **more
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK):
                    body += chunk
                    if len(body) > _MAX_BODY:
                        raise ManagementUnavailable(f"{_where(url)}: the answer is larger than {_MAX_BODY} bytes")
                return response.status, response.headers, bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ManagementUnavailable(f"{_where(url)}: {type(error).__name__}") from None


def _flat(params: Mapping[str, str | list[str]]) -> list[tuple[str, str]]:
    return [(name, one) for name, value in params.items() for one in ([value] if isinstance(value, str) else value)]


def _asked_for(headers: Mapping[str, str], now: float) -> float:
    """Seconds to wait by Retry-After (RFC 9110 §10.2.3), or CrowdStrike's X-RateLimit-RetryAfter; 0 when not told."""
    told = headers.get("Retry-After", "")
    if told.isascii() and told.isdigit():
        return max(1.0, float(told[:6]))
    until = headers.get("X-RateLimit-RetryAfter", "")
    if until.isascii() and until.isdigit():
        return max(1.0, float(until[:12]) - now)
    try:
        return max(1.0, parsedate_to_datetime(told).timestamp() - now) if told else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _object(body: bytes, url: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ManagementUnavailable(f"{_where(url)}: the answer is not JSON") from None
    if not isinstance(value, dict):
        raise ManagementUnavailable(f"{_where(url)}: the answer is no JSON object")
    return value


def _token(answer: Mapping[str, Any], now: float, url: str) -> Token:
    value, lifetime = answer.get("access_token"), answer.get("expires_in", 300)
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise ManagementUnavailable(f"{_where(url)}: there is no usable access token in the answer")
    seconds = lifetime if isinstance(lifetime, int) and not isinstance(lifetime, bool) else 300
    return Token(value, now + max(0, min(seconds, 86_400)))


def _where(url: str) -> str:
    return url.partition("?")[0]


def rows(answer: Mapping[str, Any], name: str, url: str) -> list[dict[str, Any]]:
    """The objects in the list `name` of an answer. Raises ManagementUnavailable when there is no list."""
    listed = answer.get(name)
    if not isinstance(listed, list):
        raise ManagementUnavailable(f"{url}: the answer has no list “{name}”")
    return [row for row in listed if isinstance(row, dict)]
