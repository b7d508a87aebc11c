"""All devices in memory, packed, and what they are found by. Every look-up is O(1). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.devices.packing import unpack
from proxy.devices.record import DeviceRecord, known_serial
from proxy.devices.store import Row


class Inventory:
    """Devices as the store told them last. A device of about a kilobyte is kept as one object of bytes, and taken apart
    only when somebody asks what is in it."""

    __slots__ = ("_aliases", "_certificates", "_packed", "_revoked", "_serials")

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}
        self._certificates: dict[str, str] = {}
        self._serials: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._revoked: set[str] = set()

    def __len__(self) -> int:
        return len(self._packed)

    def add(self, rows: Iterable[Row]) -> None:
        """Take in devices that are not there yet. Of two with the same certificate or serial number, one that is not
        revoked is found."""
        for device, certificate, serial, revoked, aliases, packed in rows:
            self._packed[device] = packed
            if revoked:
                self._revoked.add(device)
            if certificate:
                self._point(self._certificates, certificate, device, revoked)
            if serial:
                self._point(self._serials, serial, device, revoked)
            if aliases:
                for alias in aliases.split("\n"):
                    self._point(self._aliases, alias, device, revoked)

    def put(self, row: Row) -> bool:
        """Take in what is new of one device. False when nothing is."""
        if self._packed.get(row.id) == row.packed:
            return False
        self.drop(row.id)
        self.add((row,))
        return True

    def drop(self, device: str) -> bool:
        """Forget one. False when it was not there."""
        record = self.get(device)
        if record is None:
            return False
        del self._packed[device]
        self._revoked.discard(device)
        found_by = [(self._certificates, record.cert_sha256), (self._serials, known_serial(record.serial))]
        for index, name in (*found_by, *((self._aliases, alias) for alias in record.aliases)):
            if index.get(name) == device:
                del index[name]
        return True

    def get(self, device: str) -> DeviceRecord | None:
        """What the store told of a device."""
        packed = self._packed.get(device)
        return None if packed is None else unpack(packed)

    def ids(self) -> list[str]:
        """Every device, revoked ones too."""
        return list(self._packed)

    def packed(self, device: str) -> bytes | None:
        """The same as bytes; equal bytes, equal records."""
        return self._packed.get(device)

    def counts(self, device: str) -> bool:
        """Whether it is known and not revoked."""
        return device in self._packed and device not in self._revoked

    def by_certificate(self, sha256: str) -> str:
        """The device with this certificate (hex SHA-256), "" when there is none."""
        return self._certificates.get(sha256, "")

    def by_serial(self, serial: str) -> str:
        """The device with this serial number, that somebody vouches for; "" when there is none."""
        return self._serials.get(known_serial(serial), "")

    def by_id(self, name: str) -> str:
        """The device with this id, ours or a management system's; "" when there is none."""
        return name if name in self._packed else self._aliases.get(name, "")

    def _point(self, index: dict[str, str], name: str, device: str, revoked: bool) -> None:
        if index.setdefault(name, device) != device and (not revoked or index[name] in self._revoked):
            index[name] = device
