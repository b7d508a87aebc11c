"""Factors in the memory of one process: for tests, and beside a state that is in memory too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from proxy.authn.factors.factor import MOST_PER_PERSON, Factor, Tries, counted
from proxy.authn.factors.store import BUCKETS, bucket_of


class MemoryFactorStore:
    """`FactorStore` in dictionaries."""

    def __init__(self) -> None:
        self._factors: dict[tuple[str, str], Factor] = {}
        self._recovery: dict[str, set[bytes]] = {}
        self._tries: dict[str, Tries] = {}

    async def of(self, person: str) -> Sequence[Factor]:
        return sorted((each for each in self._factors.values() if each.person == person), key=_age)

    async def add(self, factor: Factor) -> Literal["added", "known", "too-many"]:
        if factor.key and any(each.key == factor.key for each in self._factors.values()):
            return "known"
        if len(await self.of(factor.person)) >= MOST_PER_PERSON:
            return "too-many"
        self._factors[factor.person, factor.id] = factor
        return "added"

    async def remove(self, person: str, factor: str) -> Factor | None:
        gone = self._factors.pop((person, factor), None)
        if gone is not None and not await self.of(person):
            self._recovery.pop(person, None)
        return gone

    async def reset(self, person: str) -> int:
        gone = await self.of(person)
        for each in gone:
            del self._factors[person, each.id]
        self._recovery.pop(person, None)
        for kind in BUCKETS:
            self._tries.pop(bucket_of(person, kind), None)
        return len(gone)

    async def used(self, person: str, factor: str, counter: int, now: float) -> bool:
        old = self._factors.get((person, factor))
        if old is None or not (counter > old.counter or counter == old.counter == 0):
            return False
        self._factors[person, factor] = msgspec.structs.replace(old, counter=counter, last_used=now)
        return True

    async def set_recovery(self, person: str, hashes: Sequence[bytes]) -> None:
        self._recovery[person] = set(hashes)

    async def recovery_left(self, person: str) -> int:
        return len(self._recovery.get(person, ()))

    async def use_recovery(self, person: str, code_hash: bytes) -> bool:
        left = self._recovery.get(person, set())
        known = code_hash in left
        left.discard(code_hash)
        return known

    async def attempt(self, bucket: str, *, now: float, most: int, window: float) -> float:
        self._tries[bucket], wait = counted(self._tries.get(bucket, Tries()), now=now, most=most, window=window)
        return wait

    async def forgive(self, bucket: str) -> None:
        self._tries.pop(bucket, None)

    async def list(self, person: str | None = None) -> Sequence[Factor]:
        found = [each for each in self._factors.values() if person is None or is_person(each, person)]
        return sorted(found, key=lambda each: (each.person, *_age(each)))

    async def close(self) -> None:
        """Nothing to let go of."""


def _age(factor: Factor) -> tuple[float, str]:
    return factor.created, factor.id


def is_person(factor: Factor, who: str) -> bool:
    """Does `who` (subject or provider:subject) mean this factor's person?"""
    return who in (factor.person, factor.person.partition(":")[2])
