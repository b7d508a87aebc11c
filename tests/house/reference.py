"""What README.md and docs/reference.md copy from the code: `python tests/house/reference.py` writes it.

Each table stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. Code blocks in Python, JavaScript
and Go are the snippets of tests/verify. A test fails when what is written differs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args, get_type_hints

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from proxy.audit.event import Event, Notice
from proxy.model.reasons import MEANING, Reason
from proxy.settings import schema
from proxy.settings.units import write_duration, write_size
from proxy.telemetry.catalogue import FAMILIES

REPOSITORY = Path(__file__).resolve().parents[2]
SNIPPETS = {"python": "python/verify.py", "javascript": "node/verify.mjs", "go": "go/verify.go"}
PAGES = (REPOSITORY / "README.md", REPOSITORY / "docs" / "reference.md")


_OTHERWISE = {  # members whose line in the source needs no comment
    "outcome": "`allow`, `challenge` or `deny`",
    "reason": "see Reasons",
    "type": "left out for a request; else one of "
    + ", ".join(f"`{kind}`" for kind in get_args(get_type_hints(Event)["type"]) if kind != "request"),
    "route": "the route's name",
    "rule": "the rule that decided; for a default deny the one that came nearest",
    "method": "as sent",
    "host": "canonical",
    "facts": "everything the decision depended on, enough to take it again; absent when nothing was decided",
    "worker": "its number",
    "pid": "its process",
    "note": "more, in words",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(list(head)), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def commented(struct: type) -> dict[str, str]:
    """Field → the comment on its line in the source."""
    source = Path(sys.modules[struct.__module__].__file__ or "").read_text(encoding="utf-8")
    body = re.split(r"\nclass ", source.split(f"\nclass {struct.__name__}(", 1)[1], maxsplit=1)[0]
    return {
        found[1]: (found[2] or "").strip()
        for found in re.finditer(r"^    ([a-z_]+): [^#\n]*(?:# (.*))?$", body, re.MULTILINE)
    }


def written(value: object) -> str:
    """A default as an admin would write it."""
    if value is None:
        return "no limit"
    if isinstance(value, schema.Duration):
        return write_duration(value)
    return write_size(value) if isinstance(value, schema.Size) else f"{value:,}".replace(",", " ")


def limits() -> str:
    """`limits` and their defaults."""
    defaults, comments = schema.Limits(), commented(schema.Limits)
    rows = ((f"`{name}`", written(getattr(defaults, name)), comments[name]) for name in schema.Limits.__struct_fields__)
    return table(("`limits:`", "default", ""), rows)


def timeouts() -> str:
    """A route's `timeouts` and their defaults."""
    defaults, comments = schema.Timeouts(), commented(schema.Timeouts)
    rows = (
        (f"`{name}`", written(getattr(defaults, name)), comments[name]) for name in schema.Timeouts.__struct_fields__
    )
    return table(("`timeouts:` of a route", "default", ""), rows)


def reasons() -> str:
    """Every reason."""
    rows = (
        (f"`{reason}`", str(MEANING[reason].status), MEANING[reason].title, MEANING[reason].remedy) for reason in Reason
    )
    return table(("reason", "status", "meaning", "what to do"), rows)


def metrics() -> str:
    """Every metric."""
    rows = (
        (f"`{name}`", family.kind, ", ".join(f"`{label}`" for label in family.labels), family.text)
        for name, family in FAMILIES.items()
    )
    return table(("metric", "kind", "labels", ""), rows)


def record() -> str:
    """The members of a decision's line."""
    comments = commented(Event)
    names = {"time": "unix"}
    own = [
        ("time", "RFC 3339, UTC, microseconds"),
        ("run", "one worker process from its start to its end"),
        ("seq", "numbers the lines of a run without a gap"),
    ]
    texts = comments | {name: text for name, text in _OTHERWISE.items() if not comments.get(name) or name == "facts"}
    rows = [*own, *((names.get(name, name), texts[name]) for name in Event.__struct_fields__)]
    return table(("member", ""), ((f"`{name}`", text) for name, text in rows))


def notices() -> str:
    """The members of a line about the record itself."""
    texts = {name: text or _OTHERWISE[name] for name, text in commented(Notice).items() if name != "type"}
    return table(("member", ""), ((f"`{name}`", text) for name, text in texts.items()))


TABLES: dict[str, Callable[[], str]] = {
    "limits": limits,
    "timeouts": timeouts,
    "reasons": reasons,
    "metrics": metrics,
    "record": record,
    "notices": notices,
}


def filled(text: str) -> str:
    """The page with every table and snippet made anew. Raises KeyError for a marker that names no table."""

    def made(found: re.Match[str]) -> str:
        return f"<!-- {found[1]}:begin -->\n{TABLES[found[1]]()}\n<!-- {found[1]}:end -->"

    for language, file in SNIPPETS.items():
        code = (REPOSITORY / "tests" / "verify" / file).read_text(encoding="utf-8")
        block = f"```{language}\n{code}```"
        text = re.sub(rf"```{language}\n.*?```", lambda _: block, text, flags=re.DOTALL)  # noqa: B023  # used at once
    return re.sub(r"<!-- (?!bench)([a-z]+):begin -->\n.*?<!-- \1:end -->", made, text, flags=re.DOTALL)


def main() -> None:
    """Write the tables."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
