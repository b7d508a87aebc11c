"""One-time codes of an authenticator app (TOTP, RFC 6238): six digits, 30 seconds, SHA-1, as every app can. Pure."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import quote, urlencode

import pyotp
import segno

DIGITS: Final = 6
STEP: Final = 30  # seconds
_EARLIER_AND_LATER: Final = (-1, 0, 1)  # steps of difference between clocks that are accepted
_QUIET: Final = 4  # modules of quiet zone around the QR code (ISO/IEC 18004)


def new_secret() -> str:
    """160 random bits (RFC 4226 section 4) in base32."""
    return pyotp.random_base32()


def matching_step(secret: str, code: str, now: float) -> int | None:
    """The time step whose code this is, of the three around `now`; None for a wrong one.

    Takes as long for a nearly right code as for any other. The caller lets each step be used once only
    (RFC 6238 section 5.2).
    """
    typed = "".join(code.split()).encode("utf-8", "replace")
    codes = pyotp.TOTP(secret, digits=DIGITS, interval=STEP)
    found = None
    for step in (int(now // STEP) + drift for drift in _EARLIER_AND_LATER):
        if hmac.compare_digest(codes.generate_otp(step).encode(), typed):
            found = step
    return found


def address(secret: str, issuer: str, account: str) -> str:
    """What the QR code says: the otpauth URI as authenticator apps read it."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    query = {"secret": secret, "issuer": issuer, "algorithm": "SHA1", "digits": DIGITS, "period": STEP}
    return f"otpauth://totp/{label}?{urlencode(query, quote_via=quote)}"


def qr(text: str) -> tuple[int, str]:
    """A QR code as (width in modules, data of an SVG path in units of one module), dark modules only."""
    matrix = segno.make(text, error="m", micro=False).matrix
    rows = []
    for y, row in enumerate(matrix):
        rows += [f"M{x + _QUIET} {y + _QUIET}h1v1h-1z" for x, dark in enumerate(row) if dark]
    return len(matrix) + 2 * _QUIET, "".join(rows)
