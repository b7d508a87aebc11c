"""A WebSocket stream read the plain way, whole and slowly, after RFC 6455 §5.2: what `Frames` is compared with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Reading:
    """What a whole stream comes to. `ends` are the offsets right behind each whole frame, the start among them."""

    ends: list[int]
    closing: bool = False
    broken: bool = False


def read_frames(data: bytes) -> Reading:
    """Read frame after frame, up to a Close or to what is no frame."""
    reading = Reading([0])
    at = 0
    while True:
        header = data[at : at + 2]
        if len(header) < 2:
            return reading
        opcode, length, at_payload = header[0] % 16, header[1] % 128, at + 2
        control = opcode >= 8
        if length == 126:
            extended = data[at_payload : at_payload + 2]
            at_payload += 2
        elif length == 127:
            extended = data[at_payload : at_payload + 8]
            at_payload += 8
        else:
            extended = b""
        if header[1] >= 128:
            at_payload += 4
        if at_payload > len(data):
            return reading
        if extended:
            length = int.from_bytes(extended, "big")
        if length >= 1 << 61 or (control and length > 125):
            reading.broken = True
            return reading
        if opcode == 8:
            reading.closing = True
            return reading
        at = at_payload + length
        if at > len(data):
            return reading
        reading.ends.append(at)


def frame(opcode: int, payload: bytes, *, mask: bytes = b"", fin: bool = True, form: int = 0) -> bytes:
    """A frame; `form` 126 or 127 writes the length in that form whatever it is."""
    length = len(payload)
    form = form or (length if length < 126 else 126 if length < 1 << 16 else 127)
    head = bytes((fin << 7 | opcode, (0x80 if mask else 0) | form))
    if form == 126:
        head += length.to_bytes(2, "big")
    elif form == 127:
        head += length.to_bytes(8, "big")
    return head + mask + payload
