"""The tokens the provider signs: ID tokens (OpenID Connect Core section 2) and logout tokens (Back-Channel Logout
section 2.4). RS256 with a key that lives as long as the provider does."""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from proxy.demo.idp.ledger import TOKEN_LIFETIME, Grant, Login
from proxy.demo.idp.people import Person

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class TokenSigner:
    """Signs for one issuer and one client."""

    def __init__(self, issuer: str, client_id: str) -> None:
        """Make the key."""
        self._issuer = issuer
        self._client_id = client_id
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public: dict[str, Any] = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        # RFC 7638: the required members, sorted, without blanks.
        thumb = json.dumps({name: public[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
        self._kid = urlsafe_b64encode(hashlib.sha256(thumb.encode()).digest()).rstrip(b"=").decode()
        self._jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self._kid, "n": public["n"], "e": public["e"]}

    def jwks(self) -> dict[str, Any]:
        """The published key set."""
        return {"keys": [self._jwk]}

    def id_token(self, grant: Grant, person: Person, access_token: str, now: float, *, first: bool) -> str:
        """The ID token. `nonce` is in the `first` one only (OpenID Connect Core section 12.2)."""
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": person.sub,
            "aud": self._client_id,
            "iat": int(now),
            "exp": int(now) + TOKEN_LIFETIME,
            "auth_time": grant.login.auth_time,
            "acr": grant.login.acr,
            "amr": list(grant.login.amr),
            "sid": grant.login.sid,
            "at_hash": _half_hash(access_token),
            **person.claims(grant.request.scope),
        }
        if first and grant.request.nonce is not None:
            claims["nonce"] = grant.request.nonce
        return self._sign(claims, "JWT")

    def logout_token(self, login: Login, now: float) -> str:
        """The token that tells the client that a login has ended."""
        claims = {
            "iss": self._issuer,
            "sub": login.sub,
            "aud": self._client_id,
            "iat": int(now),
            "exp": int(now) + 120,
            "jti": secrets.token_urlsafe(16),
            "sid": login.sid,
            "events": {LOGOUT_EVENT: {}},
        }
        return self._sign(claims, "logout+jwt")

    def hinted_sid(self, id_token: str) -> str | None:
        """The `sid` of an ID token we signed, however old (RP-Initiated Logout section 2); None for anything else."""
        options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "aud", "sid"]}
        try:
            claims = jwt.decode(
                id_token,
                self._key.public_key(),
                algorithms=["RS256"],
                issuer=self._issuer,
                audience=self._client_id,
                options=options,
            )
        except jwt.PyJWTError:
            return None
        return str(claims["sid"])

    def _sign(self, claims: dict[str, Any], kind: str) -> str:
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._kid, "typ": kind})


def _half_hash(text: str) -> str:
    """`at_hash`: the left half of the SHA-256 (OpenID Connect Core section 3.1.3.6)."""
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()
