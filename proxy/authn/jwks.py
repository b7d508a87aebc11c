"""A provider's signing keys, cached.

Rules (they bound what a stranger can make us do, and what an outage can break): the set is read again every hour; a key
id we do not know makes us read it again at once, but not more than once a minute; one request in flight, which whoever
comes meanwhile joins; whatever goes wrong, the keys we have stay.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from proxy.authn.errors import ProviderUnavailable
from proxy.authn.fetch import Fetcher
from proxy.authn.flight import SingleFlight
from proxy.authn.keys import KeySet, parse_key_set

LOG = logging.getLogger(__name__)
MAX_AGE = 3600.0  # seconds after which a withdrawn key is no longer trusted
MIN_INTERVAL = 60.0  # seconds between two attempts while we have keys
FRESH = 5.0  # seconds for which a set that lacks a key proves that the key does not exist
RETRY_EMPTY = 1.0  # seconds between two attempts while we have none


class KeyCache:
    """`keys_for` answers from the cache whenever it can. `address` gives the current `jwks_uri`.

    `final`: a key that is not in the set as it was last read does not exist until it is read again. For tokens that
    are shown again anyway; a login or a renewal in the minute of a new key must rather be put off.
    """

    def __init__(
        self,
        address: Callable[[], Awaitable[str]],
        fetcher: Fetcher,
        clock: Callable[[], float],
        *,
        final: bool = False,
    ) -> None:
        self._address = address
        self._fetcher = fetcher
        self._clock = clock
        self._keys: KeySet | None = None
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._failure: Exception | None = None
        self._renewed = SingleFlight(self._read)
        self._final = final

    async def keys_for(self, kid: str | None, alg: str) -> KeySet:
        """The key set, read again first if it is old or holds nothing for this header.

        Raises `ProviderUnavailable` when there are no keys at all, or when nothing fits and the provider could not be
        asked just now: then nobody knows whether the key is bad or merely new.
        """
        if not self._answers(kid, alg) and (self._renewed.under_way or self._may_try()):
            await self._renewed()
        if self._keys is None:
            raise ProviderUnavailable(f"no signing keys are known: {self._failure}")
        if not self._keys.matching(kid, alg) and not self._is_whole():
            raise ProviderUnavailable("a token names a new signing key and the keys cannot be read again just now")
        return self._keys

    def _answers(self, kid: str | None, alg: str) -> bool:
        return self._keys is not None and bool(self._keys.matching(kid, alg)) and self._is_younger_than(MAX_AGE)

    def _is_whole(self) -> bool:
        return self._is_younger_than(FRESH) or (self._final and self._failure is None)

    def _is_younger_than(self, seconds: float) -> bool:
        return 0 <= self._clock() - self._read_at < seconds

    def _may_try(self) -> bool:
        elapsed = self._clock() - self._tried_at
        return elapsed >= (RETRY_EMPTY if self._keys is None else MIN_INTERVAL) or elapsed < 0  # the clock was set back

    async def _read(self) -> None:
        try:
            self._keys = parse_key_set(await self._document())
            self._read_at, self._failure = self._clock(), None
        except (ProviderUnavailable, ValueError) as error:
            self._failure = error
            LOG.warning(
                "signing keys not read, %s: %s", "none known" if self._keys is None else "keeping the old", error
            )
        finally:
            self._tried_at = self._clock()

    async def _document(self) -> bytes:
        answer = await self._fetcher.get(await self._address())
        if answer.status != 200:
            raise ProviderUnavailable(f"the key set answers status {answer.status}")
        return answer.body
