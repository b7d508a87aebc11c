"""A condition that a baseline adds to the rules of a route.

`people` are all who are not proven to be a service, so nobody escapes what is asked of people by not logging in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.model.facts import Facts
from proxy.policy.asker import Asker, Kind
from proxy.policy.conditions.base import Condition, Predicate
from proxy.policy.logic import TRUE, Value

SERVICES: Final = frozenset((Kind.SERVICE, Kind.SOME_SERVICE))
APPLIES_TO: Final = {
    "everybody": frozenset(Kind),
    "people": frozenset(Kind) - SERVICES,
    "services": SERVICES,
}


class OfBaseline(Condition):
    """A condition, by the name of its baseline, for those that the baseline is for; true for all others."""

    def __init__(self, inner: Condition, baseline: str, applies_to: str) -> None:
        self.inner = inner
        self.baseline = baseline
        self.name = inner.name
        self._applies_to = applies_to
        self._kinds = APPLIES_TO[applies_to]

    def settled(self, asker: Asker) -> Value | None:
        """The value for this asker whatever the request, or None when the request matters."""
        return self.inner.settled(asker) if asker.kind in self._kinds else TRUE

    def value(self, facts: Facts, asker: Asker) -> Value:
        """The value for these facts."""
        return self.inner.value(facts, asker) if asker.kind in self._kinds else TRUE

    def holds(self, facts: Facts) -> bool:
        """Never asked: what is left to ask is asked of the one inside."""
        raise AssertionError(facts)

    def fails(self, facts: Facts) -> bool:
        """Never asked: what is left to ask is asked of the one inside."""
        raise AssertionError(facts)

    def can_hold(self, asker: Asker) -> bool | Predicate:
        """The true bit."""
        return self.inner.can_hold(asker) if asker.kind in self._kinds else True

    def can_fail(self, asker: Asker) -> bool | Predicate:
        """The false bit."""
        return self.inner.can_fail(asker) if asker.kind in self._kinds else False

    def leaves(self) -> Sequence[Condition]:
        """The conditions inside, to the bottom, each for those the baseline is for."""
        return [OfBaseline(leaf, self.baseline, self._applies_to) for leaf in self.inner.leaves()]

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        return self.inner.explain(facts, asker, value)

    def remedy(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence on how to mend it."""
        return self.inner.remedy(facts, asker, value)
