"""Recovery codes: for the day the phone is lost. Each is good once. Pure."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

COUNT: Final = 10
_BYTES: Final = 10  # 80 random bits: nobody searches the hashes of a stolen database for them
_GROUP: Final = 4


def new_codes() -> list[str]:
    """Ten codes such as `k7qd-2mzp-x4rt-9whc`."""
    return [_grouped(base64.b32encode(secrets.token_bytes(_BYTES)).decode().lower()) for _ in range(COUNT)]


def hashed(code: str) -> bytes:
    """What is kept of a code: SHA-256 of its letters and digits, however it was typed."""
    plain = "".join(letter for letter in code.lower() if letter.isalnum())
    return hashlib.sha256(f"recovery:{plain}".encode("utf-8", "replace")).digest()


def _grouped(text: str) -> str:
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))
