"""Which runs of the record ended properly: a mark per running worker, kept beside the file and locked while it lives.

A mark (`audit.jsonl.run-5f0c9a1e`) is removed when the run has written its closing record. A mark that nobody holds
the lock of belongs to a worker that was killed: whoever starts next says so in the record, once.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

import msgspec


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process writing the record. `started` is RFC 3339."""

    run: str
    worker: int
    pid: int
    started: str


class Mark:
    """A mark on disk whose lock we hold: our own, or that of a run that died."""

    def __init__(self, path: Path, fd: int, run: Run) -> None:
        self._path = path
        self._fd = fd
        self.run = run

    def remove(self) -> None:
        """Delete the mark and let go of its lock. A mark that cannot be deleted is reported again at the next start."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._fd)


def set_mark(file: Path, run: Run) -> Mark:
    """Mark `run` as under way. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = file.with_name(f"{file.name}.run-{run.run}")
    new = file.with_name(f".{path.name}.new")  # not seen by `dead_runs` before it is locked
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, msgspec.json.encode(run))
        new.replace(path)
    except OSError:
        os.close(fd)
        new.unlink(missing_ok=True)
        raise
    return Mark(path, fd, run)


def dead_runs(file: Path) -> list[Mark]:
    """The marks of runs that ended without a closing record; each is given to one caller only, who must remove it."""
    return [mark for path in sorted(file.parent.glob(f"{file.name}.run-*")) if (mark := _take(path))]


def _take(path: Path) -> Mark | None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None  # gone already, or not ours
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:  # not removed by another starter while we opened it
            return Mark(path, fd, _read(fd, path))
    except BlockingIOError:
        pass  # alive
    os.close(fd)
    return None


def _read(fd: int, path: Path) -> Run:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Run)
    except msgspec.MsgspecError:  # the disk was full when it was written
        return Run(run=path.name.rpartition("-")[2], worker=-1, pid=0, started="")
