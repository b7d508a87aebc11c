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
from proxy.policy.conditions.base import Condition, RequestCondition
from proxy.policy.conditions.baseline import APPLIES_TO, OfBaseline
from proxy.policy.conditions.presence import Anyone
from proxy.policy.conditions.services import Services
from proxy.policy.logic import Value
from proxy.policy.memo import Memo
from proxy.policy.rule import BaselineSpec, PolicyError, RuleSpec
from proxy.policy.specialise import Rule, Specialised, specialise
from proxy.policy.wanted import NOTHING, Wanted, device_attributes, is_timed, wanted

_PUBLIC: Final = Verdict(Outcome.ALLOW, Reason.PUBLIC)
_NO_CERTIFICATE: Final = object()
_REMEMBERED = 100_000  # entries of rules over all that a policy remembers; see `Policy`


class Supposed(NamedTuple):
    """What is supposed of a person who was refused: another login, the strongest one, another state of the device."""

    fresh: bool = False
    strong: bool = False
    mended: bool = False


class _Remembered(NamedTuple):
    identity: Identity
    certificate: Certificate | object | None  # None is whichever: a person's plays no part
    now: Specialised
    supposed: dict[Supposed, Specialised]  # as it would be, found out when somebody is refused


class Policy:
    """The compiled rules of one route. Immutable but for what it remembers.

    Memory: beyond its rules, a policy of n rules remembers at most 2 · min(512, max(8, 100,000 / (n + 1))) identities,
    by object and not by value, each holding a reference to its Identity and to sets of rules that it shares with all
    identities whose answers are the same.

    `timed` says whether a verdict may change with time alone, `device_attributes` what of a device plays a part.
    """

    __slots__ = (
        "_by_answers",
        "_by_identity",
        "_leaves",
        "_wanted",
        "allow",
        "deny",
        "device_attributes",
        "needs_service",
        "nobody",
        "some_person",
        "some_service",
        "timed",
    )

    def __init__(self, allow: Sequence[Rule], deny: Sequence[Rule]) -> None:
        self.allow = tuple(allow)
        self.deny = tuple(deny)
        leaves = [leaf for rule in (*allow, *deny) for condition in rule.conditions for leaf in condition.leaves()]
        self.needs_service = any(isinstance(condition, Services) for rule in allow for condition in rule.conditions)
        self.timed = is_timed(leaves)
        self.device_attributes = device_attributes(leaves)
        self._wanted = {rule.name: wanted(rule.conditions, hold=False) for rule in deny}
        self._wanted |= {rule.name: wanted(rule.conditions, hold=True) for rule in allow}
        self._leaves = tuple(leaf for leaf in leaves if not isinstance(leaf, RequestCondition))
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

    def supposing(self, supposed: Supposed, person: Identity, facts: Facts) -> Specialised:
        """The policy as it would stand for the person who is asking, if what is supposed were so."""
        known = self._by_identity.get(id(person))
        if known is None or known.identity is not person:
            known = self._meet(person, facts)
        found = known.supposed.get(supposed)
        if found is None:
            found = known.supposed[supposed] = self._specialised(asker_of(facts)._replace(**supposed._asdict()))
        return found

    def wanted(self, rule: str) -> Wanted:
        """What a rule and its baselines ask of a login, for the link of a challenge; no such rule asks nothing."""
        return self._wanted.get(rule, NOTHING)

    def _meet(self, identity: Identity, facts: Facts) -> _Remembered:
        asker = asker_of(facts)
        now = self._specialised(asker)
        if asker.kind is Kind.NOBODY:
            return _Remembered(identity, None, now, {})
        certificate = None if asker.kind is Kind.PERSON else facts.certificate or _NO_CERTIFICATE
        met = _Remembered(identity, certificate, now, {})
        self._by_identity.put(id(identity), met)
        return met

    @property
    def only_for_services(self) -> bool:
        """Whether there are rules that allow, and no person can ever meet one."""
        return self.some_service.may_allow and not self.some_person.may_allow

    def __repr__(self) -> str:
        return f"<Policy {len(self.allow)} allow, {len(self.deny)} deny>"


def compile_policy(
    *,
    allow: Sequence[RuleSpec],
    deny: Sequence[RuleSpec],
    public: bool = False,
    baselines: Sequence[BaselineSpec] = (),
) -> Policy:
    """Compile the rules of one route. `public` allows everybody, even nobody; deny rules still apply. The conditions of
    `baselines` are added to every rule that allows, the one of `public` too.

    Raises PolicyError for a condition that cannot be read, two rules of one name, a rule without conditions, and a rule
    that allows without saying whom: everybody must be asked for by name (`anyone: true`), not by leaving a line out.
    """
    for specs in (allow, deny, baselines):
        for name, times in Counter(spec.name for spec in specs).items():
            if times > 1:
                raise PolicyError("another rule has this name too: a refusal must name one", rule=name)
    added = tuple(condition for spec in baselines for condition in _added(spec))
    denying = [_compile(spec, Verdict(Outcome.DENY, Reason.DENIED_BY_RULE, spec.name)) for spec in deny]
    allowing = [_compile(spec, Verdict(Outcome.ALLOW, Reason.RULE_ALLOWS, spec.name), added) for spec in allow]
    for rule in allowing:
        if WHO.isdisjoint(condition.name for condition in rule.conditions if not isinstance(condition, OfBaseline)):
            raise PolicyError(
                "it does not say whom it allows: add authenticated: true for anybody who is logged in, or anyone: true",
                rule=rule.name,
            )
    return Policy([Rule("", (Anyone(True), *added), _PUBLIC), *allowing] if public else allowing, denying)


def _compile(spec: RuleSpec, verdict: Verdict, added: Sequence[Condition] = ()) -> Rule:
    return Rule(spec.name, (*_built(spec), *added), verdict)


def _built(spec: RuleSpec) -> tuple[Condition, ...]:
    conditions = build(spec, spec.name)
    if not conditions:
        raise PolicyError("it has no conditions: write anyone: true if it is meant for everybody", rule=spec.name)
    return conditions


def _added(spec: BaselineSpec) -> list[Condition]:
    if spec.applies_to not in APPLIES_TO:
        raise PolicyError(f"applies_to is one of {', '.join(APPLIES_TO)}", rule=spec.name)
    return [OfBaseline(condition, spec.name, spec.applies_to) for condition in _built(spec)]
