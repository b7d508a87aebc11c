"""A mistake in the configuration: where it is, what is wrong, what to change. And how it is shown to a person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Severity = Literal["error", "warning"]

MOST_SHOWN = 100
"""Problems printed for people; the rest is counted. Programs (`--json`) get all of them."""

_HOLDS_SECRET = re.compile(
    r"(secret|password|passwd|token|api[_-]?key|private)[\w-]*[\"']?\s*:|\benv\s*:|://[^/\s@]*@", re.IGNORECASE
)
_WIDEST_LINE = 160


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mistake. `line` and `column` count from 1; 0 means the file as a whole.

    `source` is the line of the file, for showing; it is empty when the line may hold a secret.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    severity: Severity = "error"
    source: str = ""

    def __str__(self) -> str:
        """One line, in the form editors and CI understand: `file:line:column: message`."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {'warning: ' if self.severity == 'warning' else ''}{self.message}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds at least one error, and the warnings found on the way."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems[:MOST_SHOWN])


def shown_source(line: str) -> str:
    """The line as it may be shown: nothing when it looks as if it held a secret, shortened when very long."""
    line = line.rstrip()
    if _HOLDS_SECRET.search(line) or len(line) > _WIDEST_LINE:
        return ""
    return line


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sorted by place, without repetition."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line, p.column, p.message)))


def render(problems: Sequence[Problem], *, colour: bool = False) -> str:
    """Text for a terminal, like a compiler's: place and message, the source line, a caret, the hint."""
    blocks = [_block(problem, colour) for problem in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        blocks.append(f"… and {len(problems) - MOST_SHOWN} more")
    return "\n".join(blocks)


def _block(problem: Problem, colour: bool) -> str:
    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    strong = "1;33" if problem.severity == "warning" else "1;31"
    lines = [paint("1", str(problem))]
    if problem.source:
        lines.append("    " + problem.source.replace("\t", " "))
        lines.append("    " + " " * (problem.column - 1) + paint(strong, "^"))
    if problem.hint:
        lines.append(paint("36", "    hint: ") + problem.hint)
    return "\n".join(lines)
