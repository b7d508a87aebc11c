"""How many wrong tries a person has: counted in the store, so that it holds over workers and restarts."""

from __future__ import annotations

from collections.abc import Callable

from proxy.authn.factors.errors import TooManyAttempts
from proxy.authn.factors.factor import Kind
from proxy.authn.factors.store import FactorStore, bucket_of
from proxy.settings.schema import SecondFactor


class Limits:
    """`settings` gives the present ones, `clock` seconds since the epoch. Passkeys and codes are counted apart: whoever
    guesses codes must not lock out the passkey of the person they are not."""

    def __init__(self, store: FactorStore, settings: Callable[[], SecondFactor], clock: Callable[[], float]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def take(self, person: str, kind: Kind) -> None:
        """Use up one try, before it is judged. Raises TooManyAttempts."""
        settings = self._settings()
        wait = await self._store.attempt(
            bucket_of(person, kind), now=self._clock(), most=settings.attempts, window=float(settings.window)
        )
        if wait:
            raise TooManyAttempts(wait)

    async def forgive(self, person: str, kind: Kind) -> None:
        """That was right."""
        await self._store.forgive(bucket_of(person, kind))
