"""`auth_age`: how long ago the person last proved who they are.

Unknown when the provider did not say, or said a time more than a minute ahead of ours. A service never logs in, so it
is false for services. It is the one condition that a person can mend by logging in again.
"""

from __future__ import annotations

from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.policy.asker import Asker, Kind
from proxy.policy.conditions.base import Condition
from proxy.policy.logic import FALSE, TRUE, UNKNOWN, Value, truth

SKEW = 60.0  # seconds that the provider's clock may be ahead of ours


class AuthAge(Condition):
    """The last login is at most `seconds` old."""

    name = "auth_age"

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds < float("inf"):
            raise ValueError("write how old a login may be, like 15m")
        self._seconds = float(seconds)

    def settled(self, asker: Asker) -> Value | None:
        """The value for this asker, when the time of the request does not matter."""
        if asker.fresh:
            return TRUE
        if asker.kind is Kind.PERSON:
            return None
        return UNKNOWN if asker.kind is Kind.NOBODY else FALSE

    def value(self, facts: Facts, asker: Asker) -> Value:
        """The value for these facts."""
        settled = self.settled(asker)
        return self._age(facts) if settled is None else settled

    def holds(self, facts: Facts) -> bool:
        """Whether the login is recent enough."""
        return self._age(facts) == TRUE

    def fails(self, facts: Facts) -> bool:
        """Whether it is known to be too old."""
        return self._age(facts) == FALSE

    def _age(self, facts: Facts) -> Value:
        since = _since(facts.identity)
        if since is None or not since <= facts.time + SKEW:
            return UNKNOWN
        return truth(facts.time - since <= self._seconds)

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        since = _since(facts.identity)
        if asker.identity is None:
            return "Nobody is logged in."
        if asker.kind is not Kind.PERSON:
            return "This is for people, and a service is asking."
        if value == UNKNOWN or since is None:
            return "It is not known when you logged in."
        return f"You logged in {_span(facts.time - since)} ago; the limit is {_span(self._seconds)}."


def _since(identity: Identity | None) -> float | None:
    since: object = None if identity is None else identity.auth_time
    return float(since) if isinstance(since, int | float) and not isinstance(since, bool) else None


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
