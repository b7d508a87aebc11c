"""`auth_age`: how long ago the person last proved who they are, at their provider or with our own second factor.

Unknown when neither time is known; one more than a minute ahead of ours is not. A service never logs in, so it is false
for services. A person can mend it by logging in again.
"""

from __future__ import annotations

from proxy.model.facts import Facts
from proxy.policy.asker import Asker, Kind
from proxy.policy.conditions.base import SKEW, Condition, span
from proxy.policy.logic import FALSE, TRUE, UNKNOWN, Value, truth


class AuthAge(Condition):
    """The last login is at most `seconds` old."""

    name = "auth_age"

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds < float("inf"):
            raise ValueError("write how old a login may be, like 15m")
        self.seconds = float(seconds)

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
        since = _since(facts)
        return UNKNOWN if since is None else truth(facts.time - since <= self.seconds)

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        since = _since(facts)
        if asker.identity is None:
            return "Nobody is logged in."
        if asker.kind is not Kind.PERSON:
            return "This is for people, and a service is asking."
        if value == UNKNOWN or since is None:
            return "It is not known when you logged in."
        return f"You logged in {span(facts.time - since)} ago; the limit is {span(self.seconds)}."


def _since(facts: Facts) -> float | None:
    """The later of the login and the second factor, as far as they are known and not ahead of us."""
    identity = facts.identity
    if identity is None:
        return None
    login = _usable(identity.auth_time, facts.time)
    second = _usable(identity.second_factor_at, facts.time)
    return login if second is None or (login is not None and login > second) else second


def _usable(at: object, now: float) -> float | None:
    if isinstance(at, float | int) and not isinstance(at, bool):
        return at if at <= now + SKEW else None
    return None
