"""Checks of who vouches for services."""

from __future__ import annotations

import re

from proxy.settings import forms
from proxy.settings.checks.finding import Finding, Findings, form
from proxy.settings.checks.providers import ALGORITHMS
from proxy.settings.document import Path
from proxy.settings.resolve import is_url
from proxy.settings.schema import TokenIssuer, Workloads

_SERVICE = re.compile(r"(?:[A-Za-z0-9._/:@-]|\{[A-Za-z0-9_.:/-]+\})+")


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


def _issuer(at: Path, one: TokenIssuer) -> Findings:
    yield from form((*at, "issuer"), forms.protected_url, one.issuer)
    if not _SERVICE.fullmatch(one.service):
        yield Finding(
            (*at, "service"), f'"{one.service}" is no name of a service', "such as ci/{repository}, braces for claims"
        )
    elif one.service.startswith("spiffe:"):
        yield Finding((*at, "service"), "a SPIFFE ID is proved by its trust domain", "name it under trust_domains")
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
