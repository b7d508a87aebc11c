"""The verdict: a pure function of policy and facts, and the same one for requests, tests, explanations and replays.

In order: a deny rule that matches wins over every rule that allows; the first rule that allows decides; otherwise the
request is refused, and the refusal says what would help:

- nobody is asking, and some person could be allowed          → challenge: log in
- nobody is asking, and only a service could be allowed       → deny: a client certificate is required
- a certificate was refused, and the rules name services      → deny: what was wrong with it
- the person would be allowed if they logged in again         → challenge: re-authenticate
- …, if they did so more strongly                             → challenge: step up
- …, if their device were known, or in a better state         → challenge: enrol it, or mend it
- a deny rule matched                                         → deny: that rule, and what matched
- otherwise                                                   → deny: no rule allows; the nearest, and what is missing

What somebody *could* be allowed is asked of the same rules with the identity left open (see `logic`), so a challenge is
never given where logging in cannot help, and a deny rule that matches only because nobody is logged in yet asks for a
login instead of refusing outright.
"""

from __future__ import annotations

from typing import Final

import msgspec

from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Failed, Outcome, Verdict
from proxy.policy.asker import Asker, Kind, asker_of
from proxy.policy.compile import Policy, Supposed
from proxy.policy.explain import failed, matched, nearest
from proxy.policy.logic import TRUE
from proxy.policy.specialise import Rule

_DEVICE: Final = frozenset((Reason.DEVICE_REQUIRED, Reason.DEVICE_NOT_COMPLIANT))
_OPENS: Final = _DEVICE | {Reason.REAUTHENTICATION_REQUIRED, Reason.STEP_UP_REQUIRED}
_MENDS: Final = (  # what could help a person, from the least that is asked of them to the most
    (Supposed(fresh=True), Reason.REAUTHENTICATION_REQUIRED),
    (Supposed(fresh=True, strong=True), Reason.STEP_UP_REQUIRED),
    (Supposed(mended=True), Reason.DEVICE_NOT_COMPLIANT),
    (Supposed(fresh=True, strong=True, mended=True), Reason.DEVICE_NOT_COMPLIANT),
)


def decide(policy: Policy, facts: Facts) -> Verdict:
    """Decide a request. Pure; a fact that is missing or malformed is unknown and lets nobody in.

    For a default deny or a challenge, `rule` and `failed` are the nearest rule and its conditions that do not hold; for
    DENIED_BY_RULE they are the deny rule and its conditions that matched.
    """
    rule = policy.for_facts(facts).allows(facts)
    return rule.verdict if rule is not None else _refuse(policy, facts)


def opens(policy: Policy, identity: Identity | None, template: Facts) -> bool:
    """Whether this identity may open what `template` asks for, perhaps after confirming who they are, or from a device
    that is as asked.

    For lists of apps: the template is a GET of the app's first page, with the address and time of whoever looks.
    """
    verdict = decide(policy, msgspec.structs.replace(template, identity=identity))
    return verdict.outcome is Outcome.ALLOW or verdict.reason in _OPENS


def _refuse(policy: Policy, facts: Facts) -> Verdict:
    asker = asker_of(facts)
    if asker.kind is Kind.NOBODY:
        return _refuse_nobody(policy, facts, asker)
    if asker.kind is Kind.PERSON and asker.identity is not None:
        challenge = _mend(policy, asker.identity, facts, asker)
        if challenge is not None:
            return challenge
    return _denied_by_rule(policy, facts, asker) or _default(policy, facts, asker)


def _mend(policy: Policy, person: Identity, facts: Facts, asker: Asker) -> Verdict | None:
    """What this person could do to be allowed; None when nothing would help."""
    tried = [policy.for_facts(facts)]
    for supposed, reason in _MENDS:
        here = policy.supposing(supposed, person, facts)
        if any(here is one for one in tried):
            continue  # the rules do not ask about what is supposed
        tried.append(here)
        rule = here.allows(facts)
        if rule is not None:
            return _challenge(policy, reason, rule, facts, asker)
    return None


def _refuse_nobody(policy: Policy, facts: Facts, asker: Asker) -> Verdict:
    person, service = policy.some_person, policy.some_service
    if facts.certificate_problem is not None and policy.needs_service:
        whoever = person.denying(facts) and service.denying(facts)
        return (whoever and _denied_by_rule(policy, facts, asker)) or _default(policy, facts, asker)
    login = person.allows(facts)
    if login is not None:
        return _challenge(policy, Reason.LOGIN_REQUIRED, login, facts, asker)
    if service.allows(facts) is not None or (policy.only_for_services and not service.denying(facts)):
        return _default(policy, facts, asker, Reason.CERTIFICATE_REQUIRED)
    return _denied_by_rule(policy, facts, asker) or _default(policy, facts, asker)


def _challenge(policy: Policy, reason: Reason, rule: Rule, facts: Facts, asker: Asker) -> Verdict:
    """Ask for a login that could make `rule` allow, and say what is missing for that."""
    missing = failed(rule, facts, asker)
    if not missing:
        rule = _first(policy.for_facts(facts).denying(facts), facts, asker)  # only a deny rule is in the way
        missing = matched(rule, facts, asker)
    return Verdict(Outcome.CHALLENGE, _precisely(reason, facts, missing), rule.name, missing)


def _precisely(reason: Reason, facts: Facts, missing: tuple[Failed, ...]) -> Reason:
    """A device of which nothing that matters is known, and which is not in the inventory, must be enrolled first."""
    if reason is not Reason.DEVICE_NOT_COMPLIANT or (facts.device is not None and facts.device.id):
        return reason
    told = facts.device is not None and any(not one.unknown for one in missing if one.condition in ("device", "not"))
    return reason if told else Reason.DEVICE_REQUIRED


def _denied_by_rule(policy: Policy, facts: Facts, asker: Asker) -> Verdict | None:
    matching = policy.for_facts(facts).denying(facts)
    if not matching:
        return None
    rule = _first(matching, facts, asker)
    return Verdict(Outcome.DENY, Reason.DENIED_BY_RULE, rule.name, matched(rule, facts, asker))


def _first(matching: list[Rule], facts: Facts, asker: Asker) -> Rule:
    """The deny rule to name: the first that matches for certain, or else the first."""
    return next((rule for rule in matching if rule.value(facts, asker) == TRUE), matching[0])


def _default(policy: Policy, facts: Facts, asker: Asker, reason: Reason = Reason.NO_RULE_ALLOWS) -> Verdict:
    """Default deny, with the nearest rule. A certificate that was refused is the reason when services are named."""
    problem = facts.certificate_problem
    if problem is not None and (policy.needs_service or reason is Reason.CERTIFICATE_REQUIRED):
        reason = Reason(problem)
    rule = nearest(policy, facts, asker, service=reason is not Reason.NO_RULE_ALLOWS)
    if rule is not None:
        return Verdict(Outcome.DENY, reason, rule.name, failed(rule, facts, asker))
    in_the_way = policy.for_facts(facts).denying(facts)  # what could hold does, so only deny rules are in the way
    if in_the_way:
        return Verdict(Outcome.DENY, reason, in_the_way[0].name, matched(in_the_way[0], facts, asker))
    return Verdict(Outcome.DENY, reason)
