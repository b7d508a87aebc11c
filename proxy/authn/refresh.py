"""Renewing sessions in the background, so that what the provider changes (groups, a closed account) counts here soon.

A session is due at its `refresh_at`. In one worker a session is renewed once at a time, across workers whoever holds
the store's lease does it, since most providers rotate refresh tokens and take a token used twice for theft
(RFC 9700 §4.14.2). Outcomes:

- renewed: identity and tokens are replaced everywhere, due again after the `refresh` setting;
- refused: the session ends everywhere;
- no answer, or a failure of our own: the session goes on, with attempts at growing distances, until `outage_grace`
  after the provider confirmed it last (a `refresh` period before it was due). From then on no request is decided on
  what was known: it waits for one more attempt, or is refused at once when one has just failed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec
from cachetools import LRUCache

from proxy.authn.errors import LoginRefused, ProviderUnavailable
from proxy.authn.oidc import LoginResult
from proxy.authn.token_endpoint import Tokens
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.live import LiveSession
from proxy.sessions.service import Sessions
from proxy.sessions.session import SessionRecord
from proxy.sessions.store import StoreUnavailable
from proxy.settings import schema

LOG = logging.getLogger(__name__)
LEASE = 60.0  # seconds; longer than the calls of one renewal can take together
FIRST_RETRY = 5.0  # seconds; doubles up to
LAST_RETRY = 60.0
_AT_ONCE = 32  # renewals under way in this worker
_LEASE_POLL = 0.25  # seconds between looks at a session another worker is renewing
_LEASE_LOOKS = 60


class Renews(Protocol):
    """What a provider must do to have its sessions renewed."""

    async def refresh(self, tokens: Tokens, identity: Identity) -> LoginResult:
        """New tokens and the identity as it is now. Raises `LoginRefused` or `ProviderUnavailable`."""


class _Trouble(msgspec.Struct, frozen=True):
    """A session that could not be renewed: when that was, when to try again, and the distance after that (seconds)."""

    failed: float
    again: float
    wait: float


class Refresher:
    """Keeps the sessions of one worker fresh.

    `providers` gives the current providers by name; `holder` names this worker among all that share the store;
    `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        sessions: Sessions,
        providers: Callable[[], Mapping[str, Renews]],
        settings: schema.Sessions,
        clock: Callable[[], float],
        holder: str,
    ) -> None:
        self._sessions = sessions
        self._providers = providers
        self.settings = settings
        self._clock = clock
        self._holder = holder
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._trouble: LRUCache[str, _Trouble] = LRUCache(maxsize=100_000)
        self._unwritten: LRUCache[str, LoginResult] = LRUCache(
            maxsize=10_000
        )  # renewed at the provider, not yet in the store
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def poke(self, live: LiveSession, now: float) -> bool:
        """To be called when a session is used; cheap unless it is due.

        Starts a renewal in the background if one is due. True when what we know is too old to decide on, because the
        session is overdue by more than one whole period (it slept) or its grace is over: the request waits for
        `settled`, which may be at once.
        """
        if now < live.refresh_at:
            return False
        trouble = self._trouble.get(live.sid)
        over = self._grace_is_over(live.refresh_at, now)
        if live.sid not in self._tasks:
            if trouble is not None and trouble.failed <= now < trouble.again:
                if over:
                    self._expire(live, now, "an attempt has just failed")
                return over
            task = asyncio.create_task(self._renew(live), name=f"refresh-{live.sid}")
            self._tasks[live.sid] = task
            task.add_done_callback(lambda _done: self._tasks.pop(live.sid, None))
        return over or (trouble is None and now - live.refresh_at > self.settings.refresh)

    async def settled(self, live: LiveSession) -> None:
        """Wait until the renewal under way, if any, has ended. Look at `live.ended` afterwards: it is set when the
        grace is over and nobody, in any worker, has renewed the session."""
        task = self._tasks.get(live.sid)
        if task is not None:
            await asyncio.shield(task)
        if live.ended is None and self._grace_is_over(live.refresh_at, self._clock()):
            await self._look_again(live)

    async def _look_again(self, live: LiveSession) -> None:
        """Another worker may have renewed it a moment ago, and the news is still on its way."""
        try:
            await self._sessions.reload(live.sid)
            why = "it could not be renewed"
        except StoreUnavailable as error:
            why = f"the session store cannot be asked: {error}"
        now = self._clock()
        if live.ended is None and self._grace_is_over(live.refresh_at, now):
            self._expire(live, now, why)

    def _grace_is_over(self, refresh_at: float, now: float) -> bool:
        confirmed = refresh_at - self.settings.refresh
        return now >= refresh_at and now - confirmed >= self.settings.outage_grace

    def sweep(self, lives: Iterable[LiveSession], now: float) -> None:
        """Poke sessions that are in use by a long exchange without making requests."""
        for live in lives:
            if live.streams:
                self.poke(live, now)

    def reconfigure(self, settings: schema.Sessions) -> None:
        """New settings; sessions already due or in trouble are held to them at the next attempt."""
        self.settings = settings

    async def close(self) -> None:
        """Let renewals under way finish: cutting one off between provider and store would lose a rotated token."""
        tasks = list(self._tasks.values())
        if tasks:
            _done, late = await asyncio.wait(tasks, timeout=LEASE / 4)
            for task in late:
                task.cancel()

    async def _renew(self, live: LiveSession) -> None:
        try:
            async with self._slots:
                await self._renew_alone(live.sid)
        except ProviderUnavailable as error:
            self._failed(live, f"the provider cannot be asked: {error}")
        except StoreUnavailable as error:
            self._failed(live, f"the session store cannot be asked: {error}")
        except Exception:  # our own mistake must end in the grace too, not in an eternal session
            LOG.exception("renewing session %s failed on our side", live.sid)
            self._failed(live, "internal error")

    async def _renew_alone(self, sid: str) -> None:
        lease = f"refresh:{sid}"
        if not await self._leased(lease, sid):
            return
        try:
            record = await self._due(sid)
            if record is not None:
                await self._renew_record(record)
        finally:
            await self._sessions.store.release(lease, self._holder)

    async def _leased(self, lease: str, sid: str) -> bool:
        """True when we hold the lease; False when another worker did the work, or is not done after a long while."""
        for _look in range(_LEASE_LOOKS):
            if await self._sessions.store.lease(lease, self._holder, LEASE, self._clock()):
                return True
            await asyncio.sleep(_LEASE_POLL)
            if await self._due(sid) is None:
                return False
        return False

    async def _due(self, sid: str) -> SessionRecord | None:
        """The session as it is stored now: another worker may have renewed or ended it a moment ago."""
        record = await self._sessions.store.get(sid)
        if record is None or record.ended is not None:
            self._forget(sid)
            return None
        return record if sid in self._unwritten or self._clock() >= record.refresh_at else None

    async def _renew_record(self, record: SessionRecord) -> None:
        result = self._unwritten.get(record.sid)
        if result is None:
            try:
                result = await self._asked(record)
            except LoginRefused as error:
                LOG.info("session %s ends: %s", record.sid, error)
                await self._sessions.end(record.sid, Reason.SESSION_REVOKED)
                self._forget(record.sid)
                return
            self._unwritten[record.sid] = result
        await self._sessions.renew(
            record.sid,
            identity=result.identity,
            tokens=result.tokens.to_bytes(),
            refresh_at=due_at(result, self._clock(), self.settings),
            provider_sid=result.provider_sid or None,
        )
        self._forget(record.sid)

    async def _asked(self, record: SessionRecord) -> LoginResult:
        provider = self._providers().get(record.provider)
        if provider is None:
            raise LoginRefused(f"provider {record.provider} is no longer configured")
        try:
            tokens = Tokens.from_bytes(self._sessions.tokens(record))
        except ValueError:
            raise LoginRefused("its tokens cannot be read: the sealing key was changed") from None
        return await provider.refresh(tokens, record.identity)

    def _failed(self, live: LiveSession, why: str) -> None:
        now = self._clock()
        if self._grace_is_over(live.refresh_at, now):
            self._expire(live, now, why)
            return
        before = self._trouble.get(live.sid)
        wait = FIRST_RETRY if before is None else before.wait
        self._trouble[live.sid] = _Trouble(now, now + wait, min(wait * 2, LAST_RETRY))
        LOG.warning("session %s could not be renewed, next attempt in %.0f s: %s", live.sid, wait, why)

    def _expire(self, live: LiveSession, now: float, why: str) -> None:
        """At once, also when the store is down: it is told as soon as it can be."""
        LOG.warning("session %s ends, the grace for outages is over: %s", live.sid, why)
        self._sessions.expire_now(live, now)
        self._forget(live.sid)

    def _forget(self, sid: str) -> None:
        self._trouble.pop(sid, None)
        self._unwritten.pop(sid, None)


def due_at(result: LoginResult, now: float, settings: schema.Sessions) -> float:
    """When a session with these tokens is to be renewed, seconds since the epoch; infinity when it cannot be."""
    return now + settings.refresh if result.tokens.refresh_token else math.inf
