"""Why a request was not let through: the rule that came nearest, and what about it did not hold."""

from __future__ import annotations

from itertools import islice
from operator import itemgetter

from proxy.model.facts import Facts
from proxy.model.verdict import Failed
from proxy.policy.asker import Asker, Kind
from proxy.policy.compile import Policy
from proxy.policy.conditions.base import Condition
from proxy.policy.conditions.baseline import OfBaseline
from proxy.policy.conditions.methods import Methods
from proxy.policy.conditions.paths import Paths
from proxy.policy.logic import TRUE, UNKNOWN, Value
from proxy.policy.specialise import Rule

_CONSIDERED = 32  # rules looked at, at most, to find the nearest: a refusal must not become expensive


def nearest(policy: Policy, facts: Facts, asker: Asker, *, service: bool = False) -> Rule | None:
    """The allow rule with the fewest conditions that do not hold; the earliest of several.

    Sought first among the rules for this asker that cover this method and path, then among those that cover them for
    other people (or services), then among the rules for this asker, then among all. None when none is missing anything.
    """
    here = policy.for_facts(facts)
    others = policy.some_service if service or asker.kind is Kind.SERVICE else policy.some_person
    close = (islice(some.nearby(facts), 8 * _CONSIDERED) for some in (here, others))
    covering = (filter(lambda rule: _covers(rule, facts, asker), rules) for rules in close)
    for rules in (*covering, here.rules(), policy.allow):
        missing = [(_missing(rule, facts, asker), rule) for rule in islice(rules, _CONSIDERED)]
        if any(number for number, _ in missing):
            return min((pair for pair in missing if pair[0]), key=itemgetter(0))[1]
    return None


def _covers(rule: Rule, facts: Facts, asker: Asker) -> bool:
    places = (condition for condition in rule.conditions if isinstance(condition, Methods | Paths))
    return all(condition.value(facts, asker) == TRUE for condition in places)


def _missing(rule: Rule, facts: Facts, asker: Asker) -> int:
    return sum(condition.value(facts, asker) != TRUE for condition in rule.conditions)


def failed(rule: Rule, facts: Facts, asker: Asker) -> tuple[Failed, ...]:
    """The conditions of an allow rule that do not hold."""
    return tuple(
        _failed(rule, condition, facts, asker, value)
        for condition in rule.conditions
        if (value := condition.value(facts, asker)) != TRUE
    )


def matched(rule: Rule, facts: Facts, asker: Asker) -> tuple[Failed, ...]:
    """The conditions of a deny rule that matched, all of them: what would have to be different."""
    return tuple(_failed(rule, condition, facts, asker, condition.value(facts, asker)) for condition in rule.conditions)


def _failed(rule: Rule, condition: Condition, facts: Facts, asker: Asker, value: Value) -> Failed:
    named = condition.baseline if isinstance(condition, OfBaseline) else rule.name
    said, remedy = condition.explain(facts, asker, value), condition.remedy(facts, asker, value)
    return Failed(named, condition.name, said, value == UNKNOWN, remedy)
