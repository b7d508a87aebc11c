"""Who is calling: `X-Ostiary-Assertion`, verified against the proxy's published keys.

This is all an app has to do. The rest of this file is caching the key set.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import jwt
from aiohttp import web
from aiohttp.typedefs import Handler

HEADER = "X-Ostiary-Assertion"
_REFETCH = 10.0  # seconds between two looks at the key set for a key we do not know


class NotVerified(Exception):
    """There is no assertion, or it is not good. The message says why."""


class CallerVerifier:
    """Verifies assertions meant for one app."""

    def __init__(self, http: aiohttp.ClientSession, *, jwks: str, issuer: str, audience: str) -> None:
        """`issuer` is the proxy's login URL, `audience` this app's own origin (the route's `from`)."""
        self._http = http
        self._jwks = jwks
        self._issuer = issuer
        self._audience = audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = -_REFETCH

    async def verify(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return the claims: `sub`, `email`, `groups`, … Raises NotVerified."""
        token = headers.get(HEADER)
        if token is None:
            raise NotVerified(f"no {HEADER}: this request did not come through Ostiary")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != "ostiary+jwt":
                raise NotVerified("this token is no identity assertion (typ)")
            claims: dict[str, Any] = jwt.decode(
                token,
                await self._key(str(header.get("kid"))),
                algorithms=["ES256"],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iat", "nbf", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise NotVerified(f"the assertion is not good: {error}") from error
        return claims

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys and time.monotonic() - self._fetched >= _REFETCH:
            self._fetched = time.monotonic()
            await self._fetch()
        if kid not in self._keys:
            raise NotVerified("the assertion is signed with a key that is not published")
        return self._keys[kid]

    async def _fetch(self) -> None:
        try:
            async with self._http.get(self._jwks) as response:
                response.raise_for_status()
                self._keys = {str(key.key_id): key for key in jwt.PyJWKSet.from_dict(await response.json()).keys}
        except (aiohttp.ClientError, TimeoutError, ValueError, jwt.PyJWTError) as error:
            self._fetched = -_REFETCH  # not an answer: ask again at the next request
            raise NotVerified(f"the published keys cannot be read: {error}") from error


VERIFIER = web.AppKey("verifier", CallerVerifier)
CLAIMS = web.RequestKey("claims", dict[str, Any])


def only_through_ostiary(*public: str) -> Any:
    """Middleware: answer nobody without a good assertion, but on the `public` paths."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in public:
            try:
                request[CLAIMS] = await request.app[VERIFIER].verify(request.headers)
            except NotVerified as error:
                return web.json_response({"error": str(error)}, status=401)
        return await handler(request)

    return check
