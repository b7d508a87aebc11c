"""Keys made here, in files of their own beside the state: above all the one that seals cookies, tickets and tokens."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from proxy.sessions.folder import make_private

_SIZE = 32
_LARGEST = 64 * 1024


class KeyFileUnusable(Exception):
    """The key file cannot be used; the text says what to change."""


def load_or_create_key(path: Path) -> bytes:
    """The 32-byte key in `path`, made when there is none; see `load_or_create`.

    Raises KeyFileUnusable as that does, and when the file holds no key.
    """
    text = load_or_create(path, lambda: base64.urlsafe_b64encode(secrets.token_bytes(_SIZE)) + b"\n").strip()
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _SIZE:
        raise KeyFileUnusable(
            f"{path}: this is not a key made here; delete the file to get a new one (everybody must log in again)"
        )
    return key


def load_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """What is in `path`; when there is no such file, what `make` gives, kept there (mode 0600, in a folder of 0700).

    Several processes may call it at once: one content wins, all get that one, and nobody ever sees half a file.
    Raises KeyFileUnusable when the file cannot be read or written, or is open to other users.
    """
    try:
        if not path.exists():
            _create(path, make())
        return _read(path)
    except OSError as error:
        why = f"{error.strerror}; the proxy must be able to read and write this file"
        raise KeyFileUnusable(f"{path}: {why}") from error


def _create(path: Path, content: bytes) -> None:
    make_private(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first: its key is the key
            os.link(draft, path)
        _sync_folder(path.parent)
    finally:
        draft.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise KeyFileUnusable(f"{path}: other users may open this key; run `chmod 600 {path}` or delete the file")
        return file.read(_LARGEST)
