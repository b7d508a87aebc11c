"""How a device becomes known: a one-time code that a person got on their apps page, and a key that the device holds.

The code says who enrols; the signature by the key that the device brings proves that it holds it. Pure, but for the
randomness of codes and ids.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from proxy.devices import jws
from proxy.devices.errors import DeviceRefused
from proxy.devices.record import DeviceRecord
from proxy.devices.store import CodeOwner
from proxy.model.report import ENROL_TYPE, Enrolment

CODE_LIFETIME: Final = 900.0  # seconds
# Crockford's base 32: no letter that looks like a digit. Twelve of them are 60 bits, for a quarter of an hour.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE: Final = re.compile(rf"[{_ALPHABET}]{{12}}")
_LOOK_ALIKES: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})
_LONGEST_NAME: Final = 64
_OS: Final = re.compile(r"[a-z][a-z0-9]{1,31}")


def new_code() -> str:
    """Three groups of four."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    return f"{text[:4]}-{text[4:8]}-{text[8:]}"


def code_hash(code: str) -> bytes:
    """What the store keeps of a code, however a person typed it. Raises DeviceRefused when it cannot be one."""
    plain = code[:64].upper().translate(_LOOK_ALIKES)
    if not _CODE.fullmatch(plain):
        raise DeviceRefused("that is no enrolment code; one looks like XXXX-XXXX-XXXX")
    return hashlib.sha256(b"enrolment code\0" + plain.encode()).digest()


def read_enrolment(token: str, *, audience: str, now: float) -> Enrolment:
    """A device's wish to be known, when it is made for us, just now, with the key it brings. Raises DeviceRefused."""
    signed = jws.take_apart(token, ENROL_TYPE, named=False)
    wish = jws.claims_of(signed, Enrolment)
    jws.verify(signed, wish.key)
    jws.check(wish.aud, wish.iat, audience=audience, now=now)
    for what, text, longest in (("name", wish.name, _LONGEST_NAME), ("serial", wish.serial, _LONGEST_NAME)):
        if len(text) > longest or not text.isprintable():
            raise DeviceRefused(f"its {what} must be at most {longest} printable characters")
    if not wish.name.strip():
        raise DeviceRefused("it needs a name, such as the host name")
    if not _OS.fullmatch(wish.os):
        raise DeviceRefused("its os must be a word such as linux, macos or windows")
    return wish


def record_of(wish: Enrolment, who: CodeOwner, *, approved: bool, now: float) -> DeviceRecord:
    """The record of a device that was just enrolled. Nobody vouches for its serial number yet."""
    return DeviceRecord(
        id=secrets.token_hex(16),
        owner=who.owner,
        label=who.label,
        email=who.email,
        name=wish.name.strip(),
        os=wish.os,
        serial=wish.serial.strip(),
        key=wish.key,
        thumbprint=jws.thumbprint(wish.key),
        storage=wish.storage,
        approved=approved,
        created=now,
        last_seen=now,
    )
