"""Opening what a configuration names without ever waiting for it: a FIFO, a device or a socket is refused."""

from __future__ import annotations

import errno
import os
import stat

NOT_REGULAR = "is not a regular file"


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """The first `most` bytes of a regular file; symbolic links are followed.

    Raises OSError, also for what is no regular file. Ask for one byte more than is allowed to see what is too large.
    """
    # Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))
        return file.read(most)
