"""An OpenID provider on a real loopback socket that tells the truth, or the one lie it was told to tell.

A lie is a mapping (see lies.yaml): `discovery`, `keys`, `token_answer`, `userinfo`, `header` and `claims` change what
is sent (null removes a member, "now+60" is a time); `signing` says how the ID token is signed; `token` reshapes it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from typing import Any, Self

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = 1_800_000_000.0
CLIENT = "ostiary"
SECRET = b"s3cret with/odd+characters:"
NONCE = "the-nonce-of-this-login"

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ROGUE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SIGNERS = {"RS256": RSA, "PS256": RSA, "ES256": EC, "EdDSA": ED}


def jwk(key: Any, kind: str, **more: Any) -> dict[str, Any]:
    """The public half of a private key as a JWK."""
    algorithm = jwt.get_algorithm_by_name(kind)
    return {**json.loads(algorithm.to_jwk(key.public_key())), **more}


KEYS = [
    jwk(RSA, "RS256", kid="rsa", use="sig"),
    jwk(EC, "ES256", kid="ec", use="sig", alg="ES256"),
    jwk(ED, "EdDSA", kid="ed", use="sig"),
]
KIDS = {"RS256": "rsa", "PS256": "rsa", "ES256": "ec", "EdDSA": "ed"}


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def changed(truth: dict[str, Any], lie: dict[str, Any] | None) -> dict[str, Any]:
    """The truth with members replaced, added, or (null) removed; "now±N" becomes a time."""
    result = {**truth, **{name: moment(value) for name, value in (lie or {}).items()}}
    return {name: value for name, value in result.items() if value is not None}


def moment(value: Any) -> Any:
    """A time written as "now", "now+60" or "now-3600"; anything else as it is."""
    match = re.fullmatch(r"now([+-]\d+)?", value) if isinstance(value, str) else None
    return int(NOW) + int(match.group(1) or 0) if match else value


class LyingProvider:
    """`lie` may be changed at any time; `requests` records what came in as (path, form, authorization header).

    While `open` is not set, nobody gets the signing keys: they wait.
    """

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self._came = asyncio.Event()
        self.lie: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.keys: list[dict[str, Any]] = KEYS
        self.nonce: str | None = NONCE
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/keys", self._keys)
        app.router.add_post("/token", self._token)
        app.router.add_get("/userinfo", self._userinfo)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        self.issuer = f"http://127.0.0.1:{self._server.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def asked(self, path: str) -> int:
        """How many requests came in for `path`."""
        return sum(request[0] == path for request in self.requests)

    def honest_claims(self) -> dict[str, Any]:
        """The claims of an honest ID token, save at_hash."""
        return {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "u-1",
            "exp": int(NOW) + 300,
            "iat": int(NOW),
            "auth_time": int(NOW) - 10,
            "nonce": self.nonce,
            "email": "Ann@Example.COM",
            "email_verified": True,
            "name": "Ann",
            "groups": ["sre", "staff"],
            "sid": "provider-session-1",
        }

    async def until_asked(self, path: str, times: int) -> None:
        """Wait until so many requests came to `path`."""
        while self.asked(path) < times:
            self._came.clear()
            await self._came.wait()

    def id_token(self, access_token: str = "at-1", lie: dict[str, Any] | None = None) -> str:
        """An ID token as the current lie wants it."""
        lie = self.lie if lie is None else lie
        at_hash = b64(hashlib.sha256(access_token.encode()).digest()[:16])
        claims = changed({**self.honest_claims(), "at_hash": at_hash}, lie.get("claims"))
        return reshaped(self.sign(claims, lie.get("header"), lie.get("signing", "RS256")), lie.get("token"))

    def logout_token(self, lie: dict[str, Any]) -> str:
        """A back-channel logout token as `lie` wants it."""
        truth = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "u-1",
            "sid": "provider-session-1",
            "iat": int(NOW),
            "exp": int(NOW) + 120,
            "jti": "jti-1",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }
        header = changed({"typ": "logout+jwt"}, lie.get("header"))
        token = self.sign(changed(truth, lie.get("claims")), header, lie.get("signing", "RS256"))
        return reshaped(token, lie.get("token"))

    def sign(self, claims: dict[str, Any], header: dict[str, Any] | None, how: str) -> str:
        """`how`: an algorithm; or none, hmac-with-public-key, hmac-with-empty-key, rogue-key, small-key."""
        alg = {"none": "none", "rogue-key": "RS256", "small-key": "RS256"}.get(how, how)
        alg = "HS256" if how.startswith("hmac") else alg
        kid = {"small-key": "small"}.get(how, KIDS.get(alg, "rsa"))
        full = changed({"alg": alg, "kid": kid}, header)
        parts = f"{b64(json.dumps(full).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{parts}.{b64(self._signature(parts.encode(), how))}"

    def _signature(self, signed: bytes, how: str) -> bytes:
        if how == "none":
            return b""
        if how.startswith("hmac"):
            public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return hmac.digest(public if how == "hmac-with-public-key" else b"", signed, "sha256")
        key = {"rogue-key": ROGUE, "small-key": SMALL_RSA}.get(how) or SIGNERS[how]
        return jwt.get_algorithm_by_name("RS256" if how.endswith("key") else how).sign(signed, key)

    async def _discovery(self, request: web.Request) -> web.StreamResponse:
        self._record(request, {})
        truth = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout?tenant=1",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": ["openid", "email", "profile", "groups"],
            "authorization_response_iss_parameter_supported": True,
        }
        return self._answer("discovery", truth)

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        self._record(request, {})
        await self.open.wait()
        return self._answer("keys", {"keys": self.keys})

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self._record(request, form)
        truth = {
            "access_token": "at-1",
            "token_type": "Bearer",
            "expires_in": 300,
            "refresh_token": "rt-2" if form["grant_type"] == "refresh_token" else "rt-1",
            "id_token": self.id_token(),
        }
        return self._answer("token_answer", truth)

    async def _userinfo(self, request: web.Request) -> web.StreamResponse:
        self._record(request, {})
        return self._answer("userinfo", {"sub": "u-1"})

    def _record(self, request: web.Request, form: dict[str, str]) -> None:
        self.requests.append((request.path, form, request.headers.get("Authorization", "")))
        self._came.set()

    def _answer(self, what: str, truth: dict[str, Any]) -> web.StreamResponse:
        """A lie about a document may also be `status`, `raw` (the body), `size` (so many bytes) or `location`."""
        lie = dict(self.lie.get(what) or {})
        status, raw, size = lie.pop("status", 200), lie.pop("raw", None), lie.pop("size", 0)
        headers = {"Location": lie.pop("location")} if "location" in lie else {}
        encoding = lie.pop("encoding", None)
        if encoding:
            headers["Content-Encoding"] = encoding
        if lie.pop("replace", False):
            truth = {}
        filled = {
            name: value.replace("{issuer}", self.issuer) if isinstance(value, str) else value
            for name, value in lie.items()
        }
        body = json.dumps(changed(truth, filled)) if raw is None else raw
        return web.Response(status=status, text=body + " " * size, headers=headers, content_type="application/json")


def reshaped(token: str, how: str | None) -> str:
    """The same token in a form that must not be accepted."""
    header, payload, signature = token.split(".")
    if how == "json-serialisation":
        return json.dumps({"protected": header, "payload": payload, "signature": signature})
    if how == "padded":
        return f"{header}=.{payload}=.{signature}="
    if how == "without-signature":
        return f"{header}.{payload}."
    if how == "flipped-signature":
        return f"{header}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    if how == "four-parts":
        return f"{token}.{signature}"
    if how == "enormous":
        return f"{header}.{'A' * 70_000}.{signature}"
    if how in ("claim-twice", "header-twice"):
        return _twice(header, payload, in_header=how == "header-twice")
    return token


def _twice(header: str, payload: str, *, in_header: bool) -> str:
    """A correctly signed token whose JSON repeats a name: which one counts depends on the parser."""
    part = header if in_header else payload
    text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
    extra = '"kid": "rsa"' if in_header else '"sub": "admin"'
    changed_part = b64(f"{{{extra}, {text[1:]}".encode())
    signed = f"{changed_part}.{payload}" if in_header else f"{header}.{changed_part}"
    return f"{signed}.{b64(jwt.get_algorithm_by_name('RS256').sign(signed.encode(), RSA))}"
