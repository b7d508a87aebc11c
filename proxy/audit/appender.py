"""Whole lines at the end of one file, shared by several processes, rotated by size by exactly one of them.

Every append happens under an exclusive lock (flock) on the file itself, so a short write can be undone and no line
of one worker lands inside another's. After waiting for the lock the name is looked up again: if it is another file by
now (rotated by a worker, or moved away by logrotate) that one is opened instead.

Only for the writer thread: each call may wait for the disk or for another worker.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("ostiary.audit")

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_REOPENINGS = 20  # a file that changes more often than this while we wait is not one we can write to


class Appender:
    """Appends to `path`, which is created with mode 0600 (its folder with 0700). Devices and pipes are only written to.

    `rotate`: bytes after which the file becomes `path.1` (and `.1` becomes `.2`, up to `keep`; 0 keeps none).
    `torn`: gives the line to write after a line that broke off because its writer was killed.
    """

    def __init__(self, path: Path, *, rotate: int, keep: int, torn: Callable[[], bytes]) -> None:
        self._path = path
        self._rotate = rotate
        self._keep = keep
        self._torn = torn
        self._fd: int | None = None
        self._regular = False
        self._rotation_failed = False

    def __repr__(self) -> str:
        return f"<Appender {self._path} {'open' if self._fd is not None else 'closed'}>"

    def append(self, data: bytes) -> None:
        """Write `data` (whole lines) or nothing. Raises OSError; then the file is as it was before."""
        fd = self._locked()
        try:
            if not self._regular:
                _write(fd, data)
                return
            size = os.fstat(fd).st_size
            if size and size + len(data) > self._rotate:
                fd, size = self._rotated(fd, size)
            if size and os.pread(fd, 1, size - 1) != b"\n":
                data = b"\n" + self._torn() + data
            self._write_or_undo(fd, data, size)
        finally:
            if self._fd is not None:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def sync(self) -> None:
        """Have the disk confirm what was written. Raises OSError."""
        if self._fd is not None and self._regular:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _locked(self) -> int:
        for _ in range(_REOPENINGS):
            fd = self._fd if self._fd is not None else self._open()
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not self._regular or self._is_current(fd):
                return fd
            self.close()
        raise OSError(errno.EBUSY, "the file keeps being replaced by another program", str(self._path))

    def _open(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, _FLAGS, 0o600)
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._fd = fd
        return fd

    def _is_current(self, fd: int) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(fd))

    def _rotated(self, fd: int, size: int) -> tuple[int, int]:
        """The new file, locked, and its size. Without permission to rename we go on in the old one: a file too long
        is better than a record lost."""
        try:
            self._shift()
        except OSError as error:
            if not self._rotation_failed:
                log.warning("audit: cannot rotate %s, it goes on growing: %s", self._path, error.strerror)
            self._rotation_failed = True
            return fd, size
        self._rotation_failed = False
        with suppress(OSError):  # what was written stays written; a failing disk shows at the next write
            os.fdatasync(fd)
        self.close()
        fd = self._locked()
        return fd, os.fstat(fd).st_size

    def _shift(self) -> None:
        """Rename so that the name is free. `path` moves last: until then every other worker waits for our lock."""
        for number in range(self._keep - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        if self._keep:
            self._path.replace(self._numbered(1))
        else:
            self._path.unlink()
        surplus = self._keep + 1
        while surplus > 1 and (old := self._numbered(surplus)).exists():  # `keep` was larger once
            old.unlink()
            surplus += 1

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _write_or_undo(self, fd: int, data: bytes, size: int) -> None:
        try:
            _write(fd, data)
        except OSError:
            os.ftruncate(fd, size)  # we hold the lock: nobody has written after us
            raise


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
