"""A route, and where it is written."""

from __future__ import annotations

from typing import NamedTuple

from proxy.settings.document import Document, Path
from proxy.settings.schema import Route


class Placed(NamedTuple):
    """A route and where it is written."""

    document: Document
    path: Path
    route: Route

    def error(self, inner: Path, message: str, hint: str) -> None:
        """Record an error at a key of the route."""
        self.document.problem(self.path + inner, message, hint)

    def warn(self, inner: Path, message: str, hint: str) -> None:
        """Record a warning at a key of the route."""
        self.document.problem(self.path + inner, message, hint, severity="warning")

    def at(self, inner: Path) -> str:
        """`file:line` for a message about another place."""
        line, _ = self.document.place(self.path + inner)
        return f"{self.document.file}:{line}"
