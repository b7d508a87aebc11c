"""WebSockets (RFC 6455), as far as a proxy reads them: the opening handshake, where frames begin, and how to close.

The opening (§4) is checked on both sides before raw bytes flow. Afterwards `Frames` only counts: of every frame it
reads the header, so that a Close of ours can be put between two frames and never into one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

GOING_AWAY: Final = 1001  # §7.4.1
POLICY_VIOLATION: Final = 1008
_CLOSE: Final = 8  # opcode, §5.2
_MOST_TEXT: Final = 123  # bytes of reason in a Close: a control frame holds 125, two of them are the code (§5.5)
# §5.2 allows 63 bits; nobody sends as much as 61, and sums of that stay small numbers.
_LONGEST: Final = (1 << 61) - 1
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_for(key: bytes) -> bytes:
    """The `Sec-WebSocket-Accept` that answers `key` (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def opening_mistake(method: str, key: bytes | None, version: bytes | None, length: int) -> str:
    """What is wrong with a client's opening handshake; "" when nothing is."""
    if method != "GET":
        return "a WebSocket is opened with GET"
    if length != 0:
        return "a WebSocket opening has no body"
    if version != b"13":
        return "Sec-WebSocket-Version is not 13"
    if key is None or len(key) != 24:
        return "Sec-WebSocket-Key is not 16 bytes in base64"
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return "Sec-WebSocket-Key is not 16 bytes in base64"
    except binascii.Error:
        return "Sec-WebSocket-Key is not 16 bytes in base64"
    return ""


class Frames:
    """Follows one direction of a WebSocket, fed with its bytes as they come. Extensions do not matter: they change what
    frames hold, not where they end (§5.2).

    `closing` is True once a Close frame began (nobody may send anything behind it, §5.5.1), `broken` once what came is
    no frame: then it is not known any more where one would begin.
    """

    __slots__ = ("_header", "_left", "broken", "closing")

    def __init__(self) -> None:
        self.closing = False
        self.broken = False
        self._left = 0  # payload bytes of the present frame that are still to come
        self._header = b""  # the beginning of a header that is not all there

    def feed(self, data: bytes) -> None:
        """The next bytes of this direction."""
        left = self._left
        size = len(data)
        if size <= left:
            self._left = left - size
            return
        if self.broken or self.closing:
            return
        at = left
        if self._header:
            data = self._header + data
            size = len(data)
            self._header = b""
        while at < size:
            rest = size - at
            first = data[at]
            second = data[at + 1] if rest > 1 else 0
            length = second & 127
            needs = 2 if length < 126 else 4 if length == 126 else 10
            if second & 128:
                needs += 4  # the masking key
            if rest < needs:
                self._header = data[at:]
                at = size
                break
            if length == 126:
                length = data[at + 2] << 8 | data[at + 3]
            elif length == 127:
                length = int.from_bytes(data[at + 2 : at + 10], "big")
            if length > _LONGEST or (first & 8 and length > 125):
                self.broken = True
                return
            if first & 15 == _CLOSE:
                self.closing = True
                return
            at += needs + length
        self._left = at - size if at > size else 0

    def between(self) -> bool:
        """Whether a frame of ours may be put here: everything so far was whole frames, and no Close among them."""
        return not (self._left or self._header or self.closing or self.broken)


def close_frame(code: int, text: str = "", mask: bytes = b"") -> bytes:
    """A whole Close frame (§5.5.1). `mask` is the key of 4 bytes that a client must mask with (§5.3), b"" for none."""
    payload = code.to_bytes(2, "big") + text.encode("utf-8")[:_MOST_TEXT].decode("utf-8", "ignore").encode()
    if not mask:
        return bytes((0x80 | _CLOSE, len(payload))) + payload
    hidden = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((0x80 | _CLOSE, 0x80 | len(payload))) + mask + hidden
