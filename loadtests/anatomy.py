"""Where the memory of an idle WebSocket goes.

The same process is asked twice what Python has allocated (`probe/sitecustomize.py`), with and without the connections.
What Python did not allocate (OpenSSL, libuv, libc) is the rest of what a process without the probe grows by.
"""

from __future__ import annotations

import json
import linecache
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from loadtests import measure
from loadtests.figures import Mode
from loadtests.processes import CorrectnessError, Fleet, tree
from loadtests.target_ostiary import Ostiary
from loadtests.targets import Stage

_PROBE = Path(__file__).resolve().parent / "probe"
_LINES = 12


def anatomy(stage: Stage, mode: Mode, count: int) -> str:
    """A Markdown table of KiB per idle WebSocket by the line that allocated it, over `count` of them."""
    with Fleet(stage.folder) as fleet:
        plain = Ostiary(replace(stage, fleet=fleet))
        plain.start()
        whole = measure.idle_kib(plain, mode, count, websocket=True)
    with Fleet(stage.folder) as fleet:
        folder = stage.folder / f"probe-{mode}"
        folder.mkdir()
        path = os.pathsep.join([str(_PROBE), os.environ.get("PYTHONPATH", "")])
        probed = Ostiary(replace(stage, fleet=fleet), environment={"OSTIARY_PROBE": str(folder), "PYTHONPATH": path})
        probed.start()
        with measure.Idle(probed, mode, 20, websocket=True):
            pass
        before = _ask(folder, 0, probed.pid)
        with measure.Idle(probed, mode, count, websocket=True):
            after = _ask(folder, 1, probed.pid)
    return table(before, after, whole, mode, count)


def table(before: Mapping[str, int], after: Mapping[str, int], whole: float, mode: str, count: int) -> str:
    """Lay out the growth between two answers; `whole` is the growth of the process in KiB per connection."""
    growth = {line: (size - before.get(line, 0)) / count / 1024 for line, size in after.items()}
    traced = sum(growth.values())
    top = sorted(growth.items(), key=lambda item: -item[1])[:_LINES]
    rows = [
        f"Where the {whole:.1f} KiB of an idle WebSocket go ({mode}, {count} of them, both sides of the proxy; "
        "a negative rest is memory that was allocated and never touched):",
        "",
        "| KiB | allocated by |",
        "|---:|---|",
        *(f"| {size:.2f} | `{_source(place)}` |" for place, size in top),
        f"| {traced - sum(size for _, size in top):.2f} | other lines of Python |",
        f"| {whole - traced:.2f} | the rest: OpenSSL, libuv, libc |",
        "",
    ]
    return "\n".join(rows)


def _source(place: str) -> str:
    """`file:number` with the line itself, short and fit for a table."""
    name, _, number = place.rpartition(":")
    text = linecache.getline(name, int(number)).strip()
    short = name.rpartition("/proxy/")[2] if "/proxy/" in name else Path(name).name
    return f"{short}:{number} {text}".replace("|", "∣").replace("`", "'")[:110]


def _ask(folder: Path, number: int, pid: int) -> dict[str, int]:
    """The answers of all processes of the tree, summed. Raises CorrectnessError when one does not answer."""
    expected = len([member for member in tree(pid) if "python" in Path(f"/proc/{member}/exe").resolve().name])
    (folder / f"ask-{number}").touch()
    deadline = time.monotonic() + 60
    while len(answers := list(folder.glob(f"{number}-*.json"))) < expected:
        if time.monotonic() > deadline:
            raise CorrectnessError(f"{len(answers)} of {expected} processes said where their memory goes")
        time.sleep(0.1)
    sizes: dict[str, int] = {}
    for answer in answers:
        for line, size in json.loads(answer.read_text()).items():
            sizes[line] = sizes.get(line, 0) + size
    return sizes
