"""Tokens that an OIDC issuer gave a program: CI jobs, pods. Pure. RFC 7519, RFC 7523 §3, RFC 8725.

They are ID tokens or access tokens by form, so what tells them from a person's is checked: a token that belongs to a
login in a browser (`nonce`, `at_hash`, `auth_time`), renews one, or announces a logout proves no service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.authn.errors import TokenInvalid
from proxy.authn.keys import KeySet
from proxy.authn.tokens import Header, verify_signature
from proxy.authn.workload.compact import check_audience, check_times
from proxy.authn.workload.required import RequiredClaims
from proxy.authn.workload.service_name import ServiceName
from proxy.authn.workload.svid import Proved
from proxy.model.claims import MISSING, look_up
from proxy.model.identity import Identity
from proxy.settings.schema import TokenIssuer

TYPES = frozenset({"", "jwt", "application/jwt", "at+jwt", "application/at+jwt"})  # the last two: RFC 9068 §2.1
_OF_A_LOGIN = ("nonce", "at_hash", "c_hash", "s_hash", "auth_time")
_OTHER_KINDS = frozenset({"ID", "Refresh", "Offline", "Logout"})  # what Keycloak writes into the claim `typ`
_MAX_TEXT = 512
_MAX_LIST = 20


class Federation:
    """What one issuer's tokens are held against. Raises `ValueError` for a pattern or requirement that cannot work."""

    def __init__(self, settings: TokenIssuer) -> None:
        self.settings = settings
        self._name = ServiceName(settings.service)
        self._required = RequiredClaims(settings.claims)
        self._kept = tuple(dict.fromkeys(("sub", *self._name.claims, *settings.claims)))

    def verify(self, text: str, header: Header, keys: KeySet, now: float) -> Proved:
        """Who this token, whose form is acceptable, proves. Raises `TokenInvalid`, `UnknownKey`."""
        claims = verify_signature(text, header, keys)
        if claims.get("iss") != self.settings.issuer:
            raise TokenInvalid("iss is not exactly the configured issuer")
        check_audience(claims, self.settings.audiences)
        lifetime = check_times(claims, now, self.settings.longest)
        _check_kind(claims)
        self._required.check(claims)
        return Proved(self._identity(claims), lifetime.ends, _jti(claims))

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        """Rules, the record and apps see one name, with the issuer in front. `claims`: those it was judged by."""
        kept = {name: value for name in self._kept if _is_plain(value := look_up(claims, name))}
        issuer = self.settings.name
        return Identity(
            kind="service", subject=f"{issuer}:{self._name.name_from(claims)}", provider=issuer, claims=kept
        )


def _check_kind(claims: Mapping[str, Any]) -> None:
    for name in _OF_A_LOGIN:
        if name in claims:
            raise TokenInvalid(f"the token belongs to a person's login ({name})")
    if "events" in claims:
        raise TokenInvalid("a security event token proves nobody")
    if claims.get("typ") in _OTHER_KINDS or claims.get("token_use", "access") != "access":
        raise TokenInvalid("this is another kind of token (typ, token_use)")


def _jti(claims: Mapping[str, Any]) -> str:
    jti = claims.get("jti", "")
    if not isinstance(jti, str) or len(jti) > 255 or (not jti and "jti" in claims):
        raise TokenInvalid("jti must be a short text")
    return jti


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= _MAX_LIST and all(_is_scalar(item) for item in value)
    return value is not MISSING and _is_scalar(value)


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _MAX_TEXT)
