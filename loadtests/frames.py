"""WebSocket frames, as little as our own client and echo need (RFC 6455 §5.2): whole messages up to 64 KiB."""

from __future__ import annotations

TEXT, BINARY, CLOSE = 1, 2, 8
_MASK = b"\x37\xfa\x21\x3d"  # RFC 6455 wants randomness against proxies that cache; nothing here caches


def frame(payload: bytes, opcode: int = BINARY, *, masked: bool = False) -> bytes:
    """One final frame; clients mask, servers do not."""
    length = len(payload)
    bit = 0x80 if masked else 0
    if length < 126:
        head = bytes((0x80 | opcode, bit | length))
    elif length < 65536:
        head = bytes((0x80 | opcode, bit | 126)) + length.to_bytes(2)
    else:
        raise ValueError("the load tests send frames up to 64 KiB only")
    return head + _MASK + mask(payload, _MASK) if masked else head + payload


def mask(payload: bytes, key: bytes) -> bytes:
    """Apply (or take away) a masking key."""
    length = len(payload)
    repeated = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(length)


class Frames:
    """Bytes in, `(opcode, payload)` out, unmasked."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The messages that are complete now. Raises ValueError for fragments and frames beyond 64 KiB."""
        held = self._held + data
        found = []
        while len(held) >= 2:
            first, second = held[0], held[1]
            length, start = second & 0x7F, 2
            if length == 127 or not first & 0x80:
                raise ValueError("the load tests speak whole frames up to 64 KiB only")
            if length == 126:
                if len(held) < 4:
                    break
                length, start = int.from_bytes(held[2:4]), 4
            end = start + (4 if second & 0x80 else 0) + length
            if len(held) < end:
                break
            payload = held[end - length : end]
            found.append((first & 0x0F, mask(payload, held[start : start + 4]) if second & 0x80 else payload))
            held = held[end:]
        self._held = held
        return found
