"""What management systems tell of devices, and which device they mean."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from proxy.devices.confirming import settled
from proxy.devices.errors import DeviceRefused
from proxy.devices.record import MANAGEMENT, DeviceRecord, Statement, added, known_serial
from proxy.devices.reports import checked
from proxy.devices.store import DeviceStore
from proxy.devices.view import View
from proxy.model.device import Assurance, Value

_EXPIRY: Final = 24 * 3600.0  # seconds, for a system that is not in the settings any more
_OURS: Final = frozenset(("id", "approved", "last_seen", "tags"))
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Observing(View):
    """A part of `service.Devices`. Raises StoreUnavailable, and DeviceRefused for what cannot be meant."""

    store: DeviceStore
    _announce: Callable[[str], Awaitable[None]]

    async def observe(
        self, source: str, matches: Mapping[str, str], values: Mapping[str, Value], observed: float, now: float
    ) -> str:
        """Take in what the management system `source` (its name in the settings) says of one device; what it said
        before of other attributes stays until it expires. Returns the device's id.

        `matches` says which device: `id` (its id there), `serial`, `cert_sha256`, or `email` and `name` together; the
        first that is known decides. A device nobody knows is added, without a key. A revoked one stays revoked.
        """
        said = statement(source, values, min(observed, now), self._expiry(source))
        return await self._take_in(await self._meant(matches), said, matches, now)

    async def _take_in(self, device: str, said: Statement, matches: Mapping[str, str], now: float) -> str:
        """Write what was said of `device`, or, when that is "" or gone, of one nobody has heard of. Returns its id."""

        def change(old: DeviceRecord) -> DeviceRecord:
            before = settled(old, said.source, self._confirmed.get(said.source))
            return _told(before, said if said.polled else _news(before, said), matches)

        if not device or await self.store.change(device, change) is None:
            fresh = self._unheard_of(matches, now)
            device = fresh.id
            if await self.store.add(_told(fresh, said, matches)) != "added":
                await self.store.change(device, change)  # it is there, only not in the inventory yet
        await self._announce(device)
        return device

    def _expiry(self, source: str) -> float:
        return next((float(one.expiry) for one in self._settings.management if one.name == source), _EXPIRY)

    async def _meant(self, matches: Mapping[str, str]) -> str:
        """The id of the device that is meant, "" when nobody knows it. What a device says of itself finds nothing."""
        inventory = self._inventory
        device = (
            inventory.by_id(matches.get("id", ""))
            or inventory.by_serial(matches.get("serial", ""))
            or inventory.by_certificate(matches.get("cert_sha256", "").lower())
        )
        email, name = matches.get("email", "").lower(), matches.get("name", "")
        if device or not (email and name) or known_serial(matches.get("serial", "")):
            return device
        found = [each.id for each in await self.store.of_email(email) if each.vouched and each.name == name]
        return found[0] if len(found) == 1 else ""

    def _unheard_of(self, matches: Mapping[str, str], now: float) -> DeviceRecord:
        theirs = matches.get("id", "")
        return DeviceRecord(
            id=theirs if _ID.fullmatch(theirs) else secrets.token_hex(16),
            label=matches.get("email", ""),
            email=matches.get("email", "").lower(),
            name=matches.get("name", "")[:64],
            serial=matches.get("serial", "")[:64],
            vouched=True,
            approved=self._settings.enrolment == "open",
            created=now,
        )


def statement(
    source: str, values: Mapping[str, Value], observed: float, expiry: float, *, polled: bool = False
) -> Statement:
    """What a management system says of one device. Raises DeviceRefused for what is not for it to say."""
    for name in values:
        if name in _OURS:
            raise DeviceRefused(f"{name!r} is not for a management system to say")
    return Statement(
        source=MANAGEMENT + source,
        observed=observed,
        expires=observed + expiry,
        assurance=Assurance.MANAGED,
        values=checked(values),
        polled=polled,
    )


def _news(old: DeviceRecord, said: Statement) -> Statement:
    """What was said, without that of which the same source said something later: messages overtake each other."""
    later = {
        name
        for one in old.statements
        if one.source == said.source and one.observed > said.observed
        for name in one.values
    }
    return msgspec.structs.replace(said, values={name: one for name, one in said.values.items() if name not in later})


def _told(old: DeviceRecord, said: Statement, matches: Mapping[str, str]) -> DeviceRecord:
    """The record with what was said, and with the id it has there."""
    theirs = matches.get("id", "")
    aliases = old.aliases
    if _ID.fullmatch(theirs) and theirs != old.id and theirs not in aliases:
        aliases = (*aliases, theirs)[-8:]
    late = any(one.source == said.source and one.observed > said.observed for one in old.statements)
    by = "" if late and old.cert_sha256 else matches.get("cert_sha256", "")  # how it was called then
    certificate = said.values.get("cert_sha256", by)
    system = said.values.get("os", old.os)
    return msgspec.structs.replace(
        added(old, said),
        aliases=aliases,
        cert_sha256=str(certificate).lower() or old.cert_sha256,
        os=old.os or str(system),
        last_seen=max(old.last_seen, said.observed),
    )
