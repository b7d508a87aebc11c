"""`not`: none of this. Unknown stays unknown, so a missing fact never satisfies it."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.model.facts import Facts
from proxy.policy.asker import Asker
from proxy.policy.conditions.base import Condition, Predicate
from proxy.policy.logic import TRUE, Value, all_of, negate


class Not(Condition):
    """The conditions inside do not all hold."""

    name = "not"

    def __init__(self, conditions: Sequence[Condition]) -> None:
        if not conditions:
            raise ValueError("there is nothing inside: name at least one condition, or remove the key")
        self._conditions = tuple(conditions)

    def settled(self, asker: Asker) -> Value | None:
        """The value for this asker, when every condition inside is settled."""
        values = [condition.settled(asker) for condition in self._conditions]
        known = [value for value in values if value is not None]
        return negate(all_of(known)) if len(known) == len(values) else None

    def value(self, facts: Facts, asker: Asker) -> Value:
        """The value for these facts."""
        return negate(all_of(condition.value(facts, asker) for condition in self._conditions))

    def holds(self, facts: Facts) -> bool:
        """Never asked: what is left to ask depends on the asker."""
        raise AssertionError(facts)

    def fails(self, facts: Facts) -> bool:
        """Never asked: what is left to ask depends on the asker."""
        raise AssertionError(facts)

    def can_hold(self, asker: Asker) -> bool | Predicate:
        """True as soon as one inside can be false."""
        left: list[Predicate] = []
        for condition in self._conditions:
            answer = condition.can_fail(asker)
            if answer is True:
                return True
            if answer is not False:
                left.append(answer)
        return _any(tuple(left)) if left else False

    def can_fail(self, asker: Asker) -> bool | Predicate:
        """True when all inside can be true."""
        left: list[Predicate] = []
        for condition in self._conditions:
            answer = condition.can_hold(asker)
            if answer is False:
                return False
            if answer is not True:
                left.append(answer)
        return _all(tuple(left)) if left else True

    @property
    def inside(self) -> Sequence[Condition]:
        """The conditions that do not all hold."""
        return self._conditions

    def leaves(self) -> Sequence[Condition]:
        """The conditions inside, to the bottom."""
        return [leaf for condition in self._conditions for leaf in condition.leaves()]

    def _telling(self, facts: Facts, asker: Asker, value: Value) -> Sequence[Condition]:
        """Those inside that decide it: one that holds does so because of those inside that do not, one that is unknown
        because of the unknown ones."""
        return [inner for inner in self._conditions if inner.value(facts, asker) == negate(value)]

    def remedy(self, facts: Facts, asker: Asker, value: Value) -> str:
        """How to mend those inside that decide it."""
        found = (inner.remedy(facts, asker, negate(value)) for inner in self._telling(facts, asker, value))
        return " ".join(dict.fromkeys(filter(None, found)))

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks: about those inside that decide it."""
        telling = self._telling(facts, asker, value)
        said = " ".join(inner.explain(facts, asker, negate(value)) for inner in telling)
        return said if value == TRUE else f"This rule makes an exception: {said}"


def _any(predicates: tuple[Predicate, ...]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return lambda facts: any(predicate(facts) for predicate in predicates)


def _all(predicates: tuple[Predicate, ...]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return lambda facts: all(predicate(facts) for predicate in predicates)
