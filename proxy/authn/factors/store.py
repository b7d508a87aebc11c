"""The contract every store of factors keeps, and the one place that opens them.

A store is dumb: it knows rows, and which changes must happen for one caller only. All methods are coroutines that never
block the event loop; each raises `sessions.store.StoreUnavailable` when it cannot do its work; nothing is half done.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from proxy.authn.factors.factor import Factor


class FactorStore(Protocol):
    """What `memory` and `sqlite` do, and what the next one must: `tests/authn/test_factor_store_contract.py`."""

    async def of(self, person: str) -> Sequence[Factor]:
        """A person's factors, oldest first."""

    async def add(self, factor: Factor) -> Literal["added", "known", "too-many"]:
        """Write a new factor, durably (fsync). "known": a passkey with this credential id is enrolled already, by
        anybody; "too-many": the person has MOST_PER_PERSON."""

    async def remove(self, person: str, factor: str) -> Factor | None:
        """Forget one factor of this person, durably, and with the last one the recovery codes. None: not theirs."""

    async def reset(self, person: str) -> int:
        """Forget all of a person's factors, recovery codes and wrong tries, durably. Returns how many factors."""

    async def used(self, person: str, factor: str, counter: int, now: float) -> bool:
        """Note a use. True only when `counter` is greater than the one kept, or both are 0: what is used twice at once
        is True for one caller."""

    async def set_recovery(self, person: str, hashes: Sequence[bytes]) -> None:
        """These recovery codes (32-byte SHA-256) and no older ones, durably."""

    async def recovery_left(self, person: str) -> int:
        """How many recovery codes are unused."""

    async def use_recovery(self, person: str, code_hash: bytes) -> bool:
        """True for exactly one caller per code, ever; durable on return."""

    async def attempt(self, bucket: str, *, now: float, most: int, window: float) -> float:
        """Count one more try in `bucket`; see `factor.counted`. 0.0 when it may be made, else seconds to wait."""

    async def forgive(self, bucket: str) -> None:
        """A right one: no wrong tries are held against this bucket any more."""

    async def list(self, person: str | None = None) -> Sequence[Factor]:
        """Everybody's factors, by person and age. `person`: only those of this subject or `provider:subject`."""

    async def close(self) -> None:
        """Let go of files and threads. Safe to call twice."""


def open_factor_store(url: str, *, create: bool = True) -> FactorStore:
    """The store that belongs to the state `url` names: `memory:`, or `sqlite:PATH`, then in a file beside it
    (`var/state.db` → `var/state.factors.db`).

    Opens nothing yet: the first call does. Without `create` a missing database is StoreUnavailable instead of made.
    Raises ValueError for an unknown kind.
    """
    from proxy.authn.factors.memory import MemoryFactorStore
    from proxy.authn.factors.sqlite import SqliteFactorStore

    kind, _, rest = url.partition(":")
    if kind == "memory" and not rest:
        return MemoryFactorStore()
    if kind == "sqlite" and rest:
        return SqliteFactorStore(factor_file(Path(rest)), create=create)
    raise ValueError(f"state: {url!r} names no store; write `sqlite:PATH` or `memory:`")


def factor_file(state: Path) -> Path:
    """The database of factors beside the one of sessions."""
    return state.with_name(f"{state.stem}.factors{state.suffix}")


def bucket_of(person: str, kind: str) -> str:
    """Where tries of one kind are counted for one person."""
    return f"{kind}:{person}"


BUCKETS = ("code", "passkey")
