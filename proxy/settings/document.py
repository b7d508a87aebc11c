"""One parsed file: its values, where each was written, and the problems found in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from proxy.settings.problems import Problem, Severity, shown_source

Path = tuple[str | int, ...]
"""Where a value is in a document: keys and list indices from the top."""


class Broken:
    """Stands for a value that was refused, so that later checks leave it alone."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN = Broken()
HIDDEN = "\0"
"""First character of the key under which a mapping holds BROKEN for a key that was refused."""


class Mark(Protocol):
    """A position, counted from 0 (libyaml's own mark object)."""

    line: int
    column: int


class Marks(NamedTuple):
    """Positions of a list or mapping: its own, and those of its keys and values."""

    start: Mark
    keys: dict[str, Mark]
    values: dict[str | int, Any]  # of Mark or Marks


class Document:
    """One parsed file: `value` (dicts, lists, str, int, float, bool, BROKEN), positions and the problems so far."""

    __slots__ = ("_lines", "file", "marks", "problems", "text", "value")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.value: Any = BROKEN
        self.problems: list[Problem] = []
        self.marks: Mark | Marks | None = None
        self._lines: list[str] | None = None

    def place(self, path: Sequence[str | int], *, key: bool = False) -> tuple[int, int]:
        """Line and column (from 1) of the value at `path`, or of its key; of the nearest thing above when absent."""
        found: Any = self.marks
        for position, step in enumerate(path):
            if not isinstance(found, Marks) or step not in found.values:
                break
            last = position == len(path) - 1
            found = found.keys[step] if key and last and isinstance(step, str) else found.values[step]
        mark = found.start if isinstance(found, Marks) else found
        return (0, 0) if mark is None else (mark.line + 1, mark.column + 1)

    def problem(
        self,
        path: Sequence[str | int],
        message: str,
        hint: str = "",
        *,
        key: bool = False,
        severity: Severity = "error",
    ) -> Problem:
        """Record a problem with the value (or key) at `path`."""
        line, column = self.place(path, key=key)
        return self.problem_at(line, column, message, hint, severity)

    def problem_at(
        self, line: int, column: int, message: str, hint: str = "", severity: Severity = "error", *, show: bool = True
    ) -> Problem:
        """Record a problem at a line and column counted from 1 (0: the whole file)."""
        source = self._line(line) if show else ""
        problem = Problem(
            file=self.file, line=line, column=column, message=message, hint=hint, severity=severity, source=source
        )
        self.problems.append(problem)
        return problem

    def _line(self, line: int) -> str:
        if self._lines is None:
            self._lines = self.text.split("\n")
        return shown_source(self._lines[line - 1]) if 0 < line <= len(self._lines) else ""

    @property
    def sound(self) -> bool:
        """No errors so far."""
        return not any(problem.severity == "error" for problem in self.problems)
