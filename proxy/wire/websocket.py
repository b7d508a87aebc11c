"""The WebSocket opening handshake (RFC 6455 §4), checked on both sides before raw bytes flow."""

from __future__ import annotations

import base64
import binascii
import hashlib

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
