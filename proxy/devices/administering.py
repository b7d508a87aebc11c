"""What administrators do with devices, on the store alone: for the service, and for the command line beside it.

None of this announces: whoever calls tells the workers afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from proxy.devices.errors import DeviceRefused
from proxy.devices.record import MANAGEMENT, DeviceRecord, Ownership, known_serial
from proxy.devices.store import DeviceStore

MOST_TAGS = 32
_TAG = re.compile(r"[a-z0-9][a-z0-9_.:/-]{0,63}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


async def approve(store: DeviceStore, device: str) -> Sequence[str]:
    """Let a device count, and stand for its serial number: what a management system knows under that number becomes
    this device's. Returns the ids of all devices this changed, [] when there is none of that id. Raises DeviceRefused.
    """
    record = await store.get(device)
    if record is None:
        return []
    if record.revoked:
        raise DeviceRefused("it was revoked; it has to be enrolled again")
    changed = [device]
    serial = known_serial(record.serial)
    for other in await store.of_serial(serial):
        if other.id == device or not other.vouched:
            continue
        if not other.revoked and other.key is not None:
            raise DeviceRefused(
                f"device {other.id} ({other.name}) has serial number {serial} already; revoke that first"
            )
        if other.revoked:
            await store.change(other.id, lambda old: msgspec.structs.replace(old, vouched=False), durable=True)
        else:
            await store.absorb(device, other.id, _absorbed)
        changed.append(other.id)
    await store.change(device, lambda old: msgspec.structs.replace(old, approved=True, vouched=True), durable=True)
    return changed


def _absorbed(record: DeviceRecord, other: DeviceRecord) -> DeviceRecord:
    """The enrolled device with what a management system told of it before it was enrolled."""
    theirs = tuple(one for one in other.statements if one.source.startswith(MANAGEMENT))
    return msgspec.structs.replace(
        record,
        statements=(*record.statements, *theirs),
        aliases=tuple(dict.fromkeys((*record.aliases, other.id, *other.aliases))),
        tags=tuple(sorted({*record.tags, *other.tags})),
        ownership=record.ownership or other.ownership,
        cert_sha256=record.cert_sha256 or other.cert_sha256,
    )


async def revoke(store: DeviceStore, device: str, now: float) -> bool:
    """The device counts no longer, for good; on the disk when this returns. False when it is not known or was revoked
    before."""
    done = []

    def change(old: DeviceRecord) -> DeviceRecord | None:
        if old.revoked:
            return None
        done.append(old.id)
        return msgspec.structs.replace(old, revoked=now)

    await store.change(device, change, durable=True)
    return bool(done)


async def tag(
    store: DeviceStore,
    device: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    ownership: Ownership | None = None,
    certificate: str | None = None,
) -> DeviceRecord | None:
    """Change its tags, whose it is (company or personal, "" for unknown), or the certificate (hex SHA-256, "" for none)
    that names it. Returns what it is now; None when it is not known. Raises DeviceRefused."""
    for one in add:
        if not _TAG.fullmatch(one):
            raise DeviceRefused(f"{one!r} is no tag: small letters, digits and _.:/- only, at most 64")
    fingerprint = None if certificate is None else certificate.replace(":", "").lower()
    if fingerprint and not _FINGERPRINT.fullmatch(fingerprint):
        raise DeviceRefused("a certificate is named by its SHA-256: 64 hexadecimal digits")

    def change(old: DeviceRecord) -> DeviceRecord:
        tags = {*old.tags, *add} - set(remove)
        if len(tags) > MOST_TAGS:
            raise DeviceRefused(f"a device has at most {MOST_TAGS} tags")
        return msgspec.structs.replace(
            old,
            tags=tuple(sorted(tags)),
            ownership=old.ownership if ownership is None else ownership,
            cert_sha256=old.cert_sha256 if fingerprint is None else fingerprint,
        )

    return await store.change(device, change, durable=True)
