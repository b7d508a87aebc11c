"""Devices in the memory of one process: for tests, and for a proxy that may forget them at a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from proxy.devices.packing import row_of
from proxy.devices.record import DeviceRecord, known_serial
from proxy.devices.store import CODES_PER_PERSON, Change, CodeOwner, Confirmation, Row


class MemoryDeviceStore:
    """`DeviceStore` in dictionaries."""

    def __init__(self) -> None:
        self._devices: dict[str, DeviceRecord] = {}
        self._codes: dict[bytes, tuple[CodeOwner, float]] = {}
        self._confirmations: dict[str, Confirmation] = {}

    async def rows(self) -> Sequence[Row]:
        return [row_of(each) for each in self._devices.values()]

    async def row(self, device: str) -> Row | None:
        found = self._devices.get(device)
        return None if found is None else row_of(found)

    async def get(self, device: str) -> DeviceRecord | None:
        return self._devices.get(device)

    async def add(self, record: DeviceRecord, *, most: int | None = None) -> Literal["added", "key-known", "too-many"]:
        if record.id in self._devices:
            return "key-known"
        if record.thumbprint and any(each.thumbprint == record.thumbprint for each in self._devices.values()):
            return "key-known"
        own = [each for each in await self.of_owner(record.owner) if not each.revoked]
        if most is not None and len(own) >= most:
            return "too-many"
        self._devices[record.id] = record
        return "added"

    async def change(self, device: str, change: Change, *, durable: bool = False) -> DeviceRecord | None:
        del durable
        old = self._devices.get(device)
        if old is None:
            return None
        new = change(old)
        if new is None:
            return old
        self._devices[device] = new
        return new

    async def change_all(self, changes: Mapping[str, Change]) -> Sequence[str]:
        new = {
            device: becomes
            for device, change in changes.items()
            if (old := self._devices.get(device)) is not None and (becomes := change(old)) is not None
        }
        self._devices.update(new)
        return list(new)

    async def absorb(
        self, device: str, other: str, change: Callable[[DeviceRecord, DeviceRecord], DeviceRecord]
    ) -> bool:
        if device not in self._devices or other not in self._devices:
            return False
        self._devices[device] = change(self._devices[device], self._devices[other])
        del self._devices[other]
        return True

    async def delete(self, device: str) -> bool:
        return self._devices.pop(device, None) is not None

    async def of_owner(self, owner: str) -> Sequence[DeviceRecord]:
        return [each for each in await self.list() if owner and each.owner == owner]

    async def of_serial(self, serial: str) -> Sequence[DeviceRecord]:
        return [each for each in await self.list() if serial and known_serial(each.serial) == serial]

    async def of_email(self, email: str) -> Sequence[DeviceRecord]:
        return [each for each in await self.list() if email and each.email == email]

    async def list(self) -> Sequence[DeviceRecord]:
        return sorted(self._devices.values(), key=lambda each: (each.created, each.id))

    async def confirm(self, confirmation: Confirmation, now: float) -> bool:
        known = self._confirmations.get(confirmation.source)
        if known is not None and confirmation.at <= known.at <= now:
            return False
        self._confirmations[confirmation.source] = confirmation
        return True

    async def confirmations(self) -> Sequence[Confirmation]:
        return list(self._confirmations.values())

    async def add_code(self, code_hash: bytes, owner: CodeOwner, expires: float) -> None:
        self._codes[code_hash] = (owner, expires)
        own = [each for each, (whose, _) in self._codes.items() if whose.owner == owner.owner]
        for old in own[:-CODES_PER_PERSON]:
            del self._codes[old]

    async def take_code(self, code_hash: bytes, now: float) -> CodeOwner | None:
        self._codes = {each: kept for each, kept in self._codes.items() if kept[1] > now}
        found = self._codes.pop(code_hash, None)
        return None if found is None else found[0]

    async def close(self) -> None:
        """Nothing to let go of."""
