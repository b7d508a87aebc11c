"""Looks into a running Python program: where does its memory go? Imported by any interpreter that has it on its path.

With OSTIARY_PROBE naming a folder, allocations are traced from the start; when a file `ask-<n>` appears there, each
process answers with `<n>-<pid>.json`: bytes allocated and not freed, by file and line. A thread looks, not a signal, so
nothing about the program's own event loop or signal handling changes.
"""

import json
import linecache
import os
import threading
import time
import tracemalloc
from pathlib import Path

_FRAMES = 12


def _answer(folder: Path, number: int) -> None:
    import gc

    gc.collect()
    sizes: dict[str, int] = {}
    for trace in tracemalloc.take_snapshot().traces:
        frames = list(reversed(trace.traceback))  # innermost first
        frame = next((frame for frame in frames if "/proxy/" in frame.filename), frames[0])
        short = frame.filename.rpartition("/proxy/")[2] if "/proxy/" in frame.filename else Path(frame.filename).name
        line = linecache.getline(frame.filename, frame.lineno).strip()
        key = f"{short}:{frame.lineno} {line}"
        sizes[key] = sizes.get(key, 0) + trace.size
    draft = folder / f".{number}-{os.getpid()}"
    draft.write_text(json.dumps(sizes))
    draft.rename(folder / f"{number}-{os.getpid()}.json")


def _watch(folder: Path) -> None:
    number = 0
    while True:
        time.sleep(0.2)
        if (folder / f"ask-{number}").exists():
            _answer(folder, number)
            number += 1


def _start() -> None:
    folder = Path(os.environ["OSTIARY_PROBE"])
    threading.Thread(target=_watch, args=(folder,), daemon=True, name="probe").start()


if "OSTIARY_PROBE" in os.environ:
    tracemalloc.start(_FRAMES)
    _start()
    os.register_at_fork(after_in_child=_start)
