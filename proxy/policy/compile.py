"""From rules to a `Policy`: checked, in order, and remembered per identity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome, Verdict
from proxy.policy.asker import NOBODY, SOME_PERSON, SOME_SERVICE, Asker, Kind, asker_of
from proxy.policy.conditions import WHO, build
from proxy.policy.conditions.auth_age import AuthAge
from proxy.policy.conditions.base import AskerCondition
from proxy.policy.conditions.presence import Anyone
from proxy.policy.conditions.services import Services
from proxy.policy.logic import Value
from proxy.policy.memo import Memo
from proxy.policy.rule import PolicyError, RuleSpec
from proxy.policy.specialise import Rule, Specialised, specialise

_PUBLIC: Final = Rule("", (Anyone(True),), Verdict(Outcome.ALLOW, Reason.PUBLIC))
_NO_CERTIFICATE: Final = object()
_REMEMBERED = 100_000  # entries of rules over all that a policy remembers; see `Policy`


class _Remembered(NamedTuple):
    identity: Identity
    certificate: Certificate | object | None  # None is whichever: a person's plays no part
    now: Specialised
    again: Specialised  # as it would be after logging in again


class Policy:
    """The compiled rules of one route. Immutable but for what it remembers.

    Memory: beyond its rules, a policy of n rules remembers at most 2 · min(512, max(8, 100,000 / (n + 1))) identities,
    by object and not by value, each holding a reference to its Identity and to a set of rules that it shares with all
    identities whose answers are the same.
    """

    __slots__ = (
        "_by_answers",
        "_by_identity",
        "_leaves",
        "allow",
        "deny",
        "needs_service",
        "nobody",
        "some_person",
        "some_service",
    )

    def __init__(self, allow: Sequence[Rule], deny: Sequence[Rule]) -> None:
        self.allow = tuple(allow)
        self.deny = tuple(deny)
        leaves = [leaf for rule in (*allow, *deny) for condition in rule.conditions for leaf in condition.leaves()]
        self.needs_service = any(isinstance(condition, Services) for rule in allow for condition in rule.conditions)
        self._leaves = tuple(leaf for leaf in leaves if isinstance(leaf, AskerCondition | AuthAge))
        size = min(512, max(8, _REMEMBERED // (len(allow) + len(deny) + 1)))
        self._by_answers: Memo[tuple[Value | None, ...], Specialised] = Memo(size)
        self._by_identity: Memo[int, _Remembered] = Memo(size)
        self.nobody = self._specialised(NOBODY)
        self.some_person = self._specialised(SOME_PERSON)
        self.some_service = self._specialised(SOME_SERVICE)

    def _specialised(self, asker: Asker) -> Specialised:
        answers = tuple(leaf.settled(asker) for leaf in self._leaves)
        known = self._by_answers.get(answers)
        if known is None:
            known = specialise(self.allow, self.deny, asker)
            self._by_answers.put(answers, known)
        return known

    def for_facts(self, facts: Facts) -> Specialised:
        """The policy as it stands for whoever these facts say is asking.

        Remembered by the identity object: two equal identities may differ in what equality does not see, and an object
        that is remembered is kept alive, so its `id` cannot pass to another.
        """
        identity = facts.identity
        if identity is None:
            return self.nobody
        known = self._by_identity.get(id(identity))
        if (
            known is not None
            and known[0] is identity
            and (known[1] is None or (known[1] is facts.certificate and facts.certificate_problem is None))
        ):
            return known[2]
        return self._meet(identity, facts).now

    def after_login(self, person: Identity, facts: Facts) -> Specialised:
        """The policy as it would stand for the person who is asking, had they logged in again just now."""
        known = self._by_identity.get(id(person))
        return (known if known is not None and known.identity is person else self._meet(person, facts)).again

    def _meet(self, identity: Identity, facts: Facts) -> _Remembered:
        asker = asker_of(facts)
        now = self._specialised(asker)
        if asker.kind is Kind.NOBODY:
            return _Remembered(identity, None, now, now)
        person = asker.kind is Kind.PERSON
        certificate = None if person else facts.certificate or _NO_CERTIFICATE
        again = self._specialised(asker._replace(fresh=True)) if person else now
        met = _Remembered(identity, certificate, now, again)
        self._by_identity.put(id(identity), met)
        return met

    @property
    def only_for_services(self) -> bool:
        """Whether there are rules that allow, and no person can ever meet one."""
        return self.some_service.may_allow and not self.some_person.may_allow

    def __repr__(self) -> str:
        return f"<Policy {len(self.allow)} allow, {len(self.deny)} deny>"


def compile_policy(*, allow: Sequence[RuleSpec], deny: Sequence[RuleSpec], public: bool = False) -> Policy:
    """Compile the rules of one route. `public` allows everybody, even nobody; deny rules still apply.

    Raises PolicyError for a condition that cannot be read, two rules of one name, a rule without conditions, and a rule
    that allows without saying whom: everybody must be asked for by name (`anyone: true`), not by leaving a line out.
    """
    for specs in (allow, deny):
        for name, times in Counter(spec.name for spec in specs).items():
            if times > 1:
                raise PolicyError("another rule has this name too: a refusal must name one", rule=name)
    denying = [_compile(spec, Reason.DENIED_BY_RULE) for spec in deny]
    allowing = [_compile(spec, Reason.RULE_ALLOWS) for spec in allow]
    for rule in allowing:
        if WHO.isdisjoint(condition.name for condition in rule.conditions):
            raise PolicyError(
                "it does not say whom it allows: add authenticated: true for anybody who is logged in, or anyone: true",
                rule=rule.name,
            )
    return Policy([_PUBLIC, *allowing] if public else allowing, denying)


def _compile(spec: RuleSpec, reason: Reason) -> Rule:
    conditions = build(spec, spec.name)
    if not conditions:
        raise PolicyError("it has no conditions: write anyone: true if it is meant for everybody", rule=spec.name)
    outcome = Outcome.ALLOW if reason is Reason.RULE_ALLOWS else Outcome.DENY
    return Rule(spec.name, conditions, Verdict(outcome, reason, spec.name))
