"""What a condition is, and the two common kinds: about who is asking, and about the request.

A condition can be asked in two ways that always agree. `value` is its truth for given facts. `can_hold` and `can_fail`
are its two bits for a given asker, each either settled (a bool) or a predicate still to be asked per request: that is
what makes deciding cheap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.policy.asker import Asker, Kind
from proxy.policy.logic import EITHER, FALSE, TRUE, UNKNOWN, Value

Predicate = Callable[[Facts], bool]
SKEW = 60.0  # seconds that somebody else's clock may be ahead of ours


class Condition(ABC):
    """One thing a rule asks for. `name` is its key in the configuration."""

    name: str

    @abstractmethod
    def settled(self, asker: Asker) -> Value | None:
        """The value for this asker whatever the request, or None when the request matters."""

    @abstractmethod
    def value(self, facts: Facts, asker: Asker) -> Value:
        """The value for these facts. Never raises: a fact that cannot be read is unknown."""

    @abstractmethod
    def holds(self, facts: Facts) -> bool:
        """Whether an unsettled condition is true."""

    @abstractmethod
    def fails(self, facts: Facts) -> bool:
        """Whether an unsettled condition is false (an unknown one is neither)."""

    @abstractmethod
    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks, given the value the condition has."""

    def remedy(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence on how to mend it, "" when the refusal's own says enough."""
        return ""

    def can_hold(self, asker: Asker) -> bool | Predicate:
        """The true bit."""
        value = self.settled(asker)
        return self.holds if value is None else bool(value & TRUE)

    def can_fail(self, asker: Asker) -> bool | Predicate:
        """The false bit."""
        value = self.settled(asker)
        return self.fails if value is None else bool(value & FALSE)

    def leaves(self) -> Sequence[Condition]:
        """The conditions this one is made of."""
        return (self,)


class AskerCondition(Condition):
    """A condition on who is asking and nothing else."""

    @abstractmethod
    def settled(self, asker: Asker) -> Value:
        """The value for this asker."""

    def value(self, facts: Facts, asker: Asker) -> Value:
        """The value for this asker."""
        return self.settled(asker)

    def holds(self, facts: Facts) -> bool:
        """Never asked: always settled."""
        raise AssertionError(facts)

    def fails(self, facts: Facts) -> bool:
        """Never asked: always settled."""
        raise AssertionError(facts)


class PersonCondition(AskerCondition):
    """A condition on a person. A service is known not to be one, so it is false for services; for nobody, unknown."""

    def settled(self, asker: Asker) -> Value:
        """The value for this asker."""
        if asker.identity is not None and asker.kind is Kind.PERSON:
            return self.of_person(asker.identity)
        return {Kind.NOBODY: UNKNOWN, Kind.SOME_PERSON: EITHER}.get(asker.kind, FALSE)

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        if asker.identity is None:
            return "Nobody is logged in."
        if asker.kind is not Kind.PERSON:
            return "This is for people, and a service is asking."
        return self.sentence(asker.identity, value)

    @abstractmethod
    def of_person(self, identity: Identity) -> Value:
        """The value for a person."""

    @abstractmethod
    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person."""


class RequestCondition(Condition):
    """A condition on the request and nothing else."""

    def settled(self, asker: Asker) -> Value | None:
        """None: the request matters."""
        return None

    def value(self, facts: Facts, asker: Asker) -> Value:
        """The value for these facts."""
        return self.of_request(facts)

    def holds(self, facts: Facts) -> bool:
        """Whether it is true."""
        return self.of_request(facts) == TRUE

    def fails(self, facts: Facts) -> bool:
        """Whether it is false."""
        return self.of_request(facts) == FALSE

    @abstractmethod
    def of_request(self, facts: Facts) -> Value:
        """The value for these facts."""


def texts(value: object) -> tuple[str, ...]:
    """Check that a condition was given a list of at least one text, and return it. Raises ValueError."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError("write a list, as in [one, two]")  # noqa: TRY004 - a mistake in a file, not in a program
    if not value:
        raise ValueError("the list is empty, so nothing could ever match: name at least one, or remove the key")
    for item in value:
        if not isinstance(item, str) or not item:
            raise ValueError(f"{item!r} is not a text")
    return tuple(value)


def either(items: Sequence[str], limit: int = 5) -> str:
    """`a`, `a or b`, `a, b or c`; at most `limit` of them by name."""
    shown = [*items[:limit], f"{len(items) - limit} more"] if len(items) > limit else list(items)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def told(asker: Asker, items: Sequence[str], kind: str) -> str:
    """What a rule lists, for a sentence; to nobody in particular only what kind of thing it lists."""
    return either(items) if asker.identity is not None else f"the {kind} this rule names"


def span(seconds: float) -> str:
    """A length of time for people: `40 s`, `3 min`, `5 h`, `2 d`."""
    whole = max(0, round(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
