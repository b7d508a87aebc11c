"""A worker's view of sessions: look-up, expiry, revocation, renewal, hand-over; time turned by hand."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from session_people import Clock, person

from proxy.model.reasons import Reason
from proxy.sessions import cache
from proxy.sessions.bus import Bus
from proxy.sessions.live import Gone, LiveSession
from proxy.sessions.seal import Sealer
from proxy.sessions.service import TRUSTED_FOR, Sessions
from proxy.sessions.sqlite import SqliteStore
from proxy.sessions.store import KEEP, SessionStore, StoreUnavailable
from proxy.sessions.ticket import TicketRefused
from proxy.settings import schema

APP, WIKI = "grafana.apps.localhost", "wiki.apps.localhost"
SETTINGS = schema.Sessions(lifetime=schema.Duration(43200), idle=schema.Duration(3600))
SEALER = Sealer(b"k" * 32)
UNKNOWN = Gone(Reason.LOGIN_REQUIRED)
EXPIRED = Gone(Reason.SESSION_EXPIRED)
REVOKED = Gone(Reason.SESSION_REVOKED)

Worker = Callable[[], Awaitable[Sessions]]


class Stream:
    """An exchange that remembers how it was cut."""

    def __init__(self, live: LiveSession) -> None:
        self.live = live
        self.cuts: list[Reason] = []
        live.streams.add(self)

    def cut(self, reason: Reason) -> None:
        self.cuts.append(reason)
        self.live.streams.discard(self)


@pytest.fixture
async def worker(store: SessionStore, clock: Clock) -> AsyncIterator[Worker]:
    """Starts workers that share the store; each polls only when told to, so that nothing happens by itself."""
    started: list[Sessions] = []

    async def start() -> Sessions:
        bus = Bus(store, None, interval=3600, clock=clock)
        sessions = Sessions(store, bus, SEALER, SETTINGS, clock, clock.monotonic)
        await sessions.start()
        started.append(sessions)
        return sessions

    yield start
    for sessions in started:
        await sessions.close()


@pytest.fixture
async def sessions(worker: Worker) -> Sessions:
    return await worker()


async def logged_in(sessions: Sessions, now: float, host: str = APP) -> tuple[LiveSession, bytes]:
    live = await sessions.create(person(), "corp", b"tokens", "op-1", now)
    return live, (await sessions.new_handle(live.sid, host)).encode()


async def settled(*all_sessions: Sessions) -> None:
    """Let each bus read what is new and all background writes end."""
    for sessions in all_sessions:
        await sessions._bus._round(sessions._apply, sessions._confirmed)
        for task in list(sessions._upkeep._tasks.values()):
            await task


class TestLookUp:
    async def test_the_store_is_asked_once_then_memory_answers(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        assert sessions.cached(handle, APP, clock()) is None
        assert await sessions.load(handle, APP) is live
        assert sessions.cached(handle, APP, clock()) is live
        assert live.identity == person(session=live.sid)

    async def test_another_worker_sees_the_same_session(self, worker: Worker, clock: Clock) -> None:
        here, there = await worker(), await worker()
        live, handle = await logged_in(here, clock())
        found = await there.load(handle, APP)
        assert isinstance(found, LiveSession)
        assert found is not live
        assert (found.sid, found.identity, found.expires_at) == (live.sid, live.identity, live.expires_at)

    async def test_a_handle_is_good_on_its_host_only(self, sessions: Sessions, clock: Clock) -> None:
        _, handle = await logged_in(sessions, clock())
        assert await sessions.load(handle, WIKI) == UNKNOWN
        assert sessions.cached(handle, WIKI, clock()) == UNKNOWN
        assert isinstance(sessions.cached(handle, APP, clock()), LiveSession)

    async def test_handles_of_one_session_share_one_object(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        other = (await sessions.new_handle(live.sid, WIKI)).encode()
        assert await sessions.load(handle, APP) is await sessions.load(other, WIKI)

    @pytest.mark.parametrize("planted", [b"", b"x", b"A" * 42, b"A" * 44, b"A" * 42 + b"!", b"A" * 1_000_000])
    async def test_what_is_no_handle_never_reaches_the_store(self, clock: Clock, planted: bytes) -> None:
        sessions = Sessions(None, None, SEALER, SETTINGS, clock)  # type: ignore[arg-type]  there must be no call
        assert await sessions.load(planted, APP) == UNKNOWN

    async def test_unknown_handles_are_remembered_for_a_moment(self, sessions: Sessions, clock: Clock) -> None:
        assert await sessions.load(b"A" * 43, APP) == UNKNOWN
        assert sessions.cached(b"A" * 43, APP, clock()) == UNKNOWN
        assert sessions.cached(b"A" * 43, APP, clock.pass_(cache.GONE_FOR)) is None

    async def test_a_flood_of_unknown_handles_is_forgotten(self, sessions: Sessions) -> None:
        for number in range(cache.MOST_GONE + 10):
            await sessions.load(b"%043d" % number, APP)
        assert len(sessions._cache._gone) == cache.MOST_GONE

    async def test_many_at_once_share_one_query(
        self, sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live, handle = await logged_in(sessions, clock())
        asked = []
        by_handle = sessions.store.by_handle

        async def counted(hashed: bytes) -> object:
            asked.append(hashed)
            return await by_handle(hashed)

        monkeypatch.setattr(sessions.store, "by_handle", counted)
        first = asyncio.create_task(sessions.load(handle, APP))
        others = [asyncio.create_task(sessions.load(handle, APP)) for _ in range(9)]
        await asyncio.sleep(0)
        first.cancel()  # its client went away: the others get their answer all the same
        assert await asyncio.gather(*others) == [live] * 9
        assert len(asked) == 1
        assert handle not in b"".join(asked)

    async def test_pushed_out_of_memory_it_is_still_found_while_in_use(
        self, sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache, "MOST_HANDLES", 2)
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        stream = Stream(live)
        for _ in range(2):
            _, other = await logged_in(sessions, clock())
            await sessions.load(other, APP)
        assert sessions.cached(handle, APP, clock()) is None
        assert await sessions.end(live.sid)
        assert stream.cuts == [Reason.SESSION_REVOKED]

    async def test_memory_lets_go_of_what_nobody_uses(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        sid = live.sid
        del live
        for _ in range(6):
            sessions.expire(clock.pass_(1000))
            await settled(sessions)
        gc.collect()
        assert (sid in sessions._cache.by_sid, len(sessions._handles), len(sessions._upkeep._deadlines)) == (
            False,
            0,
            0,
        )


class TestEnd:
    async def test_at_once_and_with_its_streams(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        live.scratch["assertion"] = b"signed"
        stream = Stream(live)
        assert await sessions.end(live.sid, Reason.SESSION_REVOKED)
        assert stream.cuts == [Reason.SESSION_REVOKED]
        assert sessions.cached(handle, APP, clock()) == REVOKED
        assert await sessions.load(handle, APP) == REVOKED
        assert (live.ended, live.scratch) == (Reason.SESSION_REVOKED, {})
        assert not await sessions.end(live.sid)

    async def test_in_the_other_worker_when_it_hears_of_it(self, worker: Worker, clock: Clock) -> None:
        here, there = await worker(), await worker()
        live, handle = await logged_in(here, clock())
        found = await there.load(handle, APP)
        stream = Stream(found)
        await here.end(live.sid)
        await settled(there)
        assert stream.cuts == [Reason.SESSION_REVOKED]
        assert there.cached(handle, APP, clock()) == REVOKED
        assert await there.load(handle, APP) == REVOKED

    async def test_a_look_up_under_way_does_not_bring_it_back(
        self, worker: Worker, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = await worker(), await worker()
        live, handle = await logged_in(here, clock())
        by_handle = there.store.by_handle
        calls = []

        async def overtaken(hashed: bytes) -> object:
            found = await by_handle(hashed)
            calls.append(found)
            if len(calls) == 1:  # the answer is on its way when the session ends
                await here.end(live.sid)
                await settled(there)
            return found

        monkeypatch.setattr(there.store, "by_handle", overtaken)
        assert await there.load(handle, APP) == REVOKED
        assert there.cached(handle, APP, clock()) == REVOKED
        assert len(calls) == 2

    async def test_a_stream_that_fails_to_end_does_not_save_the_others(self, sessions: Sessions, clock: Clock) -> None:
        live, _ = await logged_in(sessions, clock())

        class Broken(Stream):
            def cut(self, reason: Reason) -> None:
                raise RuntimeError("transport is confused")

        others = [Stream(live), Broken(live), Stream(live)]
        await sessions.end(live.sid)
        assert sum(len(each.cuts) for each in others) == 2

    async def test_ten_thousand_streams_end_in_slices(self, sessions: Sessions, clock: Clock) -> None:
        live, _ = await logged_in(sessions, clock())
        streams = [Stream(live) for _ in range(10_000)]
        progress = []

        async def watch() -> None:
            while len(live.streams):
                progress.append(len(live.streams))
                await asyncio.sleep(0)

        watcher = asyncio.create_task(watch())
        await sessions.end(live.sid)
        await watcher
        assert all(each.cuts == [Reason.SESSION_REVOKED] for each in streams)
        steps = [before - after for before, after in pairwise(progress)]
        assert max(steps) <= 2 * cache._SLICE  # somebody else had a turn after each slice

    async def test_by_the_provider(self, sessions: Sessions, clock: Clock) -> None:
        first, _ = await logged_in(sessions, clock())
        second, _ = await logged_in(sessions, clock())
        assert await sessions.end_at_provider("corp", "sub-bob", "") == []
        assert len(await sessions.end_at_provider("corp", "sub-ann", "op-1")) == 2
        assert (first.ended, second.ended) == (Reason.SESSION_REVOKED, Reason.SESSION_REVOKED)

    async def test_no_new_handle_for_an_ended_session(self, sessions: Sessions, clock: Clock) -> None:
        live, _ = await logged_in(sessions, clock())
        await sessions.end(live.sid)
        with pytest.raises(KeyError):
            await sessions.new_handle(live.sid, APP)
        with pytest.raises(KeyError):
            await sessions.new_handle("unknown", APP)


class TestExpiry:
    async def test_absolute_at_the_next_request(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        stream = Stream(live)
        assert sessions.cached(handle, APP, live.expires_at) == EXPIRED
        assert stream.cuts == [Reason.SESSION_EXPIRED]
        assert sessions.cached(handle, APP, clock()) == EXPIRED

    async def test_absolute_by_the_ticker(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        stream = Stream(live)
        sessions.expire(clock.pass_(43199))
        assert stream.cuts == []
        sessions.expire(clock.pass_(1))
        assert stream.cuts == [Reason.SESSION_EXPIRED]
        await settled(sessions)
        assert (await sessions.store.get(live.sid)).ended is Reason.SESSION_EXPIRED
        assert await sessions.load(handle, APP) == EXPIRED

    async def test_idle(self, sessions: Sessions, clock: Clock) -> None:
        _, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        clock.pass_(3599)
        await settled(sessions)
        assert isinstance(sessions.cached(handle, APP, clock()), LiveSession)
        sessions.expire(clock())
        await settled(sessions)
        clock.pass_(3603)
        assert sessions.cached(handle, APP, clock()) is None
        assert await sessions.load(handle, APP) == EXPIRED

    async def test_not_idle_when_another_worker_has_seen_it(self, worker: Worker, clock: Clock) -> None:
        here, there = await worker(), await worker()
        _, handle = await logged_in(here, clock())
        await here.load(handle, APP)
        await there.load(handle, APP)
        for _ in range(3):
            clock.pass_(3000)
            await settled(here)
            assert isinstance(here.cached(handle, APP, clock()), LiveSession)
            here.expire(clock.pass_(1))
            await settled(here)
        await settled(there)
        assert there.cached(handle, APP, clock()) is None
        assert isinstance(await there.load(handle, APP), LiveSession)

    async def test_an_open_stream_keeps_it_from_being_idle(self, worker: Worker, clock: Clock) -> None:
        here, there = await worker(), await worker()
        live, handle = await logged_in(here, clock())
        stream = Stream(live)
        for _ in range(400):
            here.expire(clock.pass_(30))
            await settled(here)
        assert stream.cuts == []
        assert isinstance(await there.load(handle, APP), LiveSession)

    async def test_shorter_settings_hold_for_those_who_are_in(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        sessions.expire(clock.pass_(601))
        sessions.reconfigure(schema.Sessions(lifetime=schema.Duration(600)))
        sessions.expire(clock())
        assert live.ended is Reason.SESSION_EXPIRED

    async def test_ten_thousand_at_once(self, sessions: Sessions, clock: Clock) -> None:
        lives = [await sessions.create(person(), "corp", b"", "", clock()) for _ in range(2500)]
        sessions.expire(clock.pass_(43200))
        ended_at_once = sum(live.ended is not None for live in lives)
        assert 0 < ended_at_once <= 1000
        for _ in range(4):
            await asyncio.sleep(0)
        assert all(live.ended for live in lives)

    async def test_a_quiet_second_looks_at_nobody(self, sessions: Sessions, clock: Clock) -> None:
        lives = [await sessions.create(person(), "corp", b"", "", clock()) for _ in range(100)]
        looked_at: list[object] = []
        sessions._upkeep._settle = lambda live, now: looked_at.append(live)  # type: ignore[method-assign]  a spy
        for _ in range(10):
            sessions.expire(clock.pass_(1))
        assert (len(lives), looked_at) == (100, [])


class TestSeen:
    async def test_written_at_most_once_a_minute(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        written = set()
        for _ in range(180):
            sessions.cached(handle, APP, clock())
            sessions.expire(clock.pass_(1))
            await settled(sessions)
            written.add((await sessions.store.get(live.sid)).last_seen)
        assert 3 <= len(written) <= 4

    async def test_the_last_request_is_written_exactly_in_the_end(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        sessions.expire(clock.pass_(1))
        await settled(sessions)
        last = clock.pass_(30)
        await settled(sessions)
        assert sessions.cached(handle, APP, last) is live
        for _ in range(2):
            sessions.expire(clock.pass_(40))
            await settled(sessions)
        assert (await sessions.store.get(live.sid)).last_seen == last

    async def test_what_is_unwritten_is_written_at_the_close(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        sessions.cached(handle, APP, last := clock.pass_(5))
        await sessions.close()
        assert (await sessions.store.get(live.sid)).last_seen == last


class TestClockJumps:
    async def test_backwards_does_not_bring_back_the_expired(self, worker: Worker, clock: Clock) -> None:
        here, there = await worker(), await worker()
        _, handle = await logged_in(here, clock())
        await here.load(handle, APP)
        clock.pass_(43200)
        await settled(here)
        assert here.cached(handle, APP, clock()) == EXPIRED
        here.expire(clock())
        await settled(here, there)
        clock.jump(-40000)
        for each in (here, there, await worker()):
            await settled(each)
            assert await each.load(handle, APP) == EXPIRED

    async def test_backwards_before_it_is_written_down(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        assert sessions.cached(handle, APP, clock.pass_(43200)) == EXPIRED
        clock.jump(-40000)
        assert await sessions.load(handle, APP) == EXPIRED
        assert live.ended is Reason.SESSION_EXPIRED

    async def test_backwards_before_its_beginning_it_is_refused_until_time_catches_up(
        self, worker: Worker, clock: Clock
    ) -> None:
        here = await worker()
        _, handle = await logged_in(here, clock())
        clock.jump(-3600)
        assert await here.load(handle, APP) == EXPIRED
        clock.jump(3600)
        assert isinstance(await (await worker()).load(handle, APP), LiveSession)

    async def test_small_steps_are_nothing(self, sessions: Sessions, clock: Clock) -> None:
        _, handle = await logged_in(sessions, clock())
        clock.jump(-30)
        assert isinstance(await sessions.load(handle, APP), LiveSession)

    async def test_what_was_seen_by_a_clock_ahead_is_corrected(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        clock.jump(1800)
        await settled(sessions)
        assert sessions.cached(handle, APP, clock()) is live
        sessions.expire(clock())
        await settled(sessions)
        assert (await sessions.store.get(live.sid)).last_seen == clock()
        last = clock.jump(-1800)
        assert sessions.cached(handle, APP, last) is live
        for _ in range(2):
            sessions.expire(clock.pass_(40))
            await settled(sessions)
        assert (await sessions.store.get(live.sid)).last_seen == last

    async def test_forwards_ends_and_nothing_is_deleted(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        bind = "b" * 43
        used = sessions.ticket(live.sid, APP, bind, "/")
        await sessions.redeem(used, APP, bind)
        sessions.expire(clock.pass_(1000))
        await settled(sessions)
        used = sessions.ticket(live.sid, APP, bind, "/")
        await sessions.redeem(used, APP, bind)
        for _ in range(10):  # a wrong clock for ten minutes, far ahead
            clock.jump(10 * KEEP if _ == 0 else 0)
            sessions.expire(clock.pass_(60))
            await settled(sessions)
        clock.jump(-10 * KEEP - 600)
        with pytest.raises(TicketRefused, match="used before"):
            await sessions.redeem(used, APP, bind)
        assert await sessions.load(handle, APP) == EXPIRED

    async def test_after_a_quiet_hour_old_rows_are_deleted(self, sessions: Sessions, clock: Clock) -> None:
        live, _ = await logged_in(sessions, clock())
        sid = live.sid
        for _ in range(140):
            sessions.expire(clock.pass_(1000))
            await settled(sessions)
        assert await sessions.store.get(sid) is not None or clock() > live.record.expires + KEEP
        for _ in range(100):  # steps of 1,000 s by both clocks are no jump
            sessions.expire(clock.pass_(1000))
            await settled(sessions)
        assert await sessions.store.get(sid) is None


class TestRenewal:
    async def test_every_worker_takes_it_over(self, worker: Worker, clock: Clock) -> None:
        here, there = await worker(), await worker()
        live, handle = await logged_in(here, clock())
        found = await there.load(handle, APP)
        for each in (live, found):
            each.scratch["assertion"] = b"signed"
        changed = person(groups=frozenset({"hr"}))
        assert await here.renew(live.sid, identity=changed, tokens=b"rotated", refresh_at=clock() + 300)
        await settled(there)
        for each in (live, found):
            assert each.identity == person(groups=frozenset({"hr"}), session=live.sid)
            assert (each.scratch, each.refresh_at) == ({}, clock() + 300)
            assert here.tokens(each.record) == b"rotated"

    async def test_the_same_identity_keeps_what_was_made_of_it(self, sessions: Sessions, clock: Clock) -> None:
        live, _ = await logged_in(sessions, clock())
        live.scratch["assertion"] = b"signed"
        await sessions.renew(live.sid, identity=person(), tokens=b"rotated", refresh_at=math.inf)
        await settled(sessions)
        assert live.scratch == {"assertion": b"signed"}

    async def test_never_after_the_end(self, sessions: Sessions, clock: Clock) -> None:
        live, _ = await logged_in(sessions, clock())
        await sessions.end(live.sid)
        assert not await sessions.renew(live.sid, identity=person(), tokens=b"late", refresh_at=0)

    async def test_tokens_are_sealed_to_their_session(self, sessions: Sessions, clock: Clock) -> None:
        live, _ = await logged_in(sessions, clock())
        other, _ = await logged_in(sessions, clock())
        assert b"tokens" not in live.record.tokens
        assert sessions.tokens(live.record) == b"tokens"
        moved = type(live.record)(
            **{f: getattr(other.record, f) for f in other.record.__struct_fields__ if f != "tokens"},
            tokens=live.record.tokens,
        )
        assert sessions.tokens(moved) == b""

    async def test_without_tokens_nothing_is_to_be_refreshed(self, sessions: Sessions, clock: Clock) -> None:
        live = await sessions.create(person(), "corp", b"", "", clock())
        assert live.refresh_at == math.inf
        assert sessions.tokens(live.record) == b""


class TestHandOver:
    BIND = "b" * 43

    async def test_once_for_its_host_and_browser(self, worker: Worker, clock: Clock) -> None:
        login_host, app_host = await worker(), await worker()
        live, _ = await logged_in(login_host, clock())
        ticket = login_host.ticket(live.sid, APP, self.BIND, "/d/1?x=y")
        for host, bind in ((WIKI, self.BIND), (APP, "c" * 43), (APP, ""), (APP, "é")):
            with pytest.raises(TicketRefused):
                await app_host.redeem(ticket, host, bind)
        assert await app_host.redeem(ticket, APP, self.BIND) == (live.sid, "/d/1?x=y")
        for each in (app_host, login_host):
            with pytest.raises(TicketRefused, match="used before"):
                await each.redeem(ticket, APP, self.BIND)

    async def test_for_a_minute(self, sessions: Sessions, clock: Clock) -> None:
        ticket = sessions.ticket("sid", APP, self.BIND, "/")
        clock.pass_(61)
        with pytest.raises(TicketRefused):
            await sessions.redeem(ticket, APP, self.BIND)

    @pytest.mark.parametrize("path", ["", "x", "//evil.example", "/\\evil.example", "https://evil.example"])
    def test_back_to_a_path_of_this_host_only(self, clock: Clock, path: str) -> None:
        sessions = Sessions(None, None, SEALER, SETTINGS, clock)  # type: ignore[arg-type]  no store is needed
        with pytest.raises(ValueError, match="slash"):
            sessions.ticket("sid", APP, self.BIND, path)


class TestStoreDown:
    async def test_memory_is_not_believed_without_news(self, sessions: Sessions, clock: Clock) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)
        assert sessions.cached(handle, APP, clock.pass_(TRUSTED_FOR)) is live
        assert sessions.cached(handle, APP, clock.pass_(1)) is None
        await settled(sessions)
        assert sessions.cached(handle, APP, clock()) is live

    async def test_a_look_up_says_so_and_works_again_afterwards(
        self, sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, handle = await logged_in(sessions, clock())

        async def down(hashed: bytes) -> None:
            raise StoreUnavailable("state.db: locked")

        with monkeypatch.context() as broken:
            broken.setattr(sessions.store, "by_handle", down)
            with pytest.raises(StoreUnavailable):
                await sessions.load(handle, APP)
        assert isinstance(await sessions.load(handle, APP), LiveSession)

    async def test_an_end_that_could_not_be_written_is_no_end(
        self, sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live, _ = await logged_in(sessions, clock())

        async def down(*args: object, **keywords: object) -> None:
            raise StoreUnavailable("state.db: the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(sessions.store, "revoke_many", down)
            with pytest.raises(StoreUnavailable):
                await sessions.end(live.sid)
        assert await sessions.end(live.sid)

    async def test_ends_by_expiry_are_written_when_it_is_back(
        self, sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live, handle = await logged_in(sessions, clock())
        await sessions.load(handle, APP)

        async def down(*args: object, **keywords: object) -> None:
            raise StoreUnavailable("state.db: locked")

        with monkeypatch.context() as broken:
            for method in ("revoke_many", "touch", "lease"):
                broken.setattr(sessions.store, method, down)
            sessions.expire(clock.pass_(43200))
            await settled(sessions)
        assert (await sessions.store.get(live.sid)).ended is None
        sessions.expire(clock.pass_(1))
        await settled(sessions)
        assert (await sessions.store.get(live.sid)).ended is Reason.SESSION_EXPIRED


async def test_a_replaced_database_ends_what_it_does_not_know(sqlite: SqliteStore, clock: Clock) -> None:
    sessions = Sessions(sqlite, Bus(sqlite, None, interval=3600, clock=clock), SEALER, SETTINGS, clock, clock.monotonic)
    await sessions.start()
    live, handle = await logged_in(sessions, clock())
    await sessions.load(handle, APP)
    stream = Stream(live)
    remove_all(sqlite.path)
    await settled(sessions)
    assert stream.cuts == [Reason.SESSION_REVOKED]
    assert await sessions.load(handle, APP) == UNKNOWN
    other, handle = await logged_in(sessions, clock())
    assert await sessions.load(handle, APP) is other
    await sessions.close()


def remove_all(path: Path) -> None:
    for each in path.parent.glob("state.db*"):
        each.unlink()


async def test_nothing_secret_is_shown(sessions: Sessions, clock: Clock) -> None:
    live, handle = await logged_in(sessions, clock())
    await sessions.load(handle, APP)
    shown = repr(live) + repr(sessions) + repr(live.__class__)
    assert handle.decode() not in shown
    assert "tokens" not in shown
