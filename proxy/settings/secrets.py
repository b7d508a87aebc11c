"""Reading secrets from where the configuration says they are. What is read is never logged and never in an error."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from proxy.settings.schema import SecretRef

LARGEST = 64 * 1024
"""Bytes of a secret file."""


class SecretUnavailable(Exception):
    """The secret cannot be used. The text says why and what to change; it never holds the secret."""


def read_secret(ref: SecretRef) -> bytes:
    """The secret, without the newline that ends a file. Raises SecretUnavailable.

    A file must be regular, not readable or writable by everybody, and not empty. Symbolic links are followed, as
    mounted secrets are made of them.
    """
    if ref.env is not None:
        return _from_environment(ref.env)
    if ref.file is not None:
        return _from_file(Path(ref.file))
    raise SecretUnavailable("the secret has no place: write {env: NAME} or {file: path}")


def _from_environment(name: str) -> bytes:
    value = os.environb.get(os.fsencode(name), b"").rstrip(b"\r\n")
    if not value:
        raise SecretUnavailable(f"the environment variable {name} is not set, or empty")
    return value


def _from_file(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise SecretUnavailable(f"{path}: {(error.strerror or 'cannot be opened').lower()}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise SecretUnavailable(f"{path} is not a file")
        if mode & 0o006:
            raise SecretUnavailable(f"{path} can be read or written by everybody on this machine: chmod o= {path}")
        value = os.read(descriptor, LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(value) > LARGEST:
        raise SecretUnavailable(f"{path} is larger than {LARGEST >> 10} KiB: is it the right file?")
    if value.endswith(b"\n"):
        value = value[:-1].removesuffix(b"\r")
    if not value:
        raise SecretUnavailable(f"{path} is empty")
    return value
