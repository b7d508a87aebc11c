"""Checks of baselines: each alone, and against the routes that have its labels."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from proxy.settings.baselines import EVERY, baselines_for
from proxy.settings.checks.finding import Finding, report
from proxy.settings.checks.placed import Placed
from proxy.settings.checks.rules import OF_PEOPLE, check_rule, given_conditions
from proxy.settings.document import Document, Path
from proxy.settings.schema import Baseline, Configuration

_OF_PERSONS = (*OF_PEOPLE, "claims")  # known to be false for services
_OF_SOMEBODY = (*_OF_PERSONS, "authenticated", "services", "device")  # what nobody in particular cannot meet


def check_baselines(document: Document, placed: Sequence[Placed], configuration: Configuration) -> None:
    """Record what is wrong; `document` is the file of the configuration."""
    providers = {provider.name for provider in configuration.login.providers}
    labels = {label for one in placed for label in one.route.labels}
    names: set[str] = set()
    for index, baseline in enumerate(configuration.baselines):
        base: Path = ("baselines", index)
        if baseline.name in names:
            document.problem(
                (*base, "name"),
                f'baseline "{baseline.name}" is there already',
                "the record names it: each needs its own",
            )
        names.add(baseline.name)
        report(document, base, iter(_alone(baseline, providers)))
        _labels(document, base, baseline, labels)
        for one in placed:
            if baselines_for(one.route.labels, (baseline,)):
                _on_route(document, base, baseline, one)
    used = {label for baseline in configuration.baselines for label in baseline.labels}
    for one in placed:
        _route_labels(one, used)


def _alone(baseline: Baseline, providers: set[str]) -> list[Finding]:
    found = list(check_rule(baseline, list_name="baselines", providers=providers))
    given = given_conditions(baseline)
    persons = [name for name in _OF_PERSONS if name in given]
    if baseline.applies_to == "services" and persons:
        message = f'"{persons[0]}" is about people: no service can meet it'
        found.append(Finding((persons[0],), message, "write applies_to: people", key=True))
    if baseline.applies_to == "people" and baseline.services is not None:
        message = '"services" is about services: no person can meet it'
        found.append(Finding(("services",), message, "write applies_to: services", key=True))
    return found


def _labels(document: Document, base: Path, baseline: Baseline, known: set[str]) -> None:
    for index, label in enumerate(baseline.labels):
        if label != EVERY and label not in known:
            near = difflib.get_close_matches(label, known, 1)
            hint = f'did you mean "{near[0]}"?' if near else "so far this baseline changes nothing there"
            document.problem((*base, "labels", index), f'no route has the label "{label}"', hint, severity="warning")


def _route_labels(one: Placed, used: set[str]) -> None:
    """Labels are what baselines go by: a route with a misspelt one would do without what it is meant to ask."""
    for index, label in enumerate(one.route.labels):
        if label in used:
            continue
        near = difflib.get_close_matches(label, used, 1)
        one.document.problem(
            (*one.path, "labels", index),
            f'no baseline has the label "{label}"',
            f'did you mean "{near[0]}"?' if near else "so far it changes nothing",
            severity="error" if near else "warning",
        )


def _on_route(document: Document, base: Path, baseline: Baseline, one: Placed) -> None:
    """A baseline that takes away what the route gives is a contradiction: one of them is not meant."""
    given = given_conditions(baseline)
    name = one.route.name
    needed = [condition for condition in _OF_SOMEBODY if condition in given]
    if one.route.public and needed and baseline.applies_to != "services":
        one.error(
            ("public",),
            f'"public: true" contradicts baseline "{baseline.name}", which asks for "{needed[0]}"',
            "write rules that say who may use the route, or take its label away from the baseline",
        )
    persons = [condition for condition in _OF_PERSONS if condition in given]
    if not persons or baseline.applies_to != "everybody":
        return
    for rule in one.route.allow:
        if rule.services is not None:
            document.problem(
                (*base, persons[0]),
                f'rule "{rule.name}" of route "{name}" names services, and no service can meet "{persons[0]}"',
                "add applies_to: people",
                key=True,
            )
            return
