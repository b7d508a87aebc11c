"""How often one party may ask: a token bucket for each, in the memory of one worker. Pure; time is a parameter."""

from __future__ import annotations

from itertools import islice
from typing import Final

_MOST: Final = 50_000  # parties remembered; beyond it those asked for first are forgotten


class RateLimit:
    """`burst` questions at once, and one more every `every` seconds."""

    def __init__(self, burst: int, every: float) -> None:
        self._burst = burst
        self._every = every
        self._full_at: dict[str, float] = {}  # when the bucket of a party will be full again

    def allows(self, party: str, now: float) -> bool:
        """Whether this party may ask now; a question that is allowed counts."""
        full_at = min(self._full_at.get(party, now), now + self._burst * self._every)  # the clock may have jumped back
        full_at = max(full_at, now) + self._every
        if full_at > now + self._burst * self._every:
            return False
        if party not in self._full_at and len(self._full_at) >= _MOST:
            self._forget(now)
        self._full_at[party] = full_at
        return True

    def _forget(self, now: float) -> None:
        self._full_at = {party: at for party, at in self._full_at.items() if at > now}
        for party in list(islice(self._full_at, max(0, len(self._full_at) - _MOST * 7 // 8))):
            del self._full_at[party]


class Limits:
    """How often devices may ask, and how many forms are kept."""

    def __init__(self) -> None:
        self.enrolments = RateLimit(20, 30.0)  # from one address: a room full of new laptops, but no search for codes
        self.questions = RateLimit(600, 0.05)  # from one address: an office behind one
        self.of_one = RateLimit(10, 5.0)  # of one device from one address, so that nobody uses up another's share
        self.forms = RateLimit(60, 1.0)  # kept for one address: an office whose sessions end together
        self.forms_of_one = RateLimit(20, 5.0)  # kept for one session, so that nobody uses up their office's share
        self.recorded = RateLimit(30, 10.0)  # refusals on record for one address; beyond, they are only refused
