"""The contract every device store keeps, and the one place that opens them.

A store is dumb: it knows rows and which of their fields must be unique. All methods are coroutines that never block the
event loop, and each raises `sessions.store.StoreUnavailable` when it cannot do its work; nothing is then half done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from proxy.devices.record import DeviceRecord

CODES_PER_PERSON = 5  # that wait to be used; the oldest go first
Change = Callable[[DeviceRecord], DeviceRecord | None]
"""What a record becomes; None leaves it as it is. It may run in another thread, must be pure, and whatever it raises
leaves the record as it is and reaches the caller."""


class Row(NamedTuple):
    """A record as an inventory holds it: packed by `pack`, with what it is found by."""

    id: str
    cert_sha256: str  # "" when it has none
    serial: str  # as `known_serial`; "" when nobody vouches for it
    revoked: bool
    aliases: str  # one a line
    packed: bytes


class Confirmation(NamedTuple):
    """When a source was last asked and told everything it knows, and until when that counts: seconds since the epoch.
    `source` is as in statements, `management:NAME`."""

    source: str
    at: float
    expires: float


class CodeOwner(NamedTuple):
    """Whose enrolment code it was."""

    owner: str
    label: str
    email: str


class DeviceStore(Protocol):
    """What `memory` and `sqlite` do, and what the next one must: `tests/devices/test_device_store_contract.py`."""

    async def rows(self) -> Sequence[Row]:
        """Every device."""

    async def row(self, device: str) -> Row | None:
        """One device, packed."""

    async def get(self, device: str) -> DeviceRecord | None:
        """One device."""

    async def add(self, record: DeviceRecord, *, most: int | None = None) -> Literal["added", "key-known", "too-many"]:
        """Write a new device; durable (fsync) on return. Refused when a device, revoked or not, has this id or
        thumbprint, or when its owner has `most` devices already that are not revoked."""

    async def change(self, device: str, change: Change, *, durable: bool = False) -> DeviceRecord | None:
        """Read, change and write one device with nobody in between. Returns what is stored now; None when there is no
        such device. `durable`: on the disk (fsync) on return."""

    async def change_all(self, changes: Mapping[str, Change]) -> Sequence[str]:
        """The same for many, all or none. Returns the ids of those that were changed."""

    async def absorb(
        self, device: str, other: str, change: Callable[[DeviceRecord, DeviceRecord], DeviceRecord]
    ) -> bool:
        """Write `change(device, other)` for the first and delete the second, durably. False when one is missing."""

    async def delete(self, device: str) -> bool:
        """Forget a device, durably. False when it was not there."""

    async def of_owner(self, owner: str) -> Sequence[DeviceRecord]:
        """The devices of a person (`provider:subject`), oldest first."""

    async def of_serial(self, serial: str) -> Sequence[DeviceRecord]:
        """The devices that say they have this serial number (as `known_serial`), vouched for or not."""

    async def of_email(self, email: str) -> Sequence[DeviceRecord]:
        """The devices of whoever has this e-mail address (lower case), oldest first."""

    async def list(self) -> Sequence[DeviceRecord]:
        """Every device, oldest first."""

    async def confirm(self, confirmation: Confirmation, now: float) -> bool:
        """Keep a source's confirmation in place of an older one, or of one that is later than `now`: then the clock was
        wrong. False when what is kept is as new already."""

    async def confirmations(self) -> Sequence[Confirmation]:
        """The last of every source."""

    async def add_code(self, code_hash: bytes, owner: CodeOwner, expires: float) -> None:
        """Keep an enrolment code (32-byte SHA-256) for its owner; at most CODES_PER_PERSON."""

    async def take_code(self, code_hash: bytes, now: float) -> CodeOwner | None:
        """Whose code it is, for exactly one caller; None when it is unknown, used or expired."""

    async def close(self) -> None:
        """Let go of files and threads. Safe to call twice."""


def open_device_store(url: str, *, create: bool = True) -> DeviceStore:
    """The store that belongs to the state `url` names: `memory:`, or `sqlite:PATH`, then in a file beside it
    (`var/state.db` → `var/state.devices.db`).

    Opens nothing yet: the first call does. Without `create` a missing database is StoreUnavailable instead of made.
    Raises ValueError for an unknown kind.
    """
    from proxy.devices.memory import MemoryDeviceStore
    from proxy.devices.sqlite import SqliteDeviceStore

    kind, _, rest = url.partition(":")
    if kind == "memory" and not rest:
        return MemoryDeviceStore()
    if kind == "sqlite" and rest:
        return SqliteDeviceStore(device_file(Path(rest)), create=create)
    raise ValueError(f"state: {url!r} names no store; write `sqlite:PATH` or `memory:`")


def device_file(state: Path) -> Path:
    """The database of devices beside the one of sessions."""
    return state.with_name(f"{state.stem}.devices{state.suffix}")
