"""Records as bytes: MessagePack, fields by position, so that a hundred thousand of them fit in memory."""

from __future__ import annotations

import msgspec

from proxy.devices.record import DeviceRecord, known_serial
from proxy.devices.store import Row

_encode = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(DeviceRecord).decode


def row_of(record: DeviceRecord) -> Row:
    """The record as stores and inventories hold it."""
    return Row(
        record.id,
        record.cert_sha256,
        known_serial(record.serial) if record.vouched else "",
        record.revoked > 0,
        "\n".join(record.aliases),
        _encode(record),
    )
