"""The inventory as one worker works with it: what the gateway asks (`view`), and every way in which it changes.

A change is written first, then announced: every worker, this one too, takes it in within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from proxy.devices import administering, jws
from proxy.devices.attestation import Attesting, is_attested
from proxy.devices.enrolment import CODE_LIFETIME, code_hash, new_code, read_enrolment, record_of
from proxy.devices.errors import DeviceRefused
from proxy.devices.inventory import Inventory
from proxy.devices.mending import silent_since, troubles
from proxy.devices.polling import Polling
from proxy.devices.record import AGENT, MANAGEMENT, DeviceRecord, Ownership, Statement, owner_of, replaced
from proxy.devices.reports import check_seq, own_values
from proxy.devices.single_use import SingleUse
from proxy.devices.store import CodeOwner, DeviceStore
from proxy.model.device import Assurance, Bound
from proxy.model.identity import Identity
from proxy.model.report import PROOF_TYPE, REPORT_TYPE, Accepted, Attested, Credential, Enrolled, Key, Proof, Report
from proxy.sessions.seal import Sealer
from proxy.sessions.store import StoreUnavailable
from proxy.settings import schema

log = logging.getLogger(__name__)

CHALLENGE_LIFETIME: Final = 120.0  # seconds
_SLICE: Final = 5000  # devices taken in before the others have their turn
_REVOKED_KEPT: Final = 20  # of a person; the oldest are forgotten when one more is enrolled


class Devices(Polling):
    """All devices. `audience` is the login URL: what devices sign is meant for it alone.

    `announce(device)` tells every worker that something is known anew; `consume(key, expires)` is True once per key, in
    all workers; `end_sessions(device)` ends the sessions that are tied to it. Everything that awaits the store raises
    StoreUnavailable; what will never be accepted raises DeviceRefused.
    """

    def __init__(
        self,
        store: DeviceStore,
        settings: schema.Devices,
        sealer: Sealer,
        clock: Callable[[], float],
        announce: Callable[[str], Awaitable[None]],
        consume: Callable[[str, float], Awaitable[bool]],
        end_sessions: Callable[[str], Awaitable[int]],
        *,
        audience: str,
    ) -> None:
        super().__init__(settings, clock)
        self.store = store
        self._announce = announce
        self._single_use = SingleUse(sealer, consume)
        self._attesting = Attesting(store, self._single_use, self._expect, announce)
        self._end_sessions = end_sessions
        self._audience = audience.rstrip("/")
        self._turn = asyncio.Lock()
        self._retry: asyncio.Task[None] | None = None
        self._loaded = False

    # --- life of the worker

    async def start(self) -> None:
        """Load all devices. Does not fail when the store is down: until it is back no device is known, so nobody gets
        in by one, and it is asked again every second."""
        try:
            await self._load()
        except StoreUnavailable as error:
            log.error("devices cannot be read: %s", error)  # noqa: TRY400  a known fault, no traceback needed
            self._retry = asyncio.create_task(self._load_later(), name="devices-load")

    async def close(self) -> None:
        """Stop. The store stays open: who opened it closes it."""
        if self._retry is not None:
            self._retry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._retry

    def reconfigure(self, settings: schema.Devices, audience: str) -> None:
        """New settings; they hold for what is known already as well."""
        self._audience = audience.rstrip("/")
        if settings != self._settings:
            self._configure(settings)

    async def changed(self, device: str, at: float) -> None:
        """Something is known anew of this device ("": of any; a source, `management:NAME`: it was asked anew): take it
        in. Raises StoreUnavailable: tell it again."""
        del at
        if not device:
            await self._load()
            return
        async with self._turn:
            if device.startswith(MANAGEMENT):
                await self._load_confirmations()
                return
            row = await self.store.row(device)
            if self._inventory.drop(device) if row is None else self._inventory.put(row):
                self._forget(device)

    async def _load(self) -> None:
        async with self._turn:
            await self._load_confirmations()  # first: nothing they do not count for any more is read with them
            rows = await self.store.rows()
            fresh = Inventory()
            for first in range(0, len(rows), _SLICE):
                fresh.add(rows[first : first + _SLICE])
                await asyncio.sleep(0)
            old, self._inventory = self._inventory, fresh
            for device in [each for each in self._answers if each and old.packed(each) != fresh.packed(each)]:
                self._forget(device)

            self._loaded = True

    async def _load_confirmations(self) -> None:
        self._confirmed = {one.source: one for one in await self.store.confirmations()}

    async def _load_later(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            with contextlib.suppress(StoreUnavailable):
                await self._load()
                log.warning("devices can be read again")
                return

    # --- a device becomes known

    async def new_code(self, person: Identity, now: float) -> str:
        """A one-time code for one device of this person, good for a quarter of an hour."""
        if self._settings.enrolment == "off":
            raise DeviceRefused("devices cannot be enrolled here")
        code = new_code()
        who = CodeOwner(owner_of(person), person.name or person.email or person.subject, person.email)
        await self.store.add_code(code_hash(code), who, now + CODE_LIFETIME)
        return code

    async def enrol(self, token: str, now: float) -> Enrolled:
        """A device that brings a code and proves its key. The code is used up by the first who signs correctly."""
        if self._settings.enrolment == "off":
            raise DeviceRefused("devices cannot be enrolled here")
        wish = read_enrolment(token, audience=self._audience, now=now)
        who = await self.store.take_code(code_hash(wish.code), now)
        if who is None:
            raise DeviceRefused("the code is not known, was used, or is older than 15 minutes; get a new one")
        record = record_of(wish, who, approved=self._settings.enrolment == "open", now=now)
        await self._forget_oldest(who.owner)
        added = await self.store.add(record, most=self._settings.per_person)
        if added == "key-known":
            raise DeviceRefused("a device with this key is known already; make a new key to enrol again")
        if added == "too-many":
            raise DeviceRefused(
                f"{who.label} has {self._settings.per_person} devices already; remove one on the apps page first"
            )
        await self._announce(record.id)
        return Enrolled(
            device=record.id, approved=record.approved, interval=self._interval(), attest=self._may_attest(record)
        )

    async def _forget_oldest(self, owner: str) -> None:
        revoked = sorted(
            (each for each in await self.store.of_owner(owner) if each.revoked), key=lambda each: each.revoked
        )
        for each in revoked[: max(0, len(revoked) - _REVOKED_KEPT + 1)]:
            await self.store.delete(each.id)
            await self._announce(each.id)

    # --- a device tells about itself

    async def nonce(self, device: str, now: float) -> str:
        """A nonce for one report of this device."""
        await self._expect(device)
        return self._single_use.nonce(device, now)

    @staticmethod
    def reporter(token: str, typ: str = REPORT_TYPE) -> str:
        """The id of the device that a report says it is of, not verified; "" when it says none."""
        try:
            return jws.take_apart(token, typ, named=True).kid
        except DeviceRefused:
            return ""

    async def report(self, token: str, now: float) -> Accepted:
        """What a device says about itself, in place of all it said before."""
        signed = jws.take_apart(token, REPORT_TYPE, named=True)
        key = await self._expect(signed.kid)
        jws.verify(signed, key)
        report = jws.claims_of(signed, Report)
        if report.device != signed.kid:
            raise DeviceRefused("it is about another device than the one that signed it")
        jws.check(report.aud, report.iat, audience=self._audience, now=now)
        said = Statement(
            source=AGENT,
            observed=min(float(report.iat), now),
            expires=min(float(report.iat), now) + self._settings.report_expiry,
            assurance=Assurance.SELF_REPORTED,
            values=own_values(report.attributes),
        )
        await self._single_use.use_nonce(report.device, report.nonce, now)
        record = await self._write_report(report, said, now)
        await self._announce(record.id)
        return Accepted(
            nonce=self._single_use.nonce(record.id, now),
            interval=self._interval(),
            note=self._note(record, now),
            attest=self._may_attest(record),
        )

    async def _write_report(self, report: Report, said: Statement, now: float) -> DeviceRecord:
        def change(old: DeviceRecord) -> DeviceRecord:
            if old.revoked:
                raise DeviceRefused("the device was removed")
            check_seq(report.seq, old.seq, now)
            return msgspec.structs.replace(replaced(old, said), seq=report.seq, last_seen=now)

        record = await self.store.change(report.device, change)
        if record is None:
            raise DeviceRefused("the device is not known")
        return record

    def _interval(self) -> float:
        return min(max(self._settings.report_expiry / 4, 30.0), 900.0)

    def _note(self, record: DeviceRecord, now: float) -> str:
        return " ".join(self.troubles(record, now))

    async def _expect(self, device: str) -> Key:
        """The key of a device that counts. Raises DeviceRefused."""
        record = self._inventory.get(device)
        if record is None:  # perhaps it was enrolled a moment ago, in another worker
            await self.changed(device, 0.0) if device else None
            record = self._inventory.get(device)
        if record is None or record.key is None:
            raise DeviceRefused("the device is not known; enrol it again")
        if record.revoked:
            raise DeviceRefused("the device was removed")
        return record.key

    # --- a TPM vouches for a device's key

    async def attest(self, token: str, now: float) -> Credential:
        """A device names its TPM: what to ask that."""
        return await self._attesting.begin(token, self._authorities, audience=self._audience, now=now)

    async def activate(self, token: str, now: float) -> Attested:
        """What the TPM answered: from now on the device's key is vouched for."""
        return await self._attesting.finish(token, self._authorities, audience=self._audience, now=now)

    def _may_attest(self, record: DeviceRecord) -> bool:
        return bool(self._authorities) and record.storage == "tpm" and not is_attested(record, self._authorities)

    # --- a device proves that it is there

    def challenge(self, challenge_for: str, now: float) -> str:
        """What the agent is asked to sign for the session `challenge_for` (its id)."""
        return self._single_use.give(f"device-proof:{challenge_for}", secrets.token_bytes(16), now)

    async def prove(self, token: str, *, challenge_for: str, person: Identity, now: float) -> str:
        """The id of the device that answered the challenge: one that this very person enrolled."""
        signed = jws.take_apart(token, PROOF_TYPE, named=True)
        jws.verify(signed, await self._expect(signed.kid))
        proof = jws.claims_of(signed, Proof)
        if proof.device != signed.kid:
            raise DeviceRefused("it is about another device than the one that signed it")
        jws.check(proof.aud, proof.iat, audience=self._audience, now=now)
        record = self._inventory.get(proof.device)
        if record is None or record.owner != owner_of(person):
            raise DeviceRefused("the device was enrolled by somebody else")
        await self._single_use.take(
            f"device-proof:{challenge_for}", proof.challenge, now, CHALLENGE_LIFETIME, "its challenge"
        )
        return proof.device

    # --- what administrators and owners do

    async def of_person(self, person: Identity) -> Sequence[DeviceRecord]:
        """The devices this person enrolled, revoked ones too, oldest first."""
        return await self.store.of_owner(owner_of(person))

    async def list(self) -> Sequence[DeviceRecord]:
        """All devices, oldest first."""
        return await self.store.list()

    async def approve(self, device: str) -> bool:
        """Let a device count: see `administering.approve`. False when it is not known. Raises DeviceRefused."""
        changed = await administering.approve(self.store, device)
        for each in changed:
            await self._announce(each)
        return bool(changed)

    async def tag(
        self, device: str, *, add: Sequence[str] = (), remove: Sequence[str] = (), ownership: Ownership | None = None
    ) -> bool:
        """Change its tags, and whose it is. False when it is not known. Raises DeviceRefused."""
        record = await administering.tag(self.store, device, add=add, remove=remove, ownership=ownership)
        if record is not None:
            await self._announce(device)
        return record is not None

    async def revoke(self, device: str, now: float) -> bool:
        """The device counts no longer, for good: on the disk first, then its sessions end, everywhere. False when it is
        not known or was revoked before."""
        done = await administering.revoke(self.store, device, now)
        if done:
            await self.changed(device, now)
            await self._end_sessions(device)
            await self._announce(device)
        return done

    def troubles(self, record: DeviceRecord, now: float) -> Sequence[str]:
        """What its owner would want to mend; [] when all is well."""
        known = self.facts(Bound(device=record.id), None)
        silent = silent_since(record, now)
        return [*troubles(record, {} if known is None else known.attributes, now), *([silent] if silent else [])]
