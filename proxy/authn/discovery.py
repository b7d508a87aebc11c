"""What a provider says about itself. OpenID Connect Discovery 1.0, RFC 8414, RFC 9207."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from proxy.authn.errors import ProviderMisconfigured, ProviderUnavailable
from proxy.authn.fetch import Fetcher, is_secure
from proxy.authn.flight import SingleFlight

LOG = logging.getLogger(__name__)
MAX_AGE = 3600.0  # seconds until metadata is asked for again
RETRY = 60.0  # seconds between attempts to renew metadata we already have
RETRY_EMPTY = 1.0  # seconds between attempts while we have none
_WELL_KNOWN = "/.well-known/openid-configuration"


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a provider's metadata that we use, checked. Optional endpoints are "" when absent or unusable."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    token_auth_methods: tuple[str, ...] = ("client_secret_basic",)  # OpenID Connect Discovery §3: the default
    scopes: tuple[str, ...] = ()  # empty: not announced
    announces_iss: bool = False  # RFC 9207: `iss` is on every authorization response


def read_metadata(document: Mapping[str, Any], issuer: str) -> Metadata:
    """Check a discovery document against the configured issuer, compared character by character.

    Raises `ProviderMisconfigured` with what is wrong and what to change.
    """
    if document.get("issuer") != issuer:
        raise ProviderMisconfigured(
            f"{issuer} calls itself {document.get('issuer')!r}: set `issuer` to exactly that if it is the right one"
        )
    methods = _texts(document, "code_challenge_methods_supported")
    if methods and "S256" not in methods:
        raise ProviderMisconfigured(f"{issuer} does not support PKCE with S256: enable it there")
    responses = _texts(document, "response_types_supported")
    if responses and "code" not in responses:
        raise ProviderMisconfigured(f"{issuer} does not support the authorization code flow: enable it there")
    return Metadata(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", issuer, required=True),
        token_endpoint=_endpoint(document, "token_endpoint", issuer, required=True),
        jwks_uri=_endpoint(document, "jwks_uri", issuer, required=True),
        userinfo_endpoint=_endpoint(document, "userinfo_endpoint", issuer),
        end_session_endpoint=_endpoint(document, "end_session_endpoint", issuer),
        token_auth_methods=_texts(document, "token_endpoint_auth_methods_supported") or ("client_secret_basic",),
        scopes=_texts(document, "scopes_supported"),
        announces_iss=document.get("authorization_response_iss_parameter_supported") is True,
    )


class Discovery:
    """The metadata of one issuer: asked for once, renewed every hour, kept through an outage; single flight.

    `read` checks a document against the issuer: another one than `read_metadata` for issuers that log nobody in.
    """

    def __init__(
        self,
        issuer: str,
        fetcher: Fetcher,
        clock: Callable[[], float],
        read: Callable[[Mapping[str, Any], str], Metadata] = read_metadata,
    ) -> None:
        if not is_secure(issuer) or "?" in issuer:
            raise ProviderMisconfigured(f"issuer {issuer!r} must be an https address without query or fragment")
        self._issuer = issuer
        self._fetcher = fetcher
        self._clock = clock
        self._read = read
        self._known: Metadata | None = None
        self._failure: ProviderUnavailable | None = None
        self._tried_at = float("-inf")
        self._renewed = SingleFlight(self._renew)

    async def metadata(self) -> Metadata:
        """The current metadata. Raises `ProviderUnavailable` only while none was ever read."""
        if self._renewed.under_way or self._is_due():
            await self._renewed()
        if self._known is not None:
            return self._known
        failure = self._failure or ProviderUnavailable(f"{self._issuer} was not asked yet")
        raise type(failure)(str(failure))  # a new one each time: raising the same object piles up tracebacks

    def _is_due(self) -> bool:
        elapsed = self._clock() - self._tried_at
        wait = MAX_AGE if self._failure is None else RETRY_EMPTY if self._known is None else RETRY
        return elapsed >= wait or elapsed < 0  # the clock was set back

    async def _renew(self) -> None:
        try:
            answer = await self._fetcher.get(self._issuer.rstrip("/") + _WELL_KNOWN)
            if answer.status != 200:
                raise ProviderMisconfigured(
                    f"{self._issuer} answers status {answer.status} for {_WELL_KNOWN}: check `issuer`"
                )
            self._known, self._failure = self._read(answer.json(), self._issuer), None
        except ProviderUnavailable as failure:
            self._failure = failure
            kept = "none known" if self._known is None else "keeping the old"
            LOG.warning("provider metadata not read, %s: %s", kept, failure)
        finally:
            self._tried_at = self._clock()


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _endpoint(document: Mapping[str, Any], name: str, issuer: str, *, required: bool = False) -> str:
    value = document.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not is_secure(value):
        raise ProviderMisconfigured(f"{issuer} announces no usable {name}: it must be an https address")
    if value.startswith("http:") and not issuer.startswith("http:"):
        raise ProviderMisconfigured(f"{issuer} announces a {name} without TLS")
    return value
