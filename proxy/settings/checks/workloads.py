"""Checks of who vouches for services."""

from __future__ import annotations

import re
from collections.abc import Iterable

from proxy.settings import forms
from proxy.settings.checks.finding import Finding, Findings, form
from proxy.settings.checks.providers import ALGORITHMS
from proxy.settings.document import Path
from proxy.settings.resolve import is_url
from proxy.settings.schema import AnyProvider, Provider, TokenIssuer, Workloads

_SERVICE = re.compile(r"(?:[A-Za-z0-9._/:@-]|\{[A-Za-z0-9_.:/-]+\})+")
_PLACEHOLDER = re.compile(r"\{[^{}]+\}")
_MAX_STARS = 8
# Anybody at all can get a token of these, for any audience.
_FOR_EVERYBODY = ("https://token.actions.githubusercontent.com", "https://gitlab.com", "https://accounts.google.com")


def check_workloads(workloads: Workloads) -> Findings:
    """Everything that can be said about `workloads`."""
    domains: set[str] = set()
    for index, domain in enumerate(workloads.trust_domains):
        if domain.name in domains:
            here: Path = ("workloads", "trust_domains", index, "name")
            yield Finding(here, f'trust domain "{domain.name}" is there already', "each has one bundle")
        domains.add(domain.name)
    names: set[str] = set()
    issuers: set[str] = set()
    for index, one in enumerate(workloads.issuers):
        at: Path = ("workloads", "issuers", index)
        if one.name in names:
            yield Finding((*at, "name"), f'issuer "{one.name}" is there already', "each needs a name of its own")
        if one.issuer in issuers:
            yield Finding((*at, "issuer"), f"{one.issuer} is there already", "a token must lead to one entry")
        names.add(one.name)
        issuers.add(one.issuer)
        yield from _issuer(at, one)


def check_against_login(workloads: Workloads, providers: Iterable[AnyProvider]) -> Findings:
    """A token that people get when they log in must not prove a service."""
    clients = {(one.issuer, one.client_id) for one in providers if isinstance(one, Provider)}
    for index, issuer in enumerate(workloads.issuers):
        for position, audience in enumerate(issuer.audiences):
            if (issuer.issuer, audience) in clients:
                at: Path = ("workloads", "issuers", index, "audiences", position)
                yield Finding(
                    at, f'"{audience}" is what people log in with there', "have tokens made for a name of their own"
                )


def _issuer(at: Path, one: TokenIssuer) -> Findings:
    yield from form((*at, "issuer"), forms.protected_url, one.issuer)
    if not _SERVICE.fullmatch(one.service):
        yield Finding(
            (*at, "service"), f'"{one.service}" is no name of a service', "such as ci/{repository}, braces for claims"
        )
    elif one.service.startswith("spiffe:"):
        yield Finding((*at, "service"), "a SPIFFE ID is proved by its trust domain", "name it under trust_domains")
    else:
        yield from _service((*at, "service"), one.service)
    if one.name == "spiffe":
        yield Finding((*at, "name"), 'an issuer cannot be called "spiffe"', "its names would read like SPIFFE IDs")
    for name, wanted in one.claims.items():
        yield from _required((*at, "claims", name), wanted)
    if not one.claims and one.issuer in _FOR_EVERYBODY:
        hint = "require claims that only your own jobs have, such as claims: {repository_owner: acme}"
        yield Finding(at, f"anybody in the world can get a token of {one.issuer}", hint)
    for index, algorithm in enumerate(one.algorithms):
        if algorithm not in ALGORITHMS:
            yield Finding(
                (*at, "algorithms", index),
                f'"{algorithm}" is not an accepted signature algorithm',
                "accepted: " + ", ".join(sorted(ALGORITHMS)),
            )
    if one.jwks is not None and is_url(one.jwks):
        yield from form((*at, "jwks"), forms.protected_url, one.jwks)
    if one.longest <= 0:
        yield Finding((*at, "longest"), '"longest" must be longer than nothing')
    if one.reuse is not None and one.reuse > one.longest:
        yield Finding((*at, "reuse"), '"reuse" is longer than any token may live ("longest")', "", "warning")


def _service(at: Path, pattern: str) -> Findings:
    between = _PLACEHOLDER.split(pattern)
    if any("/" not in text and ":" not in text and "@" not in text for text in between[1:-1]):
        yield Finding(
            at, f'"{pattern}" could make one name of different claims', "put a /, : or @ between two claims in braces"
        )
    segments = _PLACEHOLDER.sub("x", pattern).replace(":", "/").split("/")
    if not {"", ".", ".."}.isdisjoint(segments):
        yield Finding(at, f'"{pattern}" has a segment that is empty, . or ..', "such as ci/{repository}")


def _required(at: Path, wanted: object) -> Findings:
    values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if not values:
        yield Finding(at, "the list is empty, so no token would do", "name at least one value")
    for value in values:
        if not isinstance(value, str | bool | int | float):
            yield Finding(at, f"{value!r} cannot be compared", "write a text, a number, true or false")
        elif isinstance(value, str) and ("**" in value or value.count("*") > _MAX_STARS):
            yield Finding(at, f'"{value}" has ** or too many *', "one * stands for part of a segment between / or :")
