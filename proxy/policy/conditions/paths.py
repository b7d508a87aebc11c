"""`paths`: globs on the canonical decoded path (see `policy.glob`)."""

from __future__ import annotations

import re
from functools import cached_property

from proxy.model.facts import Facts
from proxy.policy import glob
from proxy.policy.asker import Asker
from proxy.policy.conditions.base import RequestCondition, texts, told
from proxy.policy.logic import TRUE, Value, truth


class Paths(RequestCondition):
    """The path matches one of these, compiled into one anchored regular expression."""

    name = "paths"

    def __init__(self, patterns: object) -> None:
        self.patterns = texts(patterns)
        for pattern in self.patterns:
            glob.check(pattern)
        self.everything = "/**" in self.patterns
        self._literal = frozenset(pattern for pattern in self.patterns if "*" not in pattern)
        wild = [glob.translate(pattern) for pattern in self.patterns if "*" in pattern]
        self._match = re.compile("|".join(wild) or r"(?!)").fullmatch

    @cached_property
    def parts(self) -> list[tuple[str, Paths]]:
        """The patterns by their literal beginning: a path matches when it matches a part whose beginning it has."""
        grouped: dict[str, list[str]] = {}
        for pattern in self.patterns:
            grouped.setdefault(glob.literal_prefix(pattern), []).append(pattern)
        if len(grouped) == 1:
            return [(prefix, self) for prefix in grouped]
        return [(prefix, Paths(patterns)) for prefix, patterns in grouped.items()]

    def of_request(self, facts: Facts) -> Value:
        """The value for these facts."""
        return truth(self.holds(facts))

    def holds(self, facts: Facts) -> bool:
        """Whether the path matches."""
        path = facts.path
        return path in self._literal or self._match(path) is not None

    def fails(self, facts: Facts) -> bool:
        """Whether it does not."""
        path = facts.path
        return path not in self._literal and self._match(path) is None

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        no = "" if value == TRUE else "not "
        return f"The path {facts.path} is {no}covered by {told(asker, self.patterns, 'paths')}."
