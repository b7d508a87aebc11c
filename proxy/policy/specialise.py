"""A policy as it stands for one asker: what depends on who is asking is settled, the rest waits for the request.

Rules that cannot matter to this asker are gone; of the others only predicates on the request are left. They are laid
out per method, and by the literal beginning of their paths when there are many, so that a request meets few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from proxy.model.facts import Facts
from proxy.model.verdict import Verdict
from proxy.policy.asker import Asker
from proxy.policy.conditions.base import Condition, Predicate
from proxy.policy.conditions.methods import Methods
from proxy.policy.conditions.paths import Paths
from proxy.policy.logic import Value, all_of

_FEW: Final = 8  # rules with paths that are cheaper tried one after the other than looked up
_COMMON: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule, and the verdict it gives when it decides."""

    name: str
    conditions: tuple[Condition, ...]
    verdict: Verdict

    def value(self, facts: Facts, asker: Asker) -> Value:
        """Whether it holds for these facts."""
        return all_of(condition.value(facts, asker) for condition in self.conditions)


class Entry(NamedTuple):
    """What is left of a rule. An allow rule holds when all `tests` do; a deny rule is escaped when any does."""

    position: int  # in the order of the configuration; also breaks ties when sorting
    rule: Rule
    methods: frozenset[str] | None  # None is all
    paths: Paths | None  # None is all
    tests: tuple[Predicate, ...]


class Specialised:
    """The rules that matter to one asker."""

    __slots__ = ("_allow", "_deny", "_methods", "_tables")

    def __init__(self, allow: Sequence[Entry], deny: Sequence[Entry]) -> None:
        self._allow = allow
        self._deny = deny
        named = (entry.methods for entry in (*allow, *deny) if entry.methods is not None)
        self._methods = frozenset[str]().union(*named)
        self._tables: dict[str, _Table] = {}

    @property
    def may_allow(self) -> bool:
        """Whether any request of this asker could be allowed, deny rules aside."""
        return bool(self._allow)

    def allows(self, facts: Facts) -> Rule | None:
        """The first rule that allows, or None when none does or a deny rule matches."""
        table = self._tables.get(facts.method) or self._table(facts.method)
        for _, _, tests in table.denying(facts.path) if table.denying else table.deny:
            for escapes in tests:
                if escapes(facts):
                    break
            else:
                return None
        for _, rule, tests in table.allowing(facts.path) if table.allowing else table.allow:
            for holds in tests:
                if not holds(facts):
                    break
            else:
                return rule
        return None

    def denying(self, facts: Facts) -> list[Rule]:
        """The deny rules that match, in order; unknown counts as a match."""
        table = self._tables.get(facts.method) or self._table(facts.method)
        lines = table.denying(facts.path) if table.denying else table.deny
        return [rule for _, rule, tests in lines if not any(escapes(facts) for escapes in tests)]

    def nearby(self, facts: Facts) -> Iterable[Rule]:
        """The allow rules that fit this asker and method, and this path as far as the tables tell, in order."""
        table = self._tables.get(facts.method) or self._table(facts.method)
        lines = table.allowing(facts.path) if table.allowing else table.allow
        return (line.rule for line in lines)

    def rules(self) -> Iterable[Rule]:
        """The allow rules that fit this asker, in order."""
        return (entry.rule for entry in self._allow)

    def _table(self, method: str) -> _Table:
        named = method in self._methods
        known = self._tables.get("" if not named else method)  # "" stands for every method no rule names
        if known is None:
            known = _Table(_for_method(self._allow, method), _for_method(self._deny, method))
            self._tables[method if named else ""] = known
        if method in _COMMON:
            self._tables[method] = known
        return known


class _Line(NamedTuple):
    position: int
    rule: Rule
    tests: tuple[Predicate, ...]


_ByPath = Callable[[str], Sequence[_Line]]


class _Table:
    """The rules that matter to one asker and method. `allowing` and `denying` are None when there are few."""

    __slots__ = ("allow", "allowing", "deny", "denying")

    def __init__(self, allow: Sequence[Entry], deny: Sequence[Entry]) -> None:
        self.allow = [_Line(entry.position, entry.rule, _tests(entry, holds=True)) for entry in allow]
        self.deny = [_Line(entry.position, entry.rule, _tests(entry, holds=False)) for entry in deny]
        self.allowing = _index(allow, holds=True)
        self.denying = _index(deny, holds=False)


def _tests(entry: Entry, *, holds: bool) -> tuple[Predicate, ...]:
    if entry.paths is None:
        return entry.tests
    return (entry.paths.holds if holds else entry.paths.fails, *entry.tests)


def _for_method(entries: Sequence[Entry], method: str) -> list[Entry]:
    return [entry for entry in entries if entry.methods is None or method in entry.methods]


def _index(entries: Sequence[Entry], *, holds: bool) -> _ByPath | None:
    """Lay rules out by the literal beginning of their paths; None when that is not worth it.

    A rule with several patterns has a line per beginning, each with only the patterns that begin so: it matches when
    any line does, and matching twice changes nothing.
    """
    if sum(entry.paths is not None for entry in entries) <= _FEW:
        return None
    lines: dict[str, list[_Line]] = {}
    for entry in entries:
        for prefix, paths in [("", None)] if entry.paths is None else entry.paths.parts:
            tests = _tests(entry._replace(paths=paths), holds=holds)
            lines.setdefault(prefix, []).append(_Line(entry.position, entry.rule, tests))
    depth = max(prefix.count("/") for prefix in lines)
    return _PathIndex(lines, depth).look_up


class _PathIndex:
    """Lines by literal prefix. A path is looked up under each of its own prefixes, down to the deepest there is."""

    __slots__ = ("_depth", "_lines", "_rest")

    def __init__(self, lines: dict[str, list[_Line]], depth: int) -> None:
        self._lines = lines
        self._rest = lines.get("", [])
        self._depth = depth

    def look_up(self, path: str) -> Sequence[_Line]:
        found = self._rest
        end = 0
        for _ in range(self._depth):
            end = path.find("/", end + 1)
            more = self._lines.get(path if end < 0 else path[:end])
            if more is not None:
                found = sorted([*found, *more], key=_position) if found else more
            if end < 0:
                break
        return found


def _position(line: _Line) -> int:
    return line.position


def specialise(allow: Sequence[Rule], deny: Sequence[Rule], asker: Asker) -> Specialised:
    """Settle what depends on the asker."""
    return Specialised(
        [entry for number, rule in enumerate(allow) if (entry := _allowing(number, rule, asker))],
        [entry for number, rule in enumerate(deny) if (entry := _denying(number, rule, asker))],
    )


def _allowing(number: int, rule: Rule, asker: Asker) -> Entry | None:
    """What is left of an allow rule: every condition must be able to hold. None when one cannot."""
    tests: list[Predicate] = []
    for condition in rule.conditions:
        if isinstance(condition, Methods | Paths):
            continue
        answer = condition.can_hold(asker)
        if answer is False:
            return None
        if answer is not True:
            tests.append(answer)
    return Entry(number, rule, *_place(rule), tuple(tests))


def _denying(number: int, rule: Rule, asker: Asker) -> Entry | None:
    """What is left of a deny rule: it is escaped as soon as one condition can fail. None when one can already."""
    tests: list[Predicate] = []
    for condition in rule.conditions:
        if isinstance(condition, Methods | Paths):
            continue
        answer = condition.can_fail(asker)
        if answer is True:
            return None
        if answer is not False:
            tests.append(answer)
    return Entry(number, rule, *_place(rule), tuple(tests))


def _place(rule: Rule) -> tuple[frozenset[str] | None, Paths | None]:
    """Methods and paths, on which the tables are built."""
    methods: frozenset[str] | None = None
    paths: Paths | None = None
    for condition in rule.conditions:
        if isinstance(condition, Methods):
            methods = condition.methods
        elif isinstance(condition, Paths) and not condition.everything:
            paths = condition
    return methods, paths
