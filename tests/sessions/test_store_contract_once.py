"""What every session store must do about keys that count once, or are counted from their first use. Runs over each of
`session_people.KINDS`."""

from __future__ import annotations

import asyncio

from session_people import NOON

from proxy.sessions.store import KEEP, SessionStore


class TestOnlyOnce:
    async def test_the_first_and_nobody_else(self, store: SessionStore) -> None:
        assert await store.consume("ticket:1", NOON)
        assert not await store.consume("ticket:1", NOON)
        assert await store.consume("ticket:2", NOON)

    async def test_one_of_many_at_once(self, store: SessionStore) -> None:
        tries = await asyncio.gather(*(store.consume("k", NOON) for _ in range(50)))
        assert tries.count(True) == 1

    async def test_remembered_for_a_day_after_its_expiry(self, store: SessionStore) -> None:
        await store.consume("k", NOON)
        await store.purge(NOON + KEEP - 1, idle=1e9)
        assert not await store.consume("k", NOON)
        await store.purge(NOON + KEEP + 1, idle=1e9)
        assert await store.consume("k", NOON)


class TestFirstSeen:
    async def test_the_first_is_told_now_and_all_others_an_earlier_time(self, store: SessionStore) -> None:
        assert await store.first_seen("jti:1", NOON, NOON + 60) == NOON
        assert await store.first_seen("jti:1", NOON + 7, NOON + 60) == NOON
        assert await store.first_seen("jti:2", NOON + 7, NOON + 60) == NOON + 7

    async def test_at_the_very_same_moment_only_one_is_the_first(self, store: SessionStore) -> None:
        told = await asyncio.gather(*(store.first_seen("k", NOON, NOON + 60) for _ in range(50)))
        assert told.count(NOON) == 1
        assert all(NOON - 1 < each <= NOON for each in told)

    async def test_a_clock_that_lags_is_no_first_either(self, store: SessionStore) -> None:
        await store.first_seen("k", NOON, NOON + 60)
        assert await store.first_seen("k", NOON - 5, NOON + 60) < NOON - 5

    async def test_what_was_consumed_was_seen_at_no_known_time(self, store: SessionStore) -> None:
        await store.consume("k", NOON)
        assert await store.first_seen("k", NOON, NOON + 60) == float("-inf")

    async def test_forgotten_a_day_after_its_expiry(self, store: SessionStore) -> None:
        await store.first_seen("k", NOON, NOON)
        await store.purge(NOON + KEEP - 1, idle=1e9)
        assert await store.first_seen("k", NOON + KEEP, NOON + KEEP) == NOON
        await store.purge(NOON + KEEP + 1, idle=1e9)
        assert await store.first_seen("k", NOON + KEEP + 2, NOON + KEEP + 2) == NOON + KEEP + 2
