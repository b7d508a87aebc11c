"""Who is asking: by token, by session, by certificate, in this order; waiting where the answer is not in memory.

A token of an issuer we know decides alone: a session that comes along is not looked at, and when the certificate of the
connection names another service, neither is believed. A session that is tied to a device counts only from that device.
A certificate that names a device says what the request comes from, not who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from proxy.gateway import admission
from proxy.gateway.acting import Acting
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.live import GONE, Gone, LiveSession
from proxy.sessions.session import gone_reason
from proxy.sessions.store import StoreUnavailable

if TYPE_CHECKING:
    from proxy.gateway.known import Known


class Identifying(Acting):
    """The half of an exchange that finds out who asks; ends in `_decide`, or in a refusal."""

    __slots__ = ()

    def _decide(self, missing: Reason | None) -> None:
        """The next phase. `missing` says why the session that was shown is not used."""
        raise NotImplementedError

    def _internal_error(self) -> None:
        """Something broke: refuse."""
        raise NotImplementedError

    def cut(self, reason: Reason, cause: str = "session", since: float = 0.0) -> None:
        """What it was admitted on does not hold any more."""
        raise NotImplementedError

    def _identify(self, known: Known) -> None:
        if self.notes.chain:
            self._certified()
        if known.token is not None and not self.plan.control:  # our own pages are for people
            self._by_token(known.token)
            return
        handle = known.handle
        if handle is None:
            self._decide(None)
            return
        found = self.house.sessions.cached(handle, self.host, self.now)
        if found is None:
            self._hold()
            self._spawn(self._load(handle))
        else:
            self._identified(found)

    # --- by certificate

    def _certified(self) -> None:
        notes = self.notes
        certificate = admission.certificate_of(notes, self.snapshot.verifiers.get(self.listener), self.now)
        if certificate is not None and not self.house.devices.of_certificate(certificate):
            self.identity = admission.service_of(notes, certificate)
            certificate = notes.certificate  # one that names nobody is none
        self.certificate = certificate

    # --- by token

    def _by_token(self, token: bytes) -> None:
        found = self.house.workloads.cached(token, self.plan.audience_at(self.host), self.now)
        if found is None:
            self._hold()
            self._spawn(self._verify(token))
        else:
            self._vouched(found)

    async def _verify(self, token: bytes) -> None:
        try:
            found = await self.house.workloads.verify(token, self.plan.audience_at(self.host), self.now)
            if not self.over:
                self._vouched(found)
        except StoreUnavailable as error:
            self.house.store_failed(error)
            if not self.over:
                self.fail(Reason.STORE_UNAVAILABLE)
        except Exception:  # noqa: BLE001  # as in begin
            self._internal_error()

    def _vouched(self, found: Identity | Reason) -> None:
        if isinstance(found, Reason):
            self.fail(found)
            return
        certified = self.identity
        if certified is not None and certified.subject != found.subject:
            self.fail(Reason.TOKEN_INVALID, "The token and the client certificate name different services.")
            return
        self.identity = found
        self._decide(None)

    # --- by session

    async def _load(self, handle: bytes) -> None:
        try:
            found = await self.house.sessions.load(handle, self.host)
        except StoreUnavailable as error:
            self.house.store_failed(error)
            if not self.over:
                self.fail(Reason.STORE_UNAVAILABLE)
            return
        except Exception:  # noqa: BLE001  # the door stays shut whatever broke
            self._internal_error()
            return
        self.house.store_answered()
        if not self.over:
            try:
                self._identified(found)
            except Exception:  # noqa: BLE001  # as in begin
                self._internal_error()

    def _identified(self, found: LiveSession | Gone) -> None:
        if isinstance(found, Gone):
            self._decide(found.reason)
            return
        self.session = found
        if not self.plan.control:  # a logout must live to answer
            found.streams.add(self)
        if self.now >= found.refresh_at and self.house.renewal.poke(found, self.now):
            self._hold()
            self._spawn(self._after_renewal(found))
        elif found.record.device is None:
            self.identity = found.identity
            self._decide(None)
        else:
            self._of_session(found)

    async def _after_renewal(self, session: LiveSession) -> None:
        """What we know of somebody who slept is too old to decide on: first hear from the provider."""
        try:
            await self.house.renewal.settled(session)
            if self.over:
                return
            if session.ended is not None:
                self.session = None
                self._decide(GONE[gone_reason(session.ended)].reason)
            else:
                self._of_session(session)
        except Exception:  # noqa: BLE001  # as in begin
            self._internal_error()

    def _of_session(self, session: LiveSession) -> None:
        bound = session.record.device
        if bound is not None:
            missing = self.house.devices.standing(bound, self.certificate, self.notes.address, self.now)
            if missing is not None and not self._shows_its_device():
                self._withhold(session, missing)
                return
            self.bound = bound
        self.identity = session.identity
        self._decide(None)

    def _shows_its_device(self) -> bool:
        return self.plan.control and self.target is not None and self.target.path in admission.UNPROVED_PAGES

    def _withhold(self, session: LiveSession, missing: Reason) -> None:
        """The session is tied to a device, and this request does not show that it comes from there."""
        session.streams.discard(self)
        self.session = None
        self.identity = None
        self.withheld = session.sid
        self._decide(missing)

    # --- waiting

    def _hold(self) -> None:
        if self.connection.body_incomplete():
            self.connection.hold_body()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.house.tasks.add(task)
        task.add_done_callback(self.house.tasks.discard)
