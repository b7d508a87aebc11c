"""What is kept of an enrolled factor, and of wrong tries. Pure."""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from proxy.model.identity import Identity

Kind = Literal["passkey", "code"]
MOST_PER_PERSON: Final = 10
MOST_IN_A_ROW: Final = 100  # wrong tries without a right one between them (NIST SP 800-63B, section 5.2.2)


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """One enrolled passkey or authenticator app. Times are seconds since the epoch; `last_used` is 0.0 before any use.

    `person` is `person_of`. `secret`: of a passkey the attested credential data (its public key), of an app the sealed
    secret. `key`: of a passkey its credential id, which nobody else may enrol; b"" else. `counter` only grows: a
    passkey's signature counter, an app's last used time step. `synced`: the passkey may be copied to other devices of
    its owner (backup eligible).
    """

    id: str
    person: str
    kind: Kind
    name: str
    created: float
    secret: bytes
    key: bytes = b""
    counter: int = 0
    synced: bool = False
    last_used: float = 0.0

    def __repr__(self) -> str:
        return f"Factor(id={self.id!r}, person={self.person!r}, kind={self.kind!r}, name={self.name!r})"


def person_of(identity: Identity) -> str:
    """Whose factors: `provider:subject`. Subjects are unique within a provider only."""
    return f"{identity.provider}:{identity.subject}"


class Tries(msgspec.Struct, frozen=True):
    """Wrong tries: how many since the last right one, and when those of the present window were made."""

    in_a_row: int = 0
    times: tuple[float, ...] = ()


def counted(tries: Tries, *, now: float, most: int, window: float) -> tuple[Tries, float]:
    """One more try: what to keep, and 0.0 when it may be made, else the seconds to wait (`inf`: for ever).

    A try counts as wrong before it is judged, so that many at once do not get past the limit; a right one clears all.
    When the clock has jumped back, tries "in the future" count as made now: nobody waits longer than `window`.
    """
    if tries.in_a_row >= MOST_IN_A_ROW:
        return tries, math.inf
    recent = tuple(min(at, now) for at in tries.times if at > now - window)
    if len(recent) >= most:
        return Tries(tries.in_a_row, recent), min(window, max(1.0, min(recent) + window - now))
    return Tries(tries.in_a_row + 1, (*recent, now)), 0.0
