"""The signature of a webhook: who sent this body, and that it is of now. Pure.

`Ostiary-Signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 under the shared secret over SECONDS, a full stop and
the body. Several v1 may be sent while a secret is changed; one must be right. (No name with `X-Ostiary-` in front:
those are ours alone to write, and the gateway takes them out of every request.)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

HEADER: Final = "Ostiary-Signature"
WINDOW: Final = 300.0  # seconds a signature is good for
FUTURE: Final = 60.0  # seconds by which the sender's clock may be ahead of ours
_FORM: Final = re.compile(r"t=([0-9]{1,12})((?:,v1=[0-9a-f]{64}){1,4})")


class WebhookRefused(Exception):
    """A webhook that is not accepted; the text is for whoever sent it and tells nothing of the secret."""


class Message(NamedTuple):
    """`name` is that of this very message, to be accepted once within twice the window; `sent`: when it was signed, by
    the sender's clock, seconds since the epoch."""

    name: str
    sent: float


def sign(secret: bytes, body: bytes, now: float) -> str:
    """The header for a body, as the sender makes it."""
    return f"t={int(now)},v1={_mac(secret, str(int(now)), body)}"


def verify(header: str, body: bytes, secrets: Sequence[bytes], now: float) -> Message:
    """Check a signature. Raises WebhookRefused."""
    found = _FORM.fullmatch(header)
    if found is None:
        raise WebhookRefused(f"{HEADER} must be written t=SECONDS,v1=HEX")
    moment, macs = found[1], found[2].split(",v1=")[1:]
    if not -FUTURE <= now - int(moment) <= WINDOW:
        raise WebhookRefused("the signature is too old, or from the future: compare the clocks")
    right = [_mac(secret, moment, body) for secret in secrets]
    matches = [hmac.compare_digest(sent, ours) for sent in macs for ours in right]  # all of them: no early way out
    if not any(matches):
        raise WebhookRefused("the signature is wrong")
    return Message(f"{moment}:{hashlib.sha256(body).hexdigest()}", float(moment))


def _mac(secret: bytes, moment: str, body: bytes) -> str:
    return hmac.new(secret, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
