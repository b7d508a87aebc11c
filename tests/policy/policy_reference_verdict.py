"""The verdict by the naive reading of the rules in `policy_reference`, baselines and challenges included.

What somebody else could be allowed, or the same person after doing something about it, is found by following every way
the conditions that are open then could turn out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from policy_reference import (
    REQUEST,
    STRENGTH,
    Answer,
    Leaf,
    Truth,
    answer_for,
    conjunction,
    holds,
    leaves,
    of_asker,
    of_request,
    who,
)

from proxy.model.facts import Facts
from proxy.settings.schema import Baseline, Conditions, Rule

Whole = tuple[Rule, Sequence[Baseline]]  # a rule, and what is added to it
OPEN = ("users", "domains", "groups", "claims", "providers", *STRENGTH, "device")
UNDECIDED = {
    "person": OPEN,
    "service": ("services", "device"),
    "fresh": (),
    "strong": (),
    "mended": ("device",),
    "everything": ("device",),
}
THIS = ("fresh", "strong", "mended", "everything")  # suppositions about the person who is asking


def parts(whole: Whole, service: bool) -> list[Conditions]:
    """All that must hold: the rule, and those baselines that are for this kind of asker."""
    rule, baselines = whole
    return [rule, *(one for one in baselines if one.applies_to in ("everybody", "services" if service else "people"))]


def whole_holds(whole: Whole, answer: Answer, service: bool) -> Truth:
    return conjunction([holds(part, answer) for part in parts(whole, service)])


def is_service(facts: Facts) -> bool:
    identity = who(facts)
    return identity is not None and identity.kind == "service"


# --- somebody else, or the same person after doing something about it ----------------------------------------------


def spread(conditions: Conditions, could_be: Callable[[Leaf], set[Truth]]) -> set[Truth]:
    """Every truth conditions could have, when each leaf could have some."""
    sets = [could_be(leaf) for leaf in leaves(conditions, 0)]
    if conditions.not_ is not None:
        inside = spread(conditions.not_, could_be)
        sets.append({None if value is None else not value for value in inside})
    return together(sets)


def together(sets: Iterable[set[Truth]]) -> set[Truth]:
    found: set[Truth] = {True}
    for values in sets:
        found = {conjunction([one, other]) for one in found for other in values}
    return found


def outcomes(whole: Whole, facts: Facts, kind: str) -> set[Truth]:
    """Every truth the rule could have for some person, some service, or this person under a supposition."""
    conditions = parts(whole, kind == "service" or (kind in THIS and is_service(facts)))
    return together([spread(part, lambda leaf: supposed(leaf, facts, kind)) for part in conditions])


def supposed(leaf: Leaf, facts: Facts, kind: str) -> set[Truth]:
    key, asked, _ = leaf
    if key in UNDECIDED[kind]:
        return {True, False}
    if key in REQUEST:
        return {of_request(leaf, facts)}
    if key == "auth_age" and kind in ("person", "fresh", "strong", "everything"):
        return {True}
    if key in STRENGTH and kind in ("strong", "everything"):
        return {asked is not False}
    if kind in THIS:
        return {of_asker(leaf, facts)}
    if key == "anyone":
        return {True}
    return {bool(asked) if key == "authenticated" else False}


def could(allow: Sequence[Whole], deny: Sequence[Rule], facts: Facts, kind: str) -> bool:
    return any(True in outcomes(whole, facts, kind) for whole in allow) and not inevitable(deny, facts, kind)


def inevitable(deny: Sequence[Rule], facts: Facts, kind: str) -> bool:
    return any(False not in outcomes((rule, ()), facts, kind) for rule in deny)


# --- the verdict -----------------------------------------------------------------------------------------------


def decide(
    rules: Sequence[Rule], deny: Sequence[Rule], public: bool, facts: Facts, baselines: Sequence[Baseline] = ()
) -> tuple[str, str | None]:
    """The reason, and the rule where it is determined (None: whichever is nearest)."""
    answer = answer_for(facts)
    matching = [(rule.name, holds(rule, answer)) for rule in deny if holds(rule, answer) is not False]
    allow = [(rule, baselines) for rule in ([Rule(name="public", anyone=True)] if public else [])]
    allow += [(rule, baselines) for rule in rules]
    if not matching:
        for whole in allow:
            if whole_holds(whole, answer, is_service(facts)):
                name = whole[0].name
                return ("public", "") if name == "public" else ("rule-allows", name)
    denied = next((name for name, value in matching if value is True), matching[0][0] if matching else None)
    identity = who(facts)
    default = ("denied-by-rule", denied) if denied else ("no-rule-allows", None)
    bad = facts.certificate_problem if any(rule.services for rule in rules) else None
    if identity is None:
        return for_nobody(allow, deny, facts, default, bad)
    if identity.kind == "person":
        reason = next((reason for kind, reason in MENDS if could(allow, deny, facts, kind)), None)
        if reason == "device":
            return "device-", None
        if reason:
            return reason, None
    return default if denied or not bad else (bad, None)


MENDS = (
    ("fresh", "reauthentication-required"),
    ("strong", "step-up-required"),
    ("mended", "device"),
    ("everything", "device"),
)


def for_nobody(
    allow: Sequence[Whole], deny: Sequence[Rule], facts: Facts, default: tuple[str, str | None], bad: str | None
) -> tuple[str, str | None]:
    if bad:
        whoever = inevitable(deny, facts, "person") and inevitable(deny, facts, "service")
        return default if whoever and default[0] == "denied-by-rule" else (bad, None)
    if could(allow, deny, facts, "person"):
        return "login-required", None
    elsewhere = not any(may_ever(rule, "person") for rule in allow) and any(may_ever(rule, "service") for rule in allow)
    if could(allow, deny, facts, "service") or (elsewhere and not inevitable(deny, facts, "service")):
        return facts.certificate_problem or "certificate-required", None
    if default[0] == "no-rule-allows" and facts.certificate_problem and bad:
        return bad, None
    return default


def may_ever(whole: Whole, kind: str) -> bool:
    """Whether the rule could hold for some request of somebody of this kind."""

    def could_be(leaf: Leaf) -> set[Truth]:
        if leaf[0] in REQUEST or leaf[0] in UNDECIDED[kind]:
            return {True, False}
        if leaf[0] == "authenticated":
            return {bool(leaf[1])}
        return {leaf[0] == "anyone" or (leaf[0] == "auth_age" and kind == "person")}

    return True in together([spread(part, could_be) for part in parts(whole, kind == "service")])
