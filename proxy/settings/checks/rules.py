"""Checks of one rule: conditions that hold always or never, contradictions, written forms."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.model.device import ATTRIBUTES, CUSTOM
from proxy.policy import PolicyError
from proxy.policy.conditions import WHO, build
from proxy.policy.conditions.device import problems
from proxy.policy.pedigree import KEYS
from proxy.policy.ranges import COMPARISON
from proxy.settings import forms
from proxy.settings.checks.finding import Finding, Findings, form
from proxy.settings.document import Path
from proxy.settings.schema import Baseline, Conditions, Rule

OF_PEOPLE = ("users", "domains", "groups", "providers", "auth_age", "mfa", "amr", "acr")
OF_SOMEBODY = (*OF_PEOPLE, "claims", "services", "authenticated")
ALL = (*OF_SOMEBODY, "anyone", "methods", "paths", "networks", "hours", "device", "not_")

_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]+((/[A-Za-z0-9._-]+)*(/\*)?)")
_GLOB = re.compile(r"/[A-Za-z0-9._~!$&'()+,=:@*/ \u00a1-\U0010ffff-]*")


def check_rule(rule: Rule | Baseline, *, list_name: str, providers: Collection[str] | None) -> Findings:
    """`list_name` is "allow", "deny" or "baselines"; `providers` are the configured names, None when not known."""
    given = given_conditions(rule)
    found = list(_findings(rule, given, list_name, providers))
    yield from found
    if not any(finding.severity == "error" for finding in found):
        yield from _compiles(rule)


def _findings(rule: Rule | Baseline, given: list[str], list_name: str, providers: Collection[str] | None) -> Findings:
    if not given:
        hint = "write authenticated: true for anybody who logged in, or anyone: true"
        if list_name == "deny":
            hint = "write anyone: true if nobody at all may come in"
        elif list_name == "baselines":
            hint = "write what every rule of these routes must meet, such as mfa: true"
        yield Finding(("name",), f'{_kind(list_name)} "{rule.name}" has no condition', hint)
    if list_name == "allow" and given and WHO.isdisjoint(given):
        hint = "add authenticated: true for anybody who is logged in, or anyone: true"
        yield Finding(("name",), f'rule "{rule.name}" does not say whom it allows', hint)
    if list_name != "deny":
        yield from _never(rule, given)
    yield from _conditions((), rule, given, providers)


def _kind(list_name: str) -> str:
    return "baseline" if list_name == "baselines" else "rule"


def _compiles(rule: Rule | Baseline) -> Findings:
    """The last word is policy's own: a rule that passes here must not fail when the configuration takes effect."""
    try:
        build(rule, rule.name)
    except PolicyError as why:
        at: Path = (why.condition,) if why.condition else ("name",)
        yield Finding(at, f'rule "{rule.name}", {why.condition or "as a whole"}: {why.message}')


def given_conditions(conditions: Conditions) -> list[str]:
    """Attribute names of the conditions that are written."""
    return [name for name in ALL if getattr(conditions, name) is not None]


def _never(rule: Rule | Baseline, given: list[str]) -> Findings:
    """A service has no mail address, groups or login, so asking for both can never hold."""
    if rule.mfa is False:
        hint = "remove it, or move it to a deny rule"
        yield Finding(("mfa",), '"mfa: false" lets in only those who did less', hint, key=True)
    people = [name for name in OF_PEOPLE if name in given]
    if rule.services is not None and people:
        yield Finding(
            ("services",),
            f'"services" and "{people[0]}" in one rule never hold together: nobody is both a service and a person',
            "write two rules",
            key=True,
        )


def _conditions(at: Path, conditions: Conditions, given: list[str], providers: Collection[str] | None) -> Findings:
    yield from _flags(at, conditions, given)
    for name in given:
        check = _CHECKS.get(name)
        if check is not None:
            yield from check((*at, name), getattr(conditions, name))
    if conditions.providers is not None and providers is not None:
        for index, provider in enumerate(conditions.providers):
            yield from known_provider((*at, "providers", index), provider, providers)
    if conditions.not_ is not None:
        inner = given_conditions(conditions.not_)
        if not inner:
            yield Finding((*at, "not"), '"not" has no condition', "write what must not hold", key=True)
        yield from _conditions((*at, "not"), conditions.not_, inner, providers)


def known_provider(at: Path, name: str, providers: Collection[str]) -> Findings:
    """The provider must be configured."""
    if name not in providers:
        near = difflib.get_close_matches(name, providers, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "configured: " + (", ".join(sorted(providers)) or "none")
        yield Finding(at, f'there is no login provider "{name}"', hint)


def _flags(at: Path, conditions: Conditions, given: list[str]) -> Findings:
    if conditions.anyone is False:
        yield Finding(
            (*at, "anyone"),
            '"anyone: false" never holds',
            "remove it; nobody is let in without a rule anyway",
            key=True,
        )
    if conditions.authenticated is False:
        yield Finding(
            (*at, "authenticated"),
            '"authenticated: false" never holds',
            "remove it; anyone: true lets people in without login",
            key=True,
        )
    somebody = [name for name in OF_SOMEBODY if name in given]
    if conditions.anyone and somebody:
        yield Finding(
            (*at, "anyone"), f'"anyone: true" contradicts "{somebody[0]}"', "remove one, or write two rules", key=True
        )


# --- forms -------------------------------------------------------------------------------------------------------


def _each(reader: Any) -> Any:
    def check(at: Path, values: tuple[str, ...]) -> Findings:
        for index, value in enumerate(values):
            yield from form((*at, index), reader, value)

    return check


def _user(text: str) -> None:
    local, at, domain = text.rpartition("@")
    if at:
        if text != text.lower():
            raise forms.Malformed(
                f'"{text}" holds capital letters', f"addresses are compared in lower case: {text.lower()}"
            )
        if not local or re.search(r"[\s*]", text):
            raise forms.Malformed(f'"{text}" is not a mail address', "use domains: […] for everybody of a domain")
        forms.mail_domain(domain)
    elif not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}:\S+", text):
        raise forms.Malformed(f'"{text}" is not a person', "write a mail address, or provider:subject")


def _group(text: str) -> None:
    if not text or text != text.strip():
        raise forms.Malformed(f'"{text}" begins or ends with a blank, or is empty')


def _service(text: str) -> None:
    if text.startswith("spiffe:"):
        if not _SPIFFE.fullmatch(text):
            raise forms.Malformed(
                f'"{text}" is not a SPIFFE ID', "write spiffe://domain/path; * only as the last segment"
            )
    elif "://" in text:
        raise forms.Malformed(f'"{text}" is not the name of a service', "write spiffe://domain/path or a DNS name")
    elif ":" in text:
        return  # a name by token: its form is policy's to judge, its issuer must be configured
    else:
        forms.host_name(text, wildcard=True)


def _method(text: str) -> None:
    if not _METHOD.fullmatch(text):
        raise forms.Malformed(f'"{text}" is not a method', f"write {text.upper()}" if text.isalpha() else "such as GET")


def _path(text: str) -> None:
    if not text.startswith("/"):
        raise forms.Malformed(f'"{text}" does not begin with a slash', f"write /{text}")
    if not _GLOB.fullmatch(text) or "//" in text or any(part in {".", ".."} for part in text.split("/")):
        raise forms.Malformed(
            f'"{text}" is not a path pattern',
            "paths are matched decoded, without query: no %, ;, ?, #, // or dots alone; * within a segment, ** across",
        )
    if "***" in text or any("**" in part and part != "**" for part in text.split("/")):
        raise forms.Malformed(f'"{text}": ** stands for whole segments', "write /reports/** or /reports/*.pdf")


@lru_cache(maxsize=64)
def zone_exists(name: str) -> bool:
    """Whether the machine's time zone database knows it."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _hours(at: Path, windows: tuple[Any, ...]) -> Findings:
    for index, window in enumerate(windows):
        here = (*at, index)
        if window.start == window.end:
            yield Finding(here, f'"from" and "to" are both {window.start}', "leave both out for the whole day")
        if not window.days:
            yield Finding((*here, "days"), '"days" is an empty list', "remove the key for every day", key=True)
        if not zone_exists(window.zone):
            hint = "use a name of the IANA database, such as Europe/Berlin or UTC"
            yield Finding((*here, "zone"), f'there is no time zone "{window.zone}"', hint)


def _auth_age(at: Path, age: float) -> Findings:
    if age <= 0:
        yield Finding(at, '"auth_age" must be longer than nothing', "such as 15m")


def _context(text: str) -> None:
    if not text or text.split() != [text]:
        raise forms.Malformed(f'"{text}" has a blank in it, or is empty', "write each value as a text of its own")


def _device(at: Path, written: dict[str, Any]) -> Findings:
    for problem in problems(written):
        known = problem.key in ATTRIBUTES or problem.key in KEYS or problem.key.startswith(CUSTOM)
        place: Path = (*at, problem.key) if problem.key else at
        yield Finding(place, problem.message, problem.hint, key=not known)
    for attribute, usual in _USUAL.items():
        wanted = written.get(attribute, ())
        for one in [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, list) else ():
            if isinstance(one, str) and one not in usual and not COMPARISON(one):
                hint = f"usual: {', '.join(usual)}"
                yield Finding((*at, attribute), f'"{attribute}" is hardly ever "{one}"', hint, "warning")


_USUAL = {
    "os": ("linux", "macos", "windows", "ios", "android", "chromeos"),
    "ownership": ("company", "personal"),
    "risk": ("low", "medium", "high"),
}


def _claims(at: Path, claims: dict[str, Any]) -> Findings:
    if not claims:
        yield Finding(at, '"claims" is empty', "write claims: {department: sales}", key=True)
    for name, wanted in claims.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if not name or not all(name.split(".")):
            yield Finding((*at, name), f'"{name}" is not the name of a claim', "such as realm_access.roles", key=True)
        if not values:
            yield Finding((*at, name), f'claim "{name}" has an empty list', "list at least one value", key=True)
        if any(isinstance(value, (dict, list)) for value in values):
            hint = "use dots to reach inside: {address.country: DE}"
            yield Finding(
                (*at, name), f'claim "{name}" must be compared with a value or a list of values', hint, key=True
            )


_CHECKS: dict[str, Any] = {
    "users": _each(_user),
    "domains": _each(forms.mail_domain),
    "groups": _each(_group),
    "services": _each(_service),
    "methods": _each(_method),
    "paths": _each(_path),
    "networks": _each(forms.network),
    "hours": _hours,
    "auth_age": _auth_age,
    "claims": _claims,
    "amr": _each(_context),
    "acr": _each(_context),
    "device": _device,
}
