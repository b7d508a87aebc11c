"""A session whose person has just shown more: the same session, its streams alive, every old handle worthless."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from session_people import Clock, person

from proxy.model.reasons import Reason
from proxy.sessions.bus import Bus
from proxy.sessions.live import Gone, LiveSession
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.sessions.session import SessionRecord
from proxy.sessions.store import SessionStore, StoreUnavailable
from proxy.settings import schema

APP, WIKI = "grafana.apps.localhost", "wiki.apps.localhost"
UNKNOWN = Gone(Reason.LOGIN_REQUIRED)
Worker = Callable[[], Awaitable[Sessions]]


@pytest.fixture
async def worker(store: SessionStore, clock: Clock) -> AsyncIterator[Worker]:
    """Starts workers that share the store; each reads the bus only when told to."""
    started: list[Sessions] = []

    async def start() -> Sessions:
        bus = Bus(store, None, interval=3600, clock=clock)
        sessions = Sessions(store, bus, Sealer(b"k" * 32), schema.Sessions(), clock, clock.monotonic)
        await sessions.start()
        started.append(sessions)
        return sessions

    yield start
    for sessions in started:
        await sessions.close()


async def heard(sessions: Sessions) -> None:
    await sessions._bus._round(sessions._apply, sessions._confirmed)


def stronger(record: SessionRecord) -> SessionRecord:
    return msgspec.structs.replace(record, identity=msgspec.structs.replace(record.identity, second_factor=("otp",)))


class Stream:
    def __init__(self, live: LiveSession) -> None:
        self.live = live
        self.cuts: list[Reason] = []
        live.streams.add(self)

    def cut(self, reason: Reason) -> None:
        self.cuts.append(reason)
        self.live.streams.discard(self)


async def logged_in(sessions: Sessions, now: float) -> tuple[LiveSession, bytes, bytes]:
    live = await sessions.create(person(), "corp", b"tokens", "op-1", now)
    return live, *[(await sessions.new_handle(live.sid, host)).encode() for host in (APP, WIKI)]


async def test_old_handles_are_worthless_on_every_host_and_in_every_worker(worker: Worker, clock: Clock) -> None:
    here, there = await worker(), await worker()
    live, app, wiki = await logged_in(here, clock())
    for sessions in (here, there):
        for handle, host in ((app, APP), (wiki, WIKI)):
            assert isinstance(await sessions.load(handle, host), LiveSession)

    assert await here.strengthen(live.sid, stronger)
    new = (await here.new_handle(live.sid, APP)).encode()
    await heard(there)

    for sessions in (here, there):
        for handle, host in ((app, APP), (wiki, WIKI)):
            assert sessions.cached(handle, host, clock()) is None, "memory does not answer for it"
            assert await sessions.load(handle, host) == UNKNOWN
        found = await sessions.load(new, APP)
        assert isinstance(found, LiveSession)
        assert found.identity.second_factor == ("otp",)
        assert found.sid == live.sid


async def test_what_is_open_goes_on_with_the_stronger_identity(worker: Worker, clock: Clock) -> None:
    here, there = await worker(), await worker()
    live, app, _ = await logged_in(here, clock())
    found = await there.load(app, APP)
    assert isinstance(found, LiveSession)
    streams = [Stream(live), Stream(found)]

    await here.strengthen(live.sid, stronger)
    await heard(there)

    assert [stream.cuts for stream in streams] == [[], []]
    assert live.identity.second_factor == found.identity.second_factor == ("otp",)
    await here.end(live.sid)
    await heard(there)
    assert [stream.cuts for stream in streams] == [[Reason.SESSION_REVOKED]] * 2, "and its end still reaches them"


async def test_a_look_up_under_way_does_not_bring_an_old_handle_back(
    worker: Worker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await worker()
    live, app, _ = await logged_in(here, clock())
    by_handle, calls = here.store.by_handle, []

    async def overtaken(hashed: bytes) -> object:
        found = await by_handle(hashed)
        calls.append(found)
        if len(calls) == 1:
            await here.strengthen(live.sid, stronger)
        return found

    monkeypatch.setattr(here.store, "by_handle", overtaken)
    assert await here.load(app, APP) == UNKNOWN


async def test_tokens_of_a_new_login_replace_the_old_and_none_keep_them(worker: Worker, clock: Clock) -> None:
    sessions = await worker()
    live, *_ = await logged_in(sessions, clock())
    await sessions.strengthen(live.sid, stronger)
    assert sessions.tokens(await sessions.store.get(live.sid)) == b"tokens"
    clock.pass_(100)
    await sessions.strengthen(live.sid, stronger, b"newer")
    record = await sessions.store.get(live.sid)
    assert sessions.tokens(record) == b"newer"
    assert record.refresh_at == clock() + 300
    await sessions.strengthen(live.sid, stronger, b"newest", 7.0)
    assert (await sessions.store.get(live.sid)).refresh_at == 7.0


async def test_a_session_that_has_ended_is_not_brought_back(worker: Worker, clock: Clock) -> None:
    sessions = await worker()
    live, *_ = await logged_in(sessions, clock())
    await sessions.end(live.sid)
    assert not await sessions.strengthen(live.sid, stronger)
    assert not await sessions.strengthen("unknown", stronger)


async def test_when_the_store_fails_nobody_is_stronger(
    worker: Worker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = await worker()
    live, app, _ = await logged_in(sessions, clock())

    async def fails(record: SessionRecord) -> bool:
        raise StoreUnavailable("full")

    monkeypatch.setattr(sessions.store, "update", fails)
    with pytest.raises(StoreUnavailable):
        await sessions.strengthen(live.sid, stronger)
    assert live.identity.second_factor == ()
    assert await sessions.load(app, APP) == UNKNOWN, "old handles are dropped first: better to log in once too often"
