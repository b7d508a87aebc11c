"""Bearer tokens of programs, as the gateway meets them: is it for us, do we know it, who is it.

A verdict is remembered under the SHA-256 of the token, for a minute at most: so long a key that was withdrawn may still
count. Refusals are remembered for seconds, so that whoever repeats one costs nothing, and one that time mends (a clock
that lags, a key that is new) does not last. Both memories are bounded. A token whose use is counted to the last is
never answered from memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

import aiohttp
from cachetools import LRUCache

from proxy.authn.errors import AuthnError, ProviderUnavailable, TokenInvalid
from proxy.authn.tokens import SKEW
from proxy.authn.workload.bundle import Bundle, read_bundle
from proxy.authn.workload.claimed import Claimed
from proxy.authn.workload.compact import end_of
from proxy.authn.workload.issuer import FirstSeen, Issuer, Source, TokenReplayed, source_of
from proxy.authn.workload.svid import Proved, verify_svid
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.settings import schema
from proxy.settings.reading import read_regular

LOG = logging.getLogger(__name__)
REMEMBERED = 60.0  # seconds for which a verified token is believed without looking again
REFUSED = 5.0  # seconds for which a refusal is repeated without looking again
_TOKENS = 4096  # of each kind that are remembered; about 1 KiB each at most
_TOLD_EVERY = 1.0  # seconds between two lines in the log about refused tokens
_LARGEST_BUNDLE = 4 * 1024 * 1024  # bytes

Answer = Identity | Reason
Bundles = Mapping[str, Bundle]
"""By name of the trust domain."""


class WorkloadsUnusable(Exception):
    """The configuration of workloads cannot work; the text says where and what to change."""


class _Known(NamedTuple):
    """An answer, and the span of time in which it stands: `since` ≤ now < `until`."""

    answer: Answer
    since: float
    until: float


def read_bundles(settings: schema.Workloads) -> dict[str, Bundle]:
    """The bundles by trust domain. Raises `WorkloadsUnusable` naming the file."""
    bundles = {}
    for domain in settings.trust_domains:
        try:
            data = read_regular(domain.bundle, _LARGEST_BUNDLE)
            bundles[domain.name] = read_bundle(domain.name, data, domain.bundle)
        except OSError as error:
            raise WorkloadsUnusable(f"{domain.bundle}: {error.strerror or 'cannot be read'}") from None
        except ValueError as error:
            raise WorkloadsUnusable(str(error)) from None
    return bundles


class Workloads:
    """Who the bearer of a token is. One per configuration; issuers that stay the same are taken over from `before`,
    with the keys they have fetched.

    `bundles`: as `read_bundles` gives them. `first_seen`: the session store's. Raises `WorkloadsUnusable`.
    """

    def __init__(
        self,
        settings: schema.Workloads,
        http: aiohttp.ClientSession,
        clock: Callable[[], float],
        first_seen: FirstSeen,
        *,
        bundles: Bundles | None = None,
        before: Workloads | None = None,
    ) -> None:
        self.bundles = read_bundles(settings) if bundles is None else bundles
        self._audiences = {domain.name: domain.audiences for domain in settings.trust_domains}
        old = {} if before is None else before._issuers
        self._issuers: dict[str, Issuer] = {
            one.issuer: _issuer(one, old.get(one.issuer), http, clock) for one in settings.issuers
        }
        self._first_seen = first_seen
        self._claimed = Claimed(self._issuers, self.bundles)
        self._any = bool(self._issuers or self.bundles)
        self._sources: LRUCache[bytes, str] = LRUCache(maxsize=2 * _TOKENS)
        self._good: LRUCache[tuple[bytes, str], _Known] = LRUCache(maxsize=_TOKENS)
        self._bad: LRUCache[tuple[bytes, str], _Known] = LRUCache(maxsize=_TOKENS)
        self._told_at = float("-inf")
        self._turn = asyncio.Lock()

    def recognises(self, token: bytes) -> bool:
        """Whether a bearer token claims to be of an issuer or trust domain of ours: then it is ours to judge, and no
        app ever sees it. Any other is the app's own business."""
        return self._any and self._source(token, hashlib.sha256(token).digest()) != ""

    def cached(self, token: bytes, audience: str, now: float) -> Answer | None:
        """The verdict that is remembered; None: await `verify`. The same token has the same Identity object."""
        key = (hashlib.sha256(token).digest(), audience)
        known = self._good.get(key) or self._bad.get(key)
        return known.answer if known is not None and known.since <= now < known.until else None

    async def verify(self, token: bytes, audience: str, now: float) -> Answer:
        """Who a recognised token proves at `now`, seconds since the epoch, or why nobody.

        `audience`: what a JWT-SVID must name when nothing else is configured, the origin of the route asked for.
        TOKEN_INVALID and TOKEN_REPLAYED are about the token; PROVIDER_UNAVAILABLE says that it cannot be told now.
        Never raises for what a token holds; raises StoreUnavailable when its use cannot be counted.
        """
        digest = hashlib.sha256(token).digest()
        name = self._source(token, digest)
        try:
            proved, until = await self._judged(name, token, audience, now)
        except AuthnError as error:
            self._tell(name, error, now)
            reason = _reason(error)
            self._good.pop((digest, audience), None)
            self._bad[digest, audience] = _Known(reason, now, now + REFUSED)
            return reason
        if until > now:
            self._good[digest, audience] = _Known(proved.identity, now, min(until, now + REMEMBERED))
        return proved.identity

    def ends(self, token: bytes) -> float:
        """When what was begun with a token must end, seconds since the epoch: its own end, with skew, and the grace
        its issuer is given. 0 for a token that is not, or no longer, of anybody configured here."""
        name = self._source(token, hashlib.sha256(token).digest())
        issuer = self._issuers.get(name)
        try:
            return end_of(token) + SKEW + (0.0 if issuer is None else issuer.source.settings.grace) if name else 0.0
        except AuthnError:
            return 0.0

    async def review(self, token: bytes, audience: str, now: float) -> tuple[Answer, float]:
        """The verdict on a token with which something was begun that still goes on, and when to ask again, seconds
        since the epoch. Its end is not looked at (`ends`), and no use of it is counted.

        PROVIDER_UNAVAILABLE says that it cannot be told now. Never raises.
        """
        digest = hashlib.sha256(token).digest()
        known = self._good.get((digest, audience))
        if known is not None and known.since <= now < known.until:
            return known.answer, known.until
        name = self._source(token, digest)
        try:
            proved = await self._judged_again(name, token, audience, min(now, end_of(token)))
        except AuthnError as error:
            self._tell(name, error, now)
            return _reason(error), now + REFUSED
        return proved.identity, now + REMEMBERED

    async def _judged(self, name: str, token: bytes, audience: str, now: float) -> tuple[Proved, float]:
        issuer = self._issuers.get(name)
        if issuer is not None:
            proved = await issuer.verify(token, now)
            return proved, await issuer.used(proved, now, self._first_seen)
        proved = self._svid(name, token, audience, now)
        return proved, proved.ends + SKEW

    async def _judged_again(self, name: str, token: bytes, audience: str, now: float) -> Proved:
        """There may be thousands at once after a reload: they take turns, and everybody else has theirs."""
        issuer = self._issuers.get(name)
        if issuer is not None:
            return await issuer.verify_in_turn(token, now, self._turn)
        async with self._turn:
            await asyncio.sleep(0)
            return self._svid(name, token, audience, now)

    def _svid(self, name: str, token: bytes, audience: str, now: float) -> Proved:
        domain = name.removeprefix("spiffe://")
        if domain not in self.bundles:
            raise TokenInvalid("the token is not one of anybody who is trusted here")
        return verify_svid(token, self.bundles[domain], self._audiences[domain] or (audience,), now)

    def _source(self, token: bytes, digest: bytes) -> str:
        known = self._sources.get(digest)
        if known is None:
            known = self._sources[digest] = self._claimed.of(token)
        return known

    def _tell(self, name: str, error: Exception, now: float) -> None:
        """Say why in the log, but not as often as somebody outside would like."""
        if not 0 <= now - self._told_at < _TOLD_EVERY:
            self._told_at = now
            LOG.warning("bearer token refused, %s: %s", name, error)


def _reason(error: AuthnError) -> Reason:
    if isinstance(error, ProviderUnavailable):
        return Reason.PROVIDER_UNAVAILABLE
    return Reason.TOKEN_REPLAYED if isinstance(error, TokenReplayed) else Reason.TOKEN_INVALID


def _issuer(
    settings: schema.TokenIssuer, old: Issuer | None, http: aiohttp.ClientSession, clock: Callable[[], float]
) -> Issuer:
    try:
        source: Source = source_of(settings)
        return old if old is not None and old.source == source else Issuer(source, http, clock)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise WorkloadsUnusable(f"workloads.issuers, {settings.name}: {why}") from None
    except (AuthnError, ValueError) as error:
        raise WorkloadsUnusable(f"workloads.issuers, {settings.name}: {error}") from None
