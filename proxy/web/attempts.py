"""One attempt to log in, between our redirect to the provider and the provider's back: nothing of it is kept here.

`state` carries what is not secret from the browser, sealed; a short-lived cookie of its own carries nonce and PKCE
verifier, sealed, and proves at the callback that this browser started the attempt.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from proxy.sessions.seal import SealBroken, Sealer
from proxy.web.endpoints import ATTEMPT_COOKIE

LIFETIME: Final = 900.0  # seconds a person may spend at the provider before the attempt is started anew
MAX_RESTARTS: Final = 3  # by itself; then a page explains
MAX_ATTEMPTS: Final = 8  # cookies per browser; the oldest give way
_REMEMBERED: Final = 86_400.0  # an expired state still says where to go back to, for a day
_STATE: Final = "login-state"
_SECRET: Final = "login-attempt"  # noqa: S105 the purpose of a sealed value, not a secret
_ID: Final = re.compile(r"[0-9a-f]{8}[A-Za-z0-9_-]{16}")


class State(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What `state` says: where to go afterwards and how this attempt was asked for."""

    attempt: str
    provider: str
    back: str  # absolute URL on one of our hosts
    started: float
    bind: str = ""
    restarts: int = 0
    max_age: int | None = None
    prompt: str = ""
    mfa: bool = False
    acr: tuple[str, ...] = ()


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the attempt's cookie holds."""

    attempt: str
    nonce: str
    verifier: str

    def __repr__(self) -> str:
        return f"Secret(attempt={self.attempt!r})"

    @property
    def challenge(self) -> str:
        """S256 of the verifier (RFC 7636 §4.2)."""
        return digest(self.verifier)


def digest(text: str) -> str:
    """SHA-256 in base64url without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def new_secret(now: float) -> Secret:
    """A fresh attempt. Its id begins with the time, so that the oldest cookie sorts first."""
    attempt = f"{int(now) & 0xFFFFFFFF:08x}{secrets.token_urlsafe(12)}"
    return Secret(attempt=attempt, nonce=secrets.token_urlsafe(24), verifier=secrets.token_urlsafe(48))


def cookie_name(attempt: str) -> str:
    """The name of the attempt's cookie."""
    return ATTEMPT_COOKIE + attempt


def seal_state(sealer: Sealer, state: State, now: float) -> str:
    """The `state` parameter."""
    return sealer.seal(_STATE, msgspec.json.encode(state), now=now)


def open_state(sealer: Sealer, token: str, now: float) -> State | None:
    """What a `state` parameter of ours says, even when the attempt is over by now (see `is_over`); None if not ours."""
    try:
        return msgspec.json.decode(sealer.unseal(_STATE, token, now=now, max_age=_REMEMBERED), type=State)
    except (SealBroken, msgspec.MsgspecError):
        return None


def is_over(state: State, now: float) -> bool:
    """Whether the person took longer than an attempt lasts, or the clock jumped back behind its start."""
    return not -60 <= now - state.started <= LIFETIME


def seal_secret(sealer: Sealer, secret: Secret, now: float) -> str:
    """The value of the attempt's cookie."""
    return sealer.seal(_SECRET, msgspec.json.encode(secret), now=now)


def open_secret(sealer: Sealer, cookies: Mapping[str, str], attempt: str, now: float) -> Secret | None:
    """The secret of this attempt, if this browser started it and it is not over."""
    value = cookies.get(cookie_name(attempt))
    if value is None:
        return None
    try:
        secret = msgspec.json.decode(sealer.unseal(_SECRET, value, now=now, max_age=LIFETIME), type=Secret)
    except (SealBroken, msgspec.MsgspecError):
        return None
    return secret if secret.attempt == attempt else None


def superfluous(cookies: Iterable[str]) -> list[str]:
    """The names of attempt cookies to expire so that one more still fits: malformed ones, then the oldest."""
    names = [name for name in cookies if name.startswith(ATTEMPT_COOKIE)]
    good = sorted(name for name in names if _ID.fullmatch(name, len(ATTEMPT_COOKIE)))
    return [name for name in names if name not in good] + good[: max(0, len(good) - MAX_ATTEMPTS + 1)]
