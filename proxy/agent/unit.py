"""The systemd unit, for where this agent is installed and keeps its things."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from proxy.agent.errors import AgentError

_TEMPLATE: Final = Path(__file__).with_name("ostiary-device.service")


def unit(words: Sequence[str], folder: Path) -> str:
    """The unit that runs `words` (the first an absolute path) and may write to `folder`. Raises AgentError for words
    that cannot stand in a unit file."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^ExecStart=.*$", lambda _: "ExecStart=" + " ".join(map(_quoted, words)), text)
    return re.sub(r"(?m)^ReadWritePaths=.*$", lambda _: "ReadWritePaths=" + _quoted(f"-{folder}"), text)


def _quoted(word: str) -> str:
    """systemd.syntax(7): specifiers and variables doubled, in quotes when it must be."""
    if not word.isprintable():
        raise AgentError(f"{word!r} cannot stand in a unit file")
    plain = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w./:%$@+,=-]+", plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
