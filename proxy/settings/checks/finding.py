"""One thing a check found, before it is tied to a file and a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.settings.document import Document, Path
from proxy.settings.forms import Malformed
from proxy.settings.problems import Severity


class Finding(NamedTuple):
    """`path` leads from what was checked to the value at fault; `key` points at the key instead of the value."""

    path: Path
    message: str
    hint: str = ""
    severity: Severity = "error"
    key: bool = False


Findings = Iterator[Finding]


def form(path: Path, reader: Callable[[str], object], text: str, *, name: str | None = None) -> Findings:
    """Nothing when `reader` accepts `text`, else what it says about it."""
    try:
        reader(text)
    except Malformed as why:
        yield Finding(path, f"{name or label(path)}: {why}", why.hint)


def label(path: Path) -> str:
    """How a value is called in a message: the nearest key above it, in quotes."""
    return next((f'"{step}"' for step in reversed(path) if isinstance(step, str)), "here")


def report(document: Document, base: Path, findings: Findings) -> None:
    """Record findings at their lines."""
    for finding in findings:
        document.problem(base + finding.path, finding.message, finding.hint, key=finding.key, severity=finding.severity)
