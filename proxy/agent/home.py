"""The agent's folder: private files, written whole or not at all, and one lock.

On Windows, permissions are those of the user's profile, where the folder is; modes are checked on other systems only.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from proxy.agent.errors import AgentError

_LARGEST = 1 << 20  # bytes of a file of ours
_POSIX = os.name == "posix"


class Busy(AgentError):
    """Another agent uses this folder."""


def usual_folder(environment: Mapping[str, str], system: str = sys.platform) -> Path:
    """Where the agent keeps its things: the XDG state folder, or on Windows the local application data."""
    if system == "win32" and environment.get("LOCALAPPDATA"):
        return Path(environment["LOCALAPPDATA"]) / "ostiary"
    state = environment.get("XDG_STATE_HOME", "")
    return (Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state") / "ostiary"


class Home:
    """The folder at `path`: mode 0700, its files 0600, all of them ours. Anything looser is refused, not mended."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder when there is none. Raises AgentError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(f"{self.path}: {error.strerror}; choose another folder with --dir") from error
        self._check_folder()

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """The content of a file. Raises AgentError when it is missing, too long, a link, or others may open it."""
        self._check_folder()
        path = self.path / name
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise AgentError(f"{path}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            _check(path, os.fstat(file.fileno()), f"run `chmod 600 {path}`, and enrol again if others had access")
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise AgentError(f"{path}: this is not a file of the agent, it is too long")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file: whoever reads sees the old content or the new, also after a crash. Raises AgentError."""
        self.make()
        path = self.path / name
        draft = self.path / f".{name}.{secrets.token_hex(6)}"
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            self._sync()
        except OSError as error:
            raise AgentError(f"{path}: {error.strerror}; the agent must be able to write here") from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for ourselves. Raises Busy at once when another agent holds it."""
        self.make()
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                _lock(descriptor)
            except OSError as error:
                raise Busy(
                    f"another agent uses {self.path} already; one at a time. It reports by itself when it runs as a "
                    "service (`ostiary device status` shows when)"
                ) from error
            yield
        finally:
            os.close(descriptor)

    def _check_folder(self) -> None:
        try:
            found = self.path.stat()
        except OSError as error:
            raise AgentError(f"{self.path}: {error.strerror}; run `ostiary device enrol` first") from error
        if not stat.S_ISDIR(found.st_mode):
            raise AgentError(f"{self.path} is not a folder")
        _check(self.path, found, f"run `chmod 700 {self.path}`, and enrol again if others had access")

    def _sync(self) -> None:
        if _POSIX:
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _check(path: Path, found: os.stat_result, remedy: str) -> None:
    if not _POSIX:
        return
    if found.st_uid != os.geteuid():
        raise AgentError(f"{path} belongs to another user; the agent must run as the one who enrolled")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise AgentError(f"{path}: other users may open this; {remedy}")


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
