"""The worker's view of sessions: fast look-up, creation, hand-over, and an end that reaches everybody.

A request asks `cached`, which answers from memory in about a microsecond; on None it awaits `load`. The worker's ticker
calls `expire` about once a second; everything periodic hangs on that one call (`upkeep`).
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from proxy.model.device import Bound
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions import ticket as tickets
from proxy.sessions.bus import Bus
from proxy.sessions.cache import Cache, Cutter
from proxy.sessions.live import GONE, LOGIN_REQUIRED, Gone, LiveSession
from proxy.sessions.renewing import Renewing
from proxy.sessions.seal import Sealer
from proxy.sessions.session import SessionEvent, SessionRecord, gone_reason, hashed, standing, well_formed
from proxy.sessions.store import SessionStore, StoreUnavailable
from proxy.sessions.upkeep import Upkeep
from proxy.settings import schema

TRUSTED_FOR = 5.0  # seconds without news from the bus after which memory is not believed without asking the store
_ATTEMPTS = 8
_SLICE = 500


async def _nobody_asks(device: str, at: float) -> None:
    """Stands in where there is no inventory."""


class Sessions(Renewing):
    """All sessions, as one worker sees them. `clock` gives seconds since the epoch.

    What raises says so: everything that awaits the store raises StoreUnavailable, and then nobody gets in by it.
    """

    def __init__(
        self,
        store: SessionStore,
        bus: Bus,
        sealer: Sealer,
        settings: schema.Sessions,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._bus = bus
        self._sealer = sealer
        self._settings = settings
        self._clock = clock
        self._cache = Cache()
        self._handles = self._cache.handles
        self._cutter = Cutter()
        self._upkeep = Upkeep(store, self._cache, self._expired, monotonic)
        self._loading: dict[bytes, asyncio.Task[tuple[LiveSession, str] | Gone]] = {}
        self._trusted_until = -math.inf
        # Told the id of a device that something is known anew of ("" is any), and when that was decided.
        self.device_changed: Callable[[str, float], Awaitable[None]] = _nobody_asks
        self._changes = 0  # grows with every end and change known here: tells a look-up that it may be stale
        self.reconfigure(settings)

    # --- life of the worker

    async def start(self) -> None:
        """Begin to follow the bus. Does not fail when the store is down; until it is back every look-up says so."""
        await self._bus.start(self._apply, self._confirmed)

    async def close(self) -> None:
        """Write what is unwritten and stop. The store stays open: who opened it closes it."""
        await self._bus.close()
        await self._upkeep.close()

    def reconfigure(self, settings: schema.Sessions) -> None:
        """New settings; shorter limits hold for the sessions that exist as well."""
        self._settings = settings
        self._idle = float(settings.idle)
        self._upkeep.idle = self._idle
        for live in self.lives():
            live.apply(live.record, settings.lifetime)
        self._upkeep.reschedule()

    def expire(self, now: float) -> None:
        """To be called about once a second with the wall clock: ends what has expired, writes what was seen."""
        self._upkeep.tick(now)

    # --- look-up

    def cached(self, handle: bytes, host: str, now: float) -> LiveSession | Gone | None:
        """The session behind a handle on this host, counted as seen now; Gone; or None: await `load`."""
        found = self._handles.get(handle)
        if found is None:
            return self._cache.buried(handle, now)
        live, bound = found
        if bound != host:
            return LOGIN_REQUIRED
        if now >= live.expires_at:
            self._expired(live, now)
            return GONE[Reason.SESSION_EXPIRED]
        if now - live.last_seen >= self._idle or now > self._trusted_until:
            return None
        live.last_seen = now
        if not live.touching:
            self._upkeep.seen(live)
        return live

    async def load(self, handle: bytes, host: str) -> LiveSession | Gone:
        """The same from the store; look-ups of one handle share one query. Raises StoreUnavailable."""
        if not well_formed(handle):
            return LOGIN_REQUIRED
        task = self._loading.get(handle)
        if task is None:
            task = self._loading[handle] = asyncio.create_task(self._read(handle), name="session-load")
            task.add_done_callback(lambda done: self._loaded(handle, done))
        found = await asyncio.shield(task)  # one impatient client must not end it for the others
        if isinstance(found, Gone):
            return found
        live, bound = found
        if bound != host:
            return LOGIN_REQUIRED
        if live.ended is not None:
            return GONE[gone_reason(live.ended)]
        self.touch(live, self._clock())
        return live

    def trusted(self) -> bool:
        """Whether what memory says may still be believed: the bus has confirmed it lately."""
        return self._clock() <= self._trusted_until

    def touch(self, live: LiveSession, now: float) -> None:
        """Count it as seen. `cached` and `load` do so themselves; for what happens on a long stream."""
        live.last_seen = now
        if not live.touching:
            self._upkeep.seen(live)

    def lives(self) -> list[LiveSession]:
        """Every session this worker has in memory."""
        return list(self._cache.by_sid.values())

    async def _read(self, handle: bytes) -> tuple[LiveSession, str] | Gone:
        for _ in range(_ATTEMPTS):
            changes = self._changes
            found = await self.store.by_handle(hashed(handle))
            if changes == self._changes:
                return self._judged(handle, found)
        raise StoreUnavailable("sessions change faster than they can be read")

    def _judged(self, handle: bytes, found: tuple[SessionRecord, str] | None) -> tuple[LiveSession, str] | Gone:
        now = self._clock()
        if found is None:
            self._cache.bury([handle], LOGIN_REQUIRED, now)
            return LOGIN_REQUIRED
        record, host = found
        live = self._cache.by_sid.get(record.sid)
        if live is not None:  # what was seen here is news the store may not have yet
            record = msgspec.structs.replace(record, last_seen=max(record.last_seen, live.last_seen))
        why = standing(record, now=now, idle=self._idle, lifetime=self._settings.lifetime)
        if why is None and self._upkeep.dying(record.sid):
            why = Reason.SESSION_EXPIRED
        if why is not None:
            if record.ended is None and record.created <= now:
                self._upkeep.write_end(record.sid, now, unseen_since=record.last_seen)
            self._cache.bury([handle], GONE[why], now)
            return GONE[why]
        live = self._adopt(record)
        self._cache.remember(handle, live, host)
        return live, host

    def _adopt(self, record: SessionRecord) -> LiveSession:
        live = self._cache.by_sid.get(record.sid)
        if live is None:
            live = self._cache.by_sid[record.sid] = LiveSession(record, self._settings.lifetime)
            self._upkeep.watch(live, self._clock())
        else:
            live.apply(record, self._settings.lifetime)
        return live

    def _loaded(self, handle: bytes, done: asyncio.Task[tuple[LiveSession, str] | Gone]) -> None:
        del self._loading[handle]
        if not done.cancelled():
            done.exception()  # everybody who waited for it may have gone: it is not worth a warning then

    # --- creation and hand-over

    async def create(
        self,
        identity: Identity,
        provider: str,
        tokens: bytes,
        provider_sid: str,
        now: float,
        *,
        refresh_at: float | None = None,
        expires: float = math.inf,
        device: Bound | None = None,
    ) -> LiveSession:
        """A new session for somebody who has just logged in.

        `tokens` are the provider's, in clear; they are sealed here. `refresh_at` defaults to the `refresh` setting
        from now, or never without tokens. `expires` is an earlier end than the settings', when the provider sets one.
        """
        sid = secrets.token_hex(16)
        default = now + self._settings.refresh if tokens else math.inf
        record = SessionRecord(
            sid=sid,
            identity=msgspec.structs.replace(identity, session=sid),
            provider=provider,
            provider_sid=provider_sid,
            created=now,
            authenticated_at=now if identity.auth_time is None else identity.auth_time,
            expires=min(expires, now + self._settings.lifetime),
            last_seen=now,
            refresh_at=default if refresh_at is None else refresh_at,
            tokens=self._sealed(sid, tokens, now),
            device=device,
        )
        await self.store.create(record)
        return self._adopt(record)

    async def new_handle(self, sid: str, host: str) -> str:
        """A handle (256 random bits, base64url) to this session for one app host. Raises KeyError when it has ended."""
        record = await self.store.get(sid)
        handle = secrets.token_urlsafe(32)
        if record is None or not await self.store.add_handle(hashed(handle.encode()), sid, host, record.expires):
            raise KeyError(sid)
        return handle

    def ticket(self, sid: str, host: str, bind: str, return_path: str) -> str:
        """A single-use ticket to carry this session to `host`; see `ticket`."""
        return tickets.issue(self._sealer, sid=sid, host=host, bind=bind, return_path=return_path, now=self._clock())

    async def redeem(self, ticket: str, host: str, bind: str) -> tuple[str, str]:
        """(sid, return_path), once. Raises `ticket.TicketRefused`."""
        return await tickets.redeem(self._sealer, self.store, ticket, host=host, bind=bind, now=self._clock())

    # --- the end

    async def end(self, sid: str, reason: Reason = Reason.SESSION_REVOKED) -> bool:
        """End a session everywhere: durable, then all its streams, in all workers, within a second. False: was over."""
        return await self.end_many([sid], reason) > 0

    async def end_many(self, sids: Iterable[str], reason: Reason = Reason.SESSION_REVOKED) -> int:
        """The same for several; all or none. Returns how many were alive."""
        return len(await self._end_all(sids, reason))

    async def _end_all(self, sids: Iterable[str], reason: Reason) -> Sequence[str]:
        ended = await self.store.revoke_many(sids, reason, self._clock())
        for number, sid in enumerate(ended, 1):
            self._over(sid, reason)
            if not number % _SLICE:
                await asyncio.sleep(0)  # the others have their turn
        if ended:
            await self._bus.announce()
        return ended

    async def end_at_provider(self, provider: str, subject: str, provider_sid: str) -> Sequence[str]:
        """What a back-channel logout token asks for. Returns the ids of the sessions that ended by it."""
        sids = await self.store.by_provider_session(provider, subject, provider_sid)
        return await self._end_all(sids, Reason.SESSION_REVOKED)

    async def end_of_device(self, device: str) -> int:
        """End every session that is tied to a device. Returns how many were alive."""
        return await self.end_many(await self.store.by_device(device))

    def expire_now(self, live: LiveSession, now: float) -> None:
        """End a session whose time is over: here at once, elsewhere as soon as the store has been told."""
        self._expired(live, now)

    def _over(self, sid: str, reason: Reason, at: float | None = None) -> None:
        """Forget a session here and cut its streams."""
        self._changes += 1
        live = self._cache.by_sid.get(sid)
        if live is None:
            return
        live.ended = live.ended or reason
        live.ended_at = self._clock() if at is None else at
        live.scratch.clear()
        told = gone_reason(live.ended)
        self._cache.bury(self._cache.forget(live), GONE[told], self._clock())
        self._cutter.cut(tuple(live.streams), told)

    def _expired(self, live: LiveSession, now: float) -> None:
        """Its time is over: that is written down, so that no clock can bring it back."""
        self._upkeep.write_end(live.sid, now)
        self._over(live.sid, Reason.SESSION_EXPIRED)

    # --- news from the bus, and to it

    async def announce_device(self, device: str) -> None:
        """Something is known anew of this device: every worker, this one too, has acted on it within a second."""
        at = self._clock()
        await self.store.publish(SessionEvent(kind="device", sid=device, at=at))
        await self.device_changed(device, at)
        await self._bus.announce()

    def _confirmed(self, until: float) -> None:
        self._trusted_until = until + TRUSTED_FOR

    async def _apply(self, events: Sequence[SessionEvent]) -> None:
        for event in events:
            self._changes += 1
            if event.kind == "ended":
                self._over(event.sid, event.reason, event.at)
            elif event.kind == "changed":
                await self.reload(event.sid)
            elif event.kind == "handles":
                self._forget_handles(event.sid)
            elif event.kind == "device":
                await self.device_changed(event.sid, event.at)
            else:
                await self.device_changed("", event.at)
                await self._verify_all()

    async def reload(self, sid: str) -> None:
        """Take over what the store says of a session in memory. Raises StoreUnavailable."""
        if (live := self._cache.by_sid.get(sid)) is None:
            return
        record = await self.store.get(sid)
        if record is None or record.ended is not None:
            self._over(sid, (record and record.ended) or Reason.SESSION_REVOKED)
        else:
            live.apply(record, self._settings.lifetime)

    async def _verify_all(self) -> None:
        self._cache.forget_all()
        for sid in list(self._cache.by_sid):
            await self.reload(sid)
