"""A second, naive reading of the rules, written from the specification and sharing no code with `proxy.policy`.

Every rule is looked at for every request; truth is True, False or None (unknown). What somebody else could be allowed
is found by trying every way their own conditions could turn out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from policy_reference_device import device

from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.settings.schema import Conditions, Hours

Truth = bool | None
Leaf = tuple[str, Any, int]  # key, what is asked, how many `not` deep
Answer = Callable[[Leaf], Truth]

STRENGTH = ("mfa", "amr", "acr")
PERSONAL = ("users", "domains", "groups", "claims", "providers", "auth_age", *STRENGTH)


def conjunction(values: Sequence[Truth]) -> Truth:
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def disjunction(values: Sequence[Truth]) -> Truth:
    if any(value is True for value in values):
        return True
    return None if any(value is None for value in values) else False


def leaves(conditions: Conditions, depth: int) -> Iterator[Leaf]:
    for key in (*PERSONAL, "services", "authenticated", "anyone", "methods", "paths", "networks", "hours", "device"):
        asked = getattr(conditions, key)
        if key == "claims" and asked is not None:
            yield from (("claims", pair, depth) for pair in asked.items())
        elif asked is not None:
            yield key, asked, depth


def holds(conditions: Conditions, answer: Answer, depth: int = 0) -> Truth:
    values = [answer(leaf) for leaf in leaves(conditions, depth)]
    if conditions.not_ is not None:
        inside = holds(conditions.not_, answer, depth + 1)
        values.append(None if inside is None else not inside)
    return conjunction(values)


# --- the facts -------------------------------------------------------------------------------------------------


def who(facts: Facts) -> Identity | None:
    refused = facts.certificate_problem is not None
    return None if facts.identity is not None and facts.identity.kind == "service" and refused else facts.identity


def answer_for(facts: Facts) -> Answer:
    return lambda leaf: of_request(leaf, facts) if leaf[0] in REQUEST else of_asker(leaf, facts)


def of_asker(leaf: Leaf, facts: Facts) -> Truth:
    key, asked, _ = leaf
    identity = who(facts)
    if key == "anyone":
        return True
    if key == "authenticated":
        return (identity is not None) is asked
    if identity is None:
        return None
    if key == "services":
        of_certificate = facts.certificate.names if facts.certificate else ()
        names = [identity.subject, *(of_certificate if identity.subject in of_certificate else ())]
        return identity.kind == "service" and any(is_service(name, want) for name in names for want in asked)
    if identity.kind == "service":
        return False
    return PERSON[key](asked, identity, facts)


def is_service(name: str, wanted: str) -> bool:
    if wanted.endswith("/*"):
        return name.startswith(wanted[:-1]) and name != wanted[:-1] and "/" not in name[len(wanted) - 1 :]
    if wanted.startswith("*."):
        return name.partition(".")[2] == wanted[2:] and name.partition(".")[0] not in {"", "*"}
    return name == wanted


def mail(identity: Identity) -> tuple[str, str] | None:
    local, _, domain = identity.email.partition("@")
    good = local and domain and "@" not in domain and not domain.endswith(".") and identity.email.isascii()
    return (local.lower(), domain.lower()) if good else None


def users(asked: Any, identity: Identity, facts: Facts) -> Truth:
    if any(":" in user and user == f"{identity.provider}:{identity.subject}" for user in asked):
        return True
    addresses = [user.lower() for user in asked if ":" not in user]
    address = mail(identity)
    if not addresses:
        return False
    return None if address is None else "@".join(address) in addresses


def domains(asked: Any, identity: Identity, facts: Facts) -> Truth:
    address = mail(identity)
    return None if address is None else address[1] in asked


def groups(asked: Any, identity: Identity, facts: Facts) -> Truth:
    return None if "groups" in identity.unknown else bool(set(asked) & set(identity.groups))


def claims(asked: Any, identity: Identity, facts: Facts) -> Truth:
    path, wanted = asked
    found: Any = identity.claims
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    elements = found if isinstance(found, list) else [found]
    return disjunction([is_value(element, wanted if isinstance(wanted, list) else [wanted]) for element in elements])


def is_value(found: Any, wanted: list[Any]) -> Truth:
    def json_type(value: Any) -> str:
        return {bool: "boolean", int: "number", float: "number", str: "string"}.get(type(value), "other")

    alike = [value for value in wanted if json_type(value) == json_type(found)]
    return found in alike if alike else None


def providers(asked: Any, identity: Identity, facts: Facts) -> Truth:
    return identity.provider in asked if identity.provider else None


def auth_age(asked: Any, identity: Identity, facts: Facts) -> Truth:
    told = [identity.auth_time, identity.second_factor_at]
    proved = [at for at in told if at is not None and at <= facts.time + 60]
    return facts.time - max(proved) <= asked if proved else None


def mfa(asked: Any, identity: Identity, facts: Facts) -> Truth:
    several = True if identity.second_factor else identity.mfa
    return None if several is None else several is asked


def amr(asked: Any, identity: Identity, facts: Facts) -> Truth:
    if any(method in asked for method in (*identity.amr, *identity.second_factor)):
        return True
    return False if identity.amr else None


def acr(asked: Any, identity: Identity, facts: Facts) -> Truth:
    return identity.acr in asked if identity.acr else None


def methods(asked: Any, facts: Facts) -> Truth:
    return facts.method in asked


def networks(asked: Any, facts: Facts) -> Truth:
    try:
        address = ipaddress.ip_address(facts.address or "")
    except ValueError:
        return None
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain in ipaddress.ip_network(network) for network in asked)


def hours(asked: Sequence[Hours], facts: Facts) -> Truth:
    return any(in_window(window, facts.time) for window in asked)


def in_window(window: Hours, time: float) -> bool:
    week = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    now = datetime.fromtimestamp(time, ZoneInfo(window.zone))
    clock, today, yesterday = now.strftime("%H:%M"), week[now.weekday()], week[now.weekday() - 1]
    if window.start < window.end:
        return today in window.days and window.start <= clock < window.end
    return (today in window.days and clock >= window.start) or (yesterday in window.days and clock < window.end)


def paths(asked: Any, facts: Facts) -> Truth:
    return any(fits(pattern.split("/")[1:], facts.path.split("/")[1:]) for pattern in asked)


def fits(pattern: list[str], path: list[str]) -> bool:
    if not pattern or not path:
        return not path and all(segment == "**" for segment in pattern)
    if pattern[0] == "**":
        return fits(pattern[1:], path) or fits(pattern, path[1:])
    return segment_fits(pattern[0], path[0]) and fits(pattern[1:], path[1:])


def segment_fits(pattern: str, text: str) -> bool:
    if pattern == "*":
        return text != ""
    reachable = {0}  # how much of the text the pattern so far may have used
    for character in pattern:
        if character == "*":
            reachable = {used for start in reachable for used in range(start, len(text) + 1)}
        else:
            reachable = {used + 1 for used in reachable if text[used : used + 1] == character}
    return len(text) in reachable


REQUEST = {check.__name__: check for check in (methods, networks, hours, paths, device)}
PERSON = {check.__name__: check for check in (users, domains, groups, claims, providers, auth_age, mfa, amr, acr)}


def of_request(leaf: Leaf, facts: Facts) -> Truth:
    return REQUEST[leaf[0]](leaf[1], facts)
