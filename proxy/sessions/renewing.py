"""What changes about a session while it lives: what its provider says, how strongly its person is known, its device."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proxy.model.identity import Identity
from proxy.sessions.bus import Bus
from proxy.sessions.cache import Cache
from proxy.sessions.seal import SealBroken, Sealer
from proxy.sessions.session import SessionRecord
from proxy.sessions.store import SessionStore
from proxy.settings import schema


class Renewing:
    """A part of `service.Sessions`. Everything that awaits the store raises StoreUnavailable."""

    store: SessionStore
    _bus: Bus
    _sealer: Sealer
    _settings: schema.Sessions
    _clock: Callable[[], float]
    _cache: Cache
    _changes: int

    def tokens(self, record: SessionRecord) -> bytes:
        """The provider's tokens in clear; b"" when there are none, or the key that sealed them is gone."""
        try:
            purpose = f"tokens:{record.sid}"
            sealed = record.tokens.decode("ascii")
            return self._sealer.unseal(purpose, sealed, now=self._clock(), max_age=None) if sealed else b""
        except SealBroken:
            return b""

    async def renew(
        self, sid: str, *, identity: Identity, tokens: bytes, refresh_at: float, provider_sid: str | None = None
    ) -> bool:
        """Write what a refresh brought; every worker takes it over. False when the session has ended meanwhile.

        Our own second factor is not the provider's to change: it stays as it was.
        """
        old = await self.store.get(sid)
        if old is None or old.ended is not None:
            return False
        record = msgspec.structs.replace(
            old,
            identity=msgspec.structs.replace(
                identity,
                session=sid,
                second_factor=old.identity.second_factor,
                second_factor_at=old.identity.second_factor_at,
            ),
            tokens=self._sealed(sid, tokens, self._clock()),
            refresh_at=refresh_at,
            provider_sid=old.provider_sid if provider_sid is None else provider_sid,
        )
        return await self._write(record)

    async def amend(self, sid: str, change: Callable[[SessionRecord], SessionRecord]) -> bool:
        """Change identity, tokens' time or device of a living session; every worker takes it over within a second.

        `change` gets the record as stored. False when the session has ended.
        """
        old = await self.store.get(sid)
        if old is None or old.ended is not None:
            return False
        return await self._write(change(old), wait=1.0)

    async def strengthen(
        self,
        sid: str,
        change: Callable[[SessionRecord], SessionRecord],
        tokens: bytes = b"",
        refresh_at: float | None = None,
    ) -> bool:
        """`amend` for a session whose person has just shown more: every handle it had stops working first, on every
        host, so that a copy somebody took of one is worth nothing; streams go on. Make a `new_handle` afterwards.

        `tokens`, in clear, replace the provider's; b"" keeps them. `refresh_at` as for `create`. False when the session
        has ended.
        """
        now = self._clock()
        await self.store.drop_handles(sid, now)
        self._forget_handles(sid)
        if not tokens:
            return await self.amend(sid, change)
        sealed, due = self._sealed(sid, tokens, now), now + self._settings.refresh if refresh_at is None else refresh_at
        return await self.amend(
            sid, lambda record: msgspec.structs.replace(change(record), tokens=sealed, refresh_at=due)
        )

    def _forget_handles(self, sid: str) -> None:
        self._changes += 1  # what is being looked up right now is looked up again
        if (live := self._cache.by_sid.get(sid)) is not None:
            self._cache.forget(live)

    async def _write(self, record: SessionRecord, *, wait: float = 0) -> bool:
        if not await self.store.update(record):
            return False
        self._changes += 1
        if (live := self._cache.by_sid.get(record.sid)) is not None:
            live.apply(record, self._settings.lifetime)
        await self._bus.announce(wait=wait)
        return True

    def _sealed(self, sid: str, tokens: bytes, now: float) -> bytes:
        return self._sealer.seal(f"tokens:{sid}", tokens, now=now).encode() if tokens else b""
