"""Sessions are renewed behind the back of those who use them: real sessions and store, a provider told what to say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from lying_provider import NOW

from proxy.authn.errors import LoginRefused, ProviderUnavailable
from proxy.authn.oidc import LoginResult
from proxy.authn.refresh import Refresher, due_at
from proxy.authn.token_endpoint import Tokens
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.bus import Bus
from proxy.sessions.live import Gone, LiveSession
from proxy.sessions.memory import MemoryStore
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.sessions.store import StoreUnavailable
from proxy.settings import schema

SETTINGS = schema.Sessions(
    lifetime=schema.Duration(43200), refresh=schema.Duration(300), outage_grace=schema.Duration(600)
)
ANN = Identity(kind="person", subject="u-1", provider="corp", groups=frozenset({"sre"}))
TOKENS = Tokens(access_token="at-1", refresh_token="rt-1", id_token="idt", nonce="n", sub="u-1")


class Script:
    """A provider that rotates its tokens, or does what it is told; counts how often it was asked, and with what."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.raises: Exception | None = None
        self.groups = frozenset({"staff"})
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def refresh(self, tokens: Tokens, identity: Identity) -> LoginResult:
        self.asked.append(tokens.refresh_token)
        self.was_asked.set()
        await self.may_answer.wait()
        if self.raises is not None:
            raise self.raises
        number = int(tokens.refresh_token.removeprefix("rt-")) + 1
        return LoginResult(
            identity=msgspec.structs.replace(identity, groups=self.groups),
            tokens=msgspec.structs.replace(tokens, refresh_token=f"rt-{number}"),
        )


class Worker:
    """One worker: its view of the sessions, and its refresher."""

    def __init__(self, name: str, store: MemoryStore, script: Script, clock: Any) -> None:
        self.clock = clock
        self.store = store
        self.sessions = Sessions(store, Bus(store, None, clock=clock), Sealer(b"k" * 32), SETTINGS, clock)
        self.refresher = Refresher(self.sessions, lambda: {"corp": script}, SETTINGS, clock, name)

    async def login(self, tokens: Tokens = TOKENS) -> LiveSession:
        return await self.sessions.create(ANN, "corp", tokens.to_bytes(), "", self.clock())

    async def use(self, live: LiveSession) -> None:
        """A request, and whatever it set off, to the end."""
        self.refresher.poke(live, self.clock())
        await self.refresher.settled(live)

    async def stored(self, live: LiveSession) -> Tokens:
        record = await self.store.get(live.sid)
        assert record is not None
        return Tokens.from_bytes(self.sessions.tokens(record))


@pytest.fixture
async def script() -> Script:
    return Script()


@pytest.fixture
async def worker(script: Script, clock: Any) -> Worker:
    return Worker("w1", MemoryStore(), script, clock)


async def test_nothing_is_asked_before_it_is_due(worker: Worker, script: Script, clock: Any) -> None:
    live = await worker.login()
    clock.now += 299
    await worker.use(live)
    assert script.asked == []


async def test_when_due_groups_and_tokens_are_renewed(worker: Worker, script: Script, clock: Any) -> None:
    live = await worker.login()
    clock.now += 300
    await worker.use(live)
    assert live.identity.groups == {"staff"}
    assert live.refresh_at == clock.now + 300
    assert (await worker.stored(live)).refresh_token == "rt-2"
    await worker.use(live)
    clock.now += 300
    await worker.use(live)
    assert script.asked == ["rt-1", "rt-2"]


async def test_a_crowd_of_requests_renews_once(worker: Worker, script: Script, clock: Any) -> None:
    live = await worker.login()
    clock.now += 301
    await asyncio.gather(*(worker.use(live) for _ in range(50)))
    assert script.asked == ["rt-1"]


async def test_two_workers_renew_once_and_both_know(script: Script, clock: Any) -> None:
    store = MemoryStore()
    one, two = Worker("w1", store, script, clock), Worker("w2", store, script, clock)
    live = await one.login()
    handle = (await one.sessions.new_handle(live.sid, "a.example")).encode()
    other = await two.sessions.load(handle, "a.example")
    assert isinstance(other, LiveSession)
    clock.now += 301
    script.may_answer.clear()
    first, second = asyncio.create_task(one.use(live)), asyncio.create_task(two.use(other))
    await script.was_asked.wait()
    script.may_answer.set()
    await asyncio.gather(first, second)
    assert script.asked == ["rt-1"], "a token used twice looks like theft"
    assert (await two.stored(other)).refresh_token == "rt-2"


async def test_no_means_no(worker: Worker, script: Script, clock: Any) -> None:
    live = await worker.login()
    clock.now += 301
    script.raises = LoginRefused("invalid_grant")
    await worker.use(live)
    assert live.ended == Reason.SESSION_REVOKED
    record = await worker.store.get(live.sid)
    assert record is not None
    assert record.ended == Reason.SESSION_REVOKED


@pytest.mark.parametrize("trouble", [ProviderUnavailable("502"), RuntimeError("a bug of ours")], ids=repr)
async def test_an_outage_is_borne_for_the_grace_and_no_longer(
    worker: Worker, script: Script, clock: Any, trouble: Exception
) -> None:
    live = await worker.login()
    clock.now += 301
    script.raises = trouble
    confirmed = live.record.created
    while live.ended is None:
        assert clock.now <= confirmed + 600
        await worker.use(live)
        clock.now += 1
    assert clock.now == confirmed + 601, "the grace counts from when the provider knew the session last"
    assert live.ended == Reason.SESSION_EXPIRED
    assert 6 <= len(script.asked) <= 10, "attempts at growing distances"


async def test_after_the_grace_no_request_gets_through_between_two_attempts(
    worker: Worker, script: Script, clock: Any
) -> None:
    live = await worker.login()
    handle = (await worker.sessions.new_handle(live.sid, "a.example")).encode()
    script.raises = ProviderUnavailable("502")
    for moment in (301, 306, 316, 336, 376, 436, 496, 556):
        clock.now = live.record.created + moment
        await worker.use(live)
    asked = len(script.asked)
    clock.now = live.record.created + 599
    assert worker.refresher.poke(live, clock.now) is False, "what is known counts still"
    clock.now = live.record.created + 600
    assert worker.refresher.poke(live, clock.now) is True
    assert live.ended == Reason.SESSION_EXPIRED, "though the next attempt is not due yet"
    assert len(script.asked) == asked
    await worker.refresher.settled(live)
    worker.sessions.expire(clock.now)
    await worker.sessions.close()
    assert await worker.sessions.load(handle, "a.example") == Gone(Reason.SESSION_EXPIRED)
    record = await worker.store.get(live.sid)
    assert record is not None
    assert record.ended == Reason.SESSION_EXPIRED, "the other workers know it, too"


async def test_who_comes_back_after_the_grace_waits_for_one_more_attempt(
    worker: Worker, script: Script, clock: Any
) -> None:
    well, ill = await worker.login(), await worker.login()
    script.raises = ProviderUnavailable("502")
    clock.now += 301
    for live in (well, ill):
        await worker.use(live)
    clock.now += 3000
    assert worker.refresher.poke(ill, clock.now) is True
    await worker.refresher.settled(ill)
    assert ill.ended == Reason.SESSION_EXPIRED
    script.raises = None
    assert worker.refresher.poke(well, clock.now) is True
    await worker.refresher.settled(well)
    assert well.ended is None
    assert well.identity.groups == {"staff"}


async def test_after_the_grace_an_attempt_that_settles_nothing_ends_the_session(
    worker: Worker, script: Script, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await worker.login()

    async def somebody_else_holds_it(*_: object) -> bool:
        return False

    monkeypatch.setattr(worker.refresher, "_leased", somebody_else_holds_it)
    clock.now += 601
    assert worker.refresher.poke(live, clock.now) is True
    await worker.refresher.settled(live)
    assert live.ended == Reason.SESSION_EXPIRED


async def test_after_the_grace_news_from_another_worker_is_read_before_the_verdict(
    script: Script, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    one, two = Worker("w1", store, script, clock), Worker("w2", store, script, clock)
    live = await one.login()
    other = await two.sessions.load((await one.sessions.new_handle(live.sid, "a.example")).encode(), "a.example")
    assert isinstance(other, LiveSession)
    clock.now += 601
    await one.use(live)
    assert other.refresh_at < clock.now, "it has not heard yet"
    assert two.refresher.poke(other, clock.now) is True
    await two.refresher.settled(other)
    assert other.ended is None
    assert other.identity.groups == {"staff"}


async def test_after_the_grace_a_dead_store_saves_nobody(
    worker: Worker, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await worker.login()

    async def gone(*_: object, **__: object) -> None:
        raise StoreUnavailable("the disk is full")

    for name in ("lease", "get", "revoke_many"):
        monkeypatch.setattr(worker.store, name, gone)
    clock.now += 601
    assert worker.refresher.poke(live, clock.now) is True
    await worker.refresher.settled(live)
    assert live.ended == Reason.SESSION_EXPIRED


async def test_an_outage_that_ends_in_time_leaves_no_trace(worker: Worker, script: Script, clock: Any) -> None:
    live = await worker.login()
    clock.now += 301
    script.raises = ProviderUnavailable("502")
    await worker.use(live)
    clock.now += 4
    await worker.use(live)
    assert len(script.asked) == 1
    script.raises = None
    clock.now += 2
    await worker.use(live)
    assert live.identity.groups == {"staff"}
    clock.now += 301
    script.raises = ProviderUnavailable("502")
    await worker.use(live)
    clock.now += 298
    await worker.use(live)
    assert live.ended is None, "the grace begins anew with each renewal"


async def test_a_session_that_slept_waits_for_news(worker: Worker, script: Script, clock: Any) -> None:
    live = await worker.login()
    clock.now += 301
    assert worker.refresher.poke(live, clock.now) is False, "just due: the request goes on with what is known"
    await worker.refresher.settled(live)
    clock.now += 1000
    assert worker.refresher.poke(live, clock.now) is True, "long overdue: what is known is too old to decide on"
    await worker.refresher.settled(live)
    script.raises = ProviderUnavailable("502")
    clock.now += 301
    await worker.use(live)
    assert worker.refresher.poke(live, clock.now) is False, "in an outage nobody waits for every request"


async def test_without_a_refresh_token_it_is_never_due(worker: Worker) -> None:
    result = LoginResult(identity=ANN, tokens=Tokens(access_token="at"))
    assert due_at(result, NOW, SETTINGS) == float("inf")
    renewable = LoginResult(identity=ANN, tokens=TOKENS)
    assert due_at(renewable, NOW, SETTINGS) == NOW + 300


async def test_tokens_that_cannot_be_read_end_the_session(script: Script, clock: Any) -> None:
    worker = Worker("w1", MemoryStore(), script, clock)
    live = await worker.login()
    worker.sessions._sealer = Sealer(b"x" * 32)
    clock.now += 301
    await worker.use(live)
    assert live.ended == Reason.SESSION_REVOKED
    assert script.asked == []


async def test_a_provider_no_longer_configured_ends_the_session(worker: Worker, clock: Any) -> None:
    live = await worker.sessions.create(ANN, "gone", TOKENS.to_bytes(), "", clock.now)
    clock.now += 301
    await worker.use(live)
    assert live.ended == Reason.SESSION_REVOKED


async def test_a_rotated_token_is_not_lost_when_the_store_fails(
    worker: Worker, script: Script, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await worker.login()
    clock.now += 301
    update: Callable[..., Awaitable[bool]] = worker.store.update

    async def locked(_record: object) -> bool:
        raise StoreUnavailable("the database is locked")

    monkeypatch.setattr(worker.store, "update", locked)
    await worker.use(live)
    assert live.ended is None
    monkeypatch.setattr(worker.store, "update", update)
    clock.now += 6
    await worker.use(live)
    assert script.asked == ["rt-1"], "asked once only: the first answer was kept until it could be written"
    assert (await worker.stored(live)).refresh_token == "rt-2"


async def test_a_long_stream_keeps_its_session_fresh(worker: Worker, script: Script, clock: Any) -> None:
    class Stream:
        def cut(self, reason: Reason, /) -> None:
            """Not cut here."""

    quiet, busy = await worker.login(), await worker.login()
    stream = Stream()
    busy.streams.add(stream)
    clock.now += 301
    worker.refresher.sweep([quiet, busy], clock.now)
    await worker.refresher.close()
    assert busy.identity.groups == {"staff"}
    assert quiet.identity.groups == {"sre"}
    assert len(script.asked) == 1
