"""An OIDC issuer that vouches for services: its keys, and how often one of its tokens may be used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import aiohttp

from proxy.authn.discovery import Discovery, Metadata
from proxy.authn.errors import ProviderMisconfigured, TokenInvalid
from proxy.authn.fetch import Fetcher, is_secure
from proxy.authn.jwks import KeyCache
from proxy.authn.keys import KeySet, parse_key_set
from proxy.authn.tokens import SKEW, Header
from proxy.authn.workload.compact import read_token
from proxy.authn.workload.federated import TYPES, Federation
from proxy.authn.workload.svid import Proved
from proxy.settings.reading import read_regular
from proxy.settings.resolve import is_url
from proxy.settings.schema import TokenIssuer

_LARGEST = 4 * 1024 * 1024  # bytes of a file
FirstSeen = Callable[[str, float, float], Awaitable[float]]
"""`SessionStore.first_seen`: key, now, expires → when it was first asked for; exactly one caller is told its `now`."""


class TokenReplayed(TokenInvalid):
    """A token that may not be used any more, because it has been used."""


class Source(NamedTuple):
    """All that an issuer is made of: when one of these is another, so is the issuer."""

    settings: TokenIssuer
    authority: bytes | None  # what is in the file `ca`
    keys: bytes | None  # what is in the file `jwks`


def source_of(settings: TokenIssuer) -> Source:
    """Read the files of an issuer. Raises OSError."""
    keys = settings.jwks if settings.jwks is not None and not is_url(settings.jwks) else None
    return Source(
        settings,
        read_regular(settings.ca, _LARGEST) if settings.ca is not None else None,
        read_regular(keys, _LARGEST) if keys is not None else None,
    )


class Issuer:
    """Judges the tokens of one issuer. Keeps its keys through an outage, as for login providers.

    Raises `AuthnError`, OSError or ValueError at once for settings that can never work.
    """

    def __init__(self, source: Source, http: aiohttp.ClientSession, clock: Callable[[], float]) -> None:
        settings = source.settings
        self.source = source
        self._federation = Federation(settings)
        self._file = None if source.keys is None else _keys_in(source.keys, settings.jwks or "")
        if source.keys is not None:
            return
        fetcher = Fetcher(http, settings.ca)
        if settings.jwks is not None and not is_secure(settings.jwks):
            raise ProviderMisconfigured(f"jwks {settings.jwks!r} must be an https address or a file")
        discovery = None if settings.jwks is not None else Discovery(settings.issuer, fetcher, clock, read_key_address)

        async def address() -> str:
            return settings.jwks or "" if discovery is None else (await discovery.metadata()).jwks_uri

        self._cache = KeyCache(address, fetcher, clock, final=True)

    def __repr__(self) -> str:
        return f"Issuer({self.source.settings.name!r}, issuer={self.source.settings.issuer!r})"

    async def verify(self, token: bytes, now: float) -> Proved:
        """Who this token proves, replay aside. Raises `TokenInvalid`, or `ProviderUnavailable` without keys to tell."""
        text, header, keys = await self._read(token)
        return self._federation.verify(text, header, keys, now)

    async def verify_in_turn(self, token: bytes, now: float, turn: asyncio.Lock) -> Proved:
        """As `verify`, one signature in each round of the loop among all who share `turn`."""
        text, header, keys = await self._read(token)
        async with turn:
            await asyncio.sleep(0)
            return self._federation.verify(text, header, keys, now)

    async def _read(self, token: bytes) -> tuple[str, Header, KeySet]:
        text, header = read_token(token, self.source.settings.algorithms, TYPES)
        keys = self._file if self._file is not None else await self._cache.keys_for(header.kid, header.alg)
        return text, header, keys

    async def used(self, proved: Proved, now: float, first_seen: FirstSeen) -> float:
        """Count a use of a token. Returns until when it may be used again, seconds since the epoch; `now`: not again.

        Raises `TokenReplayed`, `TokenInvalid` where none can be counted, and what the store raises.
        """
        reuse = self.source.settings.reuse
        if reuse is None:
            return proved.ends + SKEW
        if not proved.jti:
            raise TokenInvalid("the token has no jti, so its uses cannot be counted (reuse)")
        key = f"workload:{self.source.settings.issuer}:{proved.jti}"
        first = await first_seen(key, now, proved.ends + SKEW)
        if first != now and now - first >= reuse:
            raise TokenReplayed("the token has been used before (jti, reuse)")
        return min(proved.ends + SKEW, first + reuse)


def read_key_address(document: Mapping[str, Any], issuer: str) -> Metadata:
    """The part of a discovery document that vouching for services needs. Issuers that log nobody in announce little
    else, so nothing else is asked for. Raises `ProviderMisconfigured`."""
    if document.get("issuer") != issuer:
        raise ProviderMisconfigured(
            f"{issuer} calls itself {document.get('issuer')!r}: set `issuer` to exactly that if it is the right one"
        )
    address = document.get("jwks_uri")
    if not isinstance(address, str) or not is_secure(address) or (address[:5] == "http:" and issuer[:5] != "http:"):
        raise ProviderMisconfigured(f"{issuer} announces no usable jwks_uri: name the keys under `jwks`")
    return Metadata(issuer=issuer, authorization_endpoint="", token_endpoint="", jwks_uri=address)


def _keys_in(data: bytes, file: str) -> KeySet:
    try:
        keys = parse_key_set(data)
    except ValueError as why:
        raise ValueError(f"{file}: {why}") from None
    if not keys.keys:
        raise ValueError(f"{file}: none of its keys can verify a token")
    return keys
