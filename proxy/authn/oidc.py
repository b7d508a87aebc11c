"""One OpenID provider, and us as its relying party: authorization code flow with PKCE, renewal, logout.

OpenID Connect Core 1.0, RFC 6749, RFC 7636 (PKCE, always S256), RFC 9207 (`iss`), RFC 9700 (best practice),
RP-Initiated Logout 1.0, Back-Channel Logout 1.0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]  # Authlib ships no types
    prepare_grant_uri,
    prepare_token_request,
)

from proxy.authn import claims as claim_mapping
from proxy.authn import tokens as token_checks
from proxy.authn.device_claims import device_claims
from proxy.authn.discovery import Discovery, Metadata
from proxy.authn.errors import LoginRefused, ProviderMisconfigured, ProviderUnavailable, UnknownKey
from proxy.authn.fetch import Fetcher
from proxy.authn.jwks import KeyCache
from proxy.authn.keys import ASYMMETRIC
from proxy.authn.token_endpoint import TokenEndpoint, Tokens
from proxy.authn.tokens import Expected, LogoutToken
from proxy.model.device import Observation
from proxy.model.identity import Identity
from proxy.settings.schema import Provider

LOG = logging.getLogger(__name__)
# What we set ourselves; an administrator who could set these could switch a protection off by mistake.
_RESERVED = frozenset(
    {"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce"}
    | {"code_challenge", "code_challenge_method", "request", "request_uri"}
)


class LoginResult(msgspec.Struct, frozen=True, kw_only=True):
    """Who logged in (`identity.session` is ""), what to keep for renewal, the provider's own session id ("" when it
    has none), for how many seconds the access token lasts (None: not told), and what the provider says about the
    device now."""

    identity: Identity
    tokens: Tokens
    provider_sid: str = ""
    expires_in: float | None = None
    device: dict[str, Observation] = {}


class OidcProvider:
    """Everything we ask of one provider. Safe to share between tasks; keeps only metadata and keys.

    Raises `ProviderMisconfigured` at once for settings that can never work. `clock` gives seconds since the epoch.
    """

    def __init__(
        self, settings: Provider, secret: bytes | None, http: aiohttp.ClientSession, clock: Callable[[], float]
    ) -> None:
        _check_settings(settings)
        self.settings = settings
        self._clock = clock
        self._fetcher = Fetcher(http, settings.ca)
        self._discovery = Discovery(settings.issuer, self._fetcher, clock)
        self._keys = KeyCache(self._key_address, self._fetcher, clock)
        self._token_endpoint = TokenEndpoint(settings.client_id, secret, self._fetcher)

    def __repr__(self) -> str:
        return f"OidcProvider({self.settings.name!r}, issuer={self.settings.issuer!r})"

    @property
    def name(self) -> str:
        """The provider's name in the configuration."""
        return self.settings.name

    async def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        nonce: str,
        code_challenge: str,
        prompt: str | None = None,
        max_age: int | None = None,
        login_hint: str | None = None,
        acr_values: str | None = None,
    ) -> str:
        """Where to send the browser. `code_challenge` is S256 of the verifier (RFC 7636 §4.2), `max_age` in seconds,
        `acr_values` with blanks between, the best first (OpenID Connect Core §3.1.2.1).

        Raises `ProviderUnavailable` while nothing is known about the provider.
        """
        metadata = await self._discovery.metadata()
        optional = {**self.settings.authorization_params}
        asked = {"prompt": prompt, "max_age": max_age, "login_hint": login_hint, "acr_values": acr_values}
        optional |= {name: str(value) for name, value in asked.items() if value is not None}
        url: str = prepare_grant_uri(
            metadata.authorization_endpoint,
            self.settings.client_id,
            "code",
            redirect_uri,
            " ".join(_scopes(self.settings, metadata)),
            state,
            nonce=nonce,
            code_challenge=code_challenge,
            code_challenge_method="S256",
            **optional,
        )
        return url

    async def exchange(
        self,
        *,
        code: str,
        code_verifier: str,
        nonce: str,
        redirect_uri: str,
        iss: str | None,
        max_age: int | None = None,
    ) -> LoginResult:
        """Turn an authorization code into an identity. `iss` is the callback's parameter, None when it had none.

        Raises `LoginRefused` when anything does not fit, `ProviderUnavailable` when the provider cannot be asked.
        """
        metadata = await self._discovery.metadata()
        if iss != metadata.issuer and (iss is not None or metadata.announces_iss):
            raise LoginRefused("the answer came from another provider (iss)")
        body = prepare_token_request(
            "authorization_code", redirect_uri=redirect_uri, code=code, code_verifier=code_verifier
        )
        grant = await self._token_endpoint.request(metadata, body)
        if not grant.id_token:
            raise LoginRefused("the provider gave no ID token: the scope must include openid")
        expected = self._expected(nonce=nonce, access_token=grant.access_token, max_age=max_age)
        claims = await self._verified(grant.id_token, expected)
        told = await self._completed(claims, grant.access_token, metadata)
        mapped = claim_mapping.identity_from(told, self.settings)
        for note in mapped.notes:
            LOG.warning("provider %s, subject %s: %s", self.name, mapped.identity.subject, note)
        return LoginResult(
            identity=mapped.identity,
            tokens=Tokens(
                access_token=grant.access_token,
                refresh_token=grant.refresh_token,
                id_token=grant.id_token,
                nonce=nonce,
                sub=claims["sub"],
            ),
            provider_sid=_provider_sid(claims),
            expires_in=grant.expires_in,
            device=device_claims(told, self.settings, self._clock()),
        )

    async def refresh(self, tokens: Tokens, identity: Identity) -> LoginResult:
        """Renew tokens and read the claims again, groups above all.

        The result keeps the time and manner of the original login, because renewing is not authenticating
        (OpenID Connect Core §12.2). Without a refresh token nothing is asked and nothing changes.
        Raises `LoginRefused` when the session must end (the grant is gone, or it is somebody else's),
        `ProviderUnavailable` when it may be tried again later.
        """
        if not tokens.refresh_token:
            return LoginResult(identity=identity, tokens=tokens)
        metadata = await self._discovery.metadata()
        body = prepare_token_request("refresh_token", refresh_token=tokens.refresh_token)
        grant = await self._token_endpoint.request(metadata, body)
        renewed = msgspec.structs.replace(
            tokens,
            access_token=grant.access_token,
            refresh_token=grant.refresh_token or tokens.refresh_token,
            id_token=grant.id_token or tokens.id_token,
        )
        claims = await self._renewed_claims(grant.id_token, renewed, identity, metadata)
        fresh = claim_mapping.identity_from(claims, self.settings).identity
        if fresh.subject != identity.subject:
            raise LoginRefused("the renewed tokens belong to somebody else (subject)")
        return LoginResult(
            identity=msgspec.structs.replace(
                fresh,
                session=identity.session,
                auth_time=identity.auth_time,
                acr=identity.acr,
                amr=identity.amr,
                mfa=claim_mapping.several_factors(self.settings.mfa, identity.acr, identity.amr),
            ),
            tokens=renewed,
            provider_sid=_provider_sid(claims),
            expires_in=grant.expires_in,
            device=device_claims(claims, self.settings, self._clock()),
        )

    async def logout_url(self, *, id_token: str, post_logout_redirect_uri: str, state: str) -> str | None:
        """Where to send the browser to log out at the provider too; None when the provider has no such place or
        nothing is known about it. RP-Initiated Logout 1.0 §2."""
        try:
            metadata = await self._discovery.metadata()
        except ProviderUnavailable:
            return None
        if not metadata.end_session_endpoint:
            return None
        fields = {"post_logout_redirect_uri": post_logout_redirect_uri, "state": state}
        if id_token:
            fields["id_token_hint"] = id_token
        return _with_query(metadata.end_session_endpoint, {"client_id": self.settings.client_id, **fields})

    async def verify_logout_token(self, token: str) -> LogoutToken:
        """Check a back-channel logout token. The caller refuses a `jti` it has seen.

        Raises `TokenInvalid`, or `ProviderUnavailable` when the keys cannot be read.
        """
        header = token_checks.read_logout_header(token, self.settings.algorithms)
        keys = await self._keys.keys_for(header.kid, header.alg)
        claims = token_checks.verify_signature(token, header, keys)
        return token_checks.check_logout_token(
            claims, issuer=self.settings.issuer, client_id=self.settings.client_id, now=self._clock()
        )

    async def _verified(self, id_token: str, expected: Expected) -> dict[str, Any]:
        header = token_checks.read_header(id_token, self.settings.algorithms)
        keys = await self._keys.keys_for(header.kid, header.alg)
        claims = token_checks.verify_signature(id_token, header, keys)
        token_checks.check_id_token(claims, header, expected, now=self._clock())
        return claims

    async def _renewed_claims(
        self, id_token: str, tokens: Tokens, identity: Identity, metadata: Metadata
    ) -> Mapping[str, Any]:
        if id_token:
            expected = self._expected(nonce=tokens.nonce, access_token=tokens.access_token, renewal=True)
            try:
                claims = await self._verified(id_token, expected)
            except UnknownKey as error:  # keys rotated a moment ago: no reason to throw anybody out
                raise ProviderUnavailable(str(error)) from None
            if claims["sub"] != tokens.sub:
                raise LoginRefused("the renewed ID token belongs to somebody else (sub)")
            return await self._completed(claims, tokens.access_token, metadata)
        known = {**identity.claims, "sub": tokens.sub}
        userinfo = await self._userinfo(tokens.access_token, metadata)
        return known if userinfo is None else claim_mapping.renewed_by_userinfo(known, userinfo)

    async def _completed(self, claims: Mapping[str, Any], access_token: str, metadata: Metadata) -> Mapping[str, Any]:
        if not claim_mapping.missing(claims, self.settings):
            return claims
        userinfo = await self._userinfo(access_token, metadata)
        return claims if userinfo is None else claim_mapping.with_userinfo(claims, userinfo)

    async def _userinfo(self, access_token: str, metadata: Metadata) -> dict[str, Any] | None:
        if not metadata.userinfo_endpoint:
            return None
        answer = await self._fetcher.get(
            metadata.userinfo_endpoint, headers={"Authorization": f"Bearer {access_token}"}
        )
        if answer.status != 200 or answer.media_type != "application/json":
            LOG.warning("provider %s: userinfo is of no use: %r", self.name, answer)
            return None
        return answer.json()

    def _expected(
        self, *, nonce: str, access_token: str, max_age: int | None = None, renewal: bool = False
    ) -> Expected:
        return Expected(
            issuer=self.settings.issuer,
            client_id=self.settings.client_id,
            nonce=nonce,
            access_token=access_token,
            max_age=max_age,
            renewal=renewal,
        )

    async def _key_address(self) -> str:
        return (await self._discovery.metadata()).jwks_uri


def _check_settings(settings: Provider) -> None:
    unfit = [alg for alg in settings.algorithms if alg not in ASYMMETRIC]
    if unfit or not settings.algorithms:
        raise ProviderMisconfigured(
            f"provider {settings.name}: algorithms {unfit or 'is empty'}; use some of {', '.join(ASYMMETRIC)}"
        )
    taken = sorted(_RESERVED & settings.authorization_params.keys())
    if taken:
        raise ProviderMisconfigured(f"provider {settings.name}: authorization_params must not set {', '.join(taken)}")
    if "openid" not in settings.scopes:
        raise ProviderMisconfigured(f"provider {settings.name}: scopes must include openid")


def _scopes(settings: Provider, metadata: Metadata) -> tuple[str, ...]:
    """What an administrator wrote goes out as written; of our default only what the provider knows, because some
    refuse a login over a scope they do not know."""
    default = next(field.default for field in msgspec.structs.fields(Provider) if field.name == "scopes")
    if settings.scopes != default or not metadata.scopes:
        return settings.scopes
    return tuple(scope for scope in settings.scopes if scope == "openid" or scope in metadata.scopes)


def _provider_sid(claims: Mapping[str, Any]) -> str:
    sid = claims.get("sid")
    return sid if isinstance(sid, str) and len(sid) <= 255 else ""


def _with_query(url: str, fields: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}"
