"""A pretended CI system: an OIDC issuer that gives every job a token saying which repository and branch it runs for.

As GitHub Actions and GitLab do, but anybody may ask: development only, loopback only, started by `ostiary demo` only.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from proxy.demo.launch import Refused, serve_until_told, settings_from
from proxy.demo.programs import CiLaunch

TOKEN_LIFETIME = 300  # seconds


class Issuer:
    """Signs job tokens with a key that lives as long as the issuer does. `clock` gives seconds since the epoch."""

    def __init__(self, issuer: str, clock: Callable[[], float]) -> None:
        self.issuer = issuer
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        public: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        # RFC 7638: the required members, sorted, without blanks.
        thumb = json.dumps({name: public[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        self._kid = urlsafe_b64encode(hashlib.sha256(thumb.encode()).digest()).rstrip(b"=").decode()
        self._jwk = public | {"use": "sig", "alg": "ES256", "kid": self._kid}

    def application(self) -> web.Application:
        """Discovery, keys, and the address where a job gets its token."""
        application = web.Application()
        application.router.add_get("/.well-known/openid-configuration", self._discovery)
        application.router.add_get("/jwks", self._jwks)
        application.router.add_get("/token", self._token)
        return application

    async def _discovery(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )

    async def _jwks(self, request: web.Request) -> web.Response:
        return web.json_response({"keys": [self._jwk]})

    async def _token(self, request: web.Request) -> web.Response:
        """`?audience=…&repository=acme/shop&ref=refs/heads/main`: the token, as text."""
        repository = request.query.get("repository", "acme/shop")
        ref = request.query.get("ref", "refs/heads/main")
        now = int(self._clock())
        claims = {
            "iss": self.issuer,
            "sub": f"repo:{repository}:ref:{ref}",
            "aud": request.query.get("audience", ""),
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_LIFETIME,
            "jti": secrets.token_urlsafe(16),
            "repository": repository,
            "ref": ref,
        }
        token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._kid})
        return web.Response(text=token + "\n", headers={"Cache-Control": "no-store"})


async def main(launch: CiLaunch) -> None:
    """Serve until told to stop."""
    issuer = Issuer(f"http://{launch.host}:{launch.port}", time.time)
    await serve_until_told(issuer.application(), launch.host, launch.port)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="ci: %(message)s")
    try:
        asyncio.run(main(settings_from(sys.stdin.buffer, os.environ, CiLaunch)))
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"CI issuer: {error}\n")
        sys.exit(1)
