"""The token endpoint: client authentication, and what its answers and errors mean. RFC 6749 §2.3, §5."""

from __future__ import annotations

import base64
import math
from typing import Any, TypeGuard
from urllib.parse import quote_plus, urlencode

import msgspec

from proxy.authn.callback import printable
from proxy.authn.discovery import Metadata
from proxy.authn.errors import LoginRefused, ProviderMisconfigured, ProviderUnavailable
from proxy.authn.fetch import Answer, Fetcher

# Errors that speak about this grant or this person, and will not change by asking again. All others speak about us
# (invalid_client, invalid_scope, …) or about the provider (server_error, …).
_PERMANENT = frozenset(
    {
        "invalid_grant",
        "access_denied",
        "interaction_required",
        "login_required",
        "consent_required",
        "account_selection_required",
    }
)
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a session keeps to renew itself and to log out: secrets, so `repr` shows none. Absent ones are "".

    `nonce` and `sub` are those of the login: a renewed ID token must agree with them.
    """

    access_token: str = ""
    refresh_token: str = ""
    id_token: str = ""
    nonce: str = ""
    sub: str = ""

    def __repr__(self) -> str:
        held = [name for name in ("access_token", "refresh_token", "id_token") if getattr(self, name)]
        return f"Tokens({', '.join(held)})"

    def to_bytes(self) -> bytes:
        """For sealing and storing."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Tokens:
        """The inverse of `to_bytes`. Raises `ValueError`."""
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.DecodeError:
            raise ValueError("these bytes hold no tokens") from None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A successful answer. `expires_in` is in seconds, None when the provider does not say; `repr` is empty."""

    access_token: str
    refresh_token: str = ""
    id_token: str = ""
    expires_in: float | None = None

    def __repr__(self) -> str:
        return "Grant(…)"


class TokenEndpoint:
    """Sends grants with our client authentication."""

    def __init__(self, client_id: str, secret: bytes | None, fetcher: Fetcher) -> None:
        self._client_id = client_id
        self._secret = secret.decode("utf-8") if secret else ""
        self._fetcher = fetcher

    async def request(self, metadata: Metadata, body: str) -> Grant:
        """POST an encoded grant. Raises `LoginRefused` (permanent) or `ProviderUnavailable` (try again later)."""
        extra, headers = self._authentication(metadata)
        if extra:
            body = f"{body}&{urlencode(extra)}"
        answer = await self._fetcher.post_form(metadata.token_endpoint, body, headers=headers)
        if answer.status != 200:
            raise _refusal(answer)
        return _grant(answer.json())

    def _authentication(self, metadata: Metadata) -> tuple[dict[str, str], dict[str, str]]:
        """Form fields and headers. RFC 6749 §2.3.1 has both halves of Basic form-encoded first."""
        if not self._secret:
            return {"client_id": self._client_id}, {}
        if "client_secret_basic" in metadata.token_auth_methods:
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret)}"
            return {}, {"Authorization": "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")}
        if "client_secret_post" in metadata.token_auth_methods:
            return {"client_id": self._client_id, "client_secret": self._secret}, {}
        raise ProviderMisconfigured(
            f"{metadata.issuer} accepts neither client_secret_basic nor client_secret_post: allow one for this client"
        )


def _refusal(answer: Answer) -> Exception:
    try:
        document = answer.json()
    except ProviderUnavailable:
        document = {}
    error = document.get("error")
    if not isinstance(error, str):
        return ProviderMisconfigured(f"the token endpoint answers status {answer.status} without a reason")
    code = printable(error, 60)
    text = document.get("error_description")
    said = f"{code} ({printable(text, 200)})" if isinstance(text, str) and text else code
    if code in _PERMANENT:
        return LoginRefused(f"the provider refused: {said}")
    if code in _PASSING:
        return ProviderUnavailable(f"the provider is in trouble: {said}")
    if code == "invalid_client":
        return ProviderMisconfigured(f"the provider refused our client_id or client_secret: {said}")
    return ProviderMisconfigured(f"the provider refused our request: {said}")


def _grant(document: dict[str, Any]) -> Grant:
    access = document.get("access_token")
    kind = document.get("token_type")
    if not _is_token(access) or not isinstance(kind, str) or kind.lower() != "bearer":
        raise LoginRefused("the provider gave no bearer access token")
    optional = [document.get(name, "") for name in ("refresh_token", "id_token")]
    if not all(token == "" or _is_token(token) for token in optional):
        raise LoginRefused("the provider gave tokens of the wrong type")
    return Grant(
        access_token=access,
        refresh_token=optional[0],
        id_token=optional[1],
        expires_in=_seconds(document.get("expires_in")),
    )


def _is_token(value: object) -> TypeGuard[str]:
    """Printable ASCII without spaces (RFC 6749 appendix A.12): it goes into a header and a form."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and bool(value) and " " not in value


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)
