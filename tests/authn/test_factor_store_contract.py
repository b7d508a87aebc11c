"""What every store of factors must do. Runs over memory and SQLite."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from proxy.authn.factors.factor import MOST_IN_A_ROW, MOST_PER_PERSON, Factor
from proxy.authn.factors.memory import MemoryFactorStore
from proxy.authn.factors.sqlite import SqliteFactorStore
from proxy.authn.factors.store import BUCKETS, FactorStore, bucket_of, factor_file, open_factor_store
from proxy.sessions.store import StoreUnavailable

NOON = 1_800_000_000.0
ANN = "corp:ann"


def factor(name: str = "f1", person: str = ANN, **changes: object) -> Factor:
    fields = {"id": name, "person": person, "kind": "code", "name": "Phone", "created": NOON, "secret": b"sealed"}
    return Factor(**{**fields, **changes})


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FactorStore]:
    one = MemoryFactorStore() if request.param == "memory" else SqliteFactorStore(tmp_path / "state.factors.db")
    yield one
    await one.close()


class TestFactors:
    async def test_what_was_added_comes_back_oldest_first(self, store: FactorStore) -> None:
        key = factor("k", kind="passkey", created=NOON - 5, secret=b"public", key=b"id", counter=7, synced=True)
        assert await store.add(factor()) == "added"
        assert await store.add(key) == "added"
        assert await store.add(factor("other", "corp:bob")) == "added"
        assert list(await store.of(ANN)) == [key, factor()]

    async def test_a_passkey_is_enrolled_once_by_anybody(self, store: FactorStore) -> None:
        await store.add(factor("k", kind="passkey", key=b"id"))
        assert await store.add(factor("k2", "corp:bob", kind="passkey", key=b"id")) == "known"
        assert await store.of("corp:bob") == []

    async def test_one_person_has_a_bounded_number(self, store: FactorStore) -> None:
        for number in range(MOST_PER_PERSON):
            assert await store.add(factor(f"f{number}")) == "added"
        assert await store.add(factor("one more")) == "too-many"
        assert await store.add(factor("f", "corp:bob")) == "added"

    async def test_only_ones_own_is_removed(self, store: FactorStore) -> None:
        await store.add(factor())
        assert await store.remove("corp:bob", "f1") is None
        assert await store.remove(ANN, "f1") == factor()
        assert await store.remove(ANN, "f1") is None
        assert await store.of(ANN) == []

    async def test_the_same_subject_of_another_provider_is_somebody_else(self, store: FactorStore) -> None:
        await store.add(factor())
        assert await store.of("partner:ann") == []

    async def test_a_listing_finds_people_by_subject_or_in_full(self, store: FactorStore) -> None:
        await store.add(factor("a"))
        await store.add(factor("b", "partner:ann"))
        await store.add(factor("c", "corp:urn:x:bob"))
        assert [each.id for each in await store.list()] == ["a", "c", "b"]
        assert [each.id for each in await store.list("ann")] == ["a", "b"]
        assert [each.id for each in await store.list("corp:ann")] == ["a"]
        assert [each.id for each in await store.list("urn:x:bob")] == ["c"]
        assert await store.list("nobody") == []


class TestCounters:
    async def test_a_counter_only_grows(self, store: FactorStore) -> None:
        await store.add(factor(counter=5))
        assert await store.used(ANN, "f1", 6, NOON + 9)
        assert not await store.used(ANN, "f1", 6, NOON + 10)
        assert not await store.used(ANN, "f1", 5, NOON + 10)
        assert await store.of(ANN) == [factor(counter=6, last_used=NOON + 9)]

    async def test_a_passkey_without_a_counter_stays_at_zero(self, store: FactorStore) -> None:
        await store.add(factor(kind="passkey", key=b"id"))
        assert await store.used(ANN, "f1", 0, NOON)
        assert await store.used(ANN, "f1", 0, NOON)
        assert await store.used(ANN, "f1", 3, NOON)
        assert not await store.used(ANN, "f1", 0, NOON), "one that had a counter and has none now is a copy"

    async def test_two_at_once_with_the_same_one_are_one(self, store: FactorStore) -> None:
        await store.add(factor())
        said = await asyncio.gather(*(store.used(ANN, "f1", 9, NOON) for _ in range(8)))
        assert sorted(said) == [False] * 7 + [True]

    async def test_the_unknown_is_never_used(self, store: FactorStore) -> None:
        await store.add(factor())
        assert not await store.used("corp:bob", "f1", 9, NOON)
        assert not await store.used(ANN, "f2", 9, NOON)


class TestRecovery:
    async def test_each_code_is_good_once_and_for_its_owner(self, store: FactorStore) -> None:
        await store.set_recovery(ANN, [b"1" * 32, b"2" * 32])
        assert not await store.use_recovery("corp:bob", b"1" * 32)
        said = await asyncio.gather(*(store.use_recovery(ANN, b"1" * 32) for _ in range(8)))
        assert sorted(said) == [False] * 7 + [True]
        assert await store.recovery_left(ANN) == 1

    async def test_new_ones_replace_the_old(self, store: FactorStore) -> None:
        await store.set_recovery(ANN, [b"1" * 32])
        await store.set_recovery(ANN, [b"2" * 32, b"3" * 32])
        assert await store.recovery_left(ANN) == 2
        assert not await store.use_recovery(ANN, b"1" * 32)

    async def test_they_go_with_the_last_factor(self, store: FactorStore) -> None:
        await store.add(factor("a"))
        await store.add(factor("b"))
        await store.set_recovery(ANN, [b"1" * 32])
        await store.remove(ANN, "a")
        assert await store.recovery_left(ANN) == 1
        await store.remove(ANN, "b")
        assert await store.recovery_left(ANN) == 0


class TestTries:
    async def take(self, store: FactorStore, now: float, bucket: str = "code:ann") -> float:
        return await store.attempt(bucket, now=now, most=3, window=900)

    async def test_as_many_as_allowed_then_a_wait_until_the_oldest_is_old_enough(self, store: FactorStore) -> None:
        assert [await self.take(store, NOON + n) for n in range(3)] == [0, 0, 0]
        assert await self.take(store, NOON + 10) == 890
        assert await self.take(store, NOON + 899) == 1
        assert await self.take(store, NOON + 900) == 0
        assert await self.take(store, NOON + 900) == 1

    async def test_many_at_once_do_not_get_past_it(self, store: FactorStore) -> None:
        said = await asyncio.gather(*(self.take(store, NOON) for _ in range(20)))
        assert said.count(0.0) == 3

    async def test_a_right_one_clears_it(self, store: FactorStore) -> None:
        for _ in range(4):
            await self.take(store, NOON)
        await store.forgive("code:ann")
        assert await self.take(store, NOON) == 0

    async def test_buckets_are_apart(self, store: FactorStore) -> None:
        for _ in range(4):
            await self.take(store, NOON)
        assert await self.take(store, NOON, "passkey:ann") == 0

    async def test_after_very_many_in_a_row_only_a_reset_helps(self, store: FactorStore) -> None:
        bucket = bucket_of(ANN, "code")
        for n in range(MOST_IN_A_ROW):
            assert await self.take(store, NOON + 1000 * n, bucket) == 0
        assert math.isinf(await self.take(store, NOON + 1e9, bucket))
        await store.reset(ANN)
        assert await self.take(store, NOON, bucket) == 0

    async def test_a_clock_that_jumps_back_makes_nobody_wait_longer_than_the_window(self, store: FactorStore) -> None:
        for _ in range(3):
            await self.take(store, NOON + 1e6)
        assert await self.take(store, NOON) == 900
        assert await self.take(store, NOON + 900) == 0


async def test_a_reset_forgets_everything_of_one_person(store: FactorStore) -> None:
    await store.add(factor("a"))
    await store.add(factor("b"))
    await store.add(factor("c", "corp:bob"))
    await store.set_recovery(ANN, [b"1" * 32])
    for kind in BUCKETS:
        for _ in range(4):
            await store.attempt(bucket_of(ANN, kind), now=NOON, most=3, window=900)

    assert await store.reset(ANN) == 2

    assert await store.of(ANN) == []
    assert await store.recovery_left(ANN) == 0
    for kind in BUCKETS:
        assert await store.attempt(bucket_of(ANN, kind), now=NOON, most=3, window=900) == 0
    assert len(await store.of("corp:bob")) == 1
    assert await store.reset(ANN) == 0


async def test_close_may_be_called_twice(store: FactorStore) -> None:
    await store.of(ANN)
    await store.close()
    await store.close()


async def test_tries_and_factors_outlive_a_restart_and_are_shared_by_workers(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'state.db'}"
    one, two = open_factor_store(url), open_factor_store(url)
    await one.add(factor())
    for _ in range(3):
        assert await one.attempt("code:ann", now=NOON, most=3, window=900) == 0
    await one.close()
    assert await two.attempt("code:ann", now=NOON, most=3, window=900) == 900
    assert await two.of(ANN) == [factor()]
    await two.close()
    assert factor_file(tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


async def test_a_database_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "state.factors.db"
    path.write_bytes(b"this is no database" * 100)
    store = open_factor_store(f"sqlite:{tmp_path / 'state.db'}")
    with pytest.raises(StoreUnavailable, match="every second factor must be enrolled again"):
        await store.of(ANN)
    await store.close()


def test_a_factor_never_shows_its_secret() -> None:
    assert "sealed" not in repr(factor())
    assert msgspec.structs.asdict(factor())["secret"] == b"sealed"
