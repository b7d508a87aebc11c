"""Secrets: read from where they are, refused when everybody can read them, never repeated in an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.settings.schema import SecretRef
from proxy.settings.secrets import LARGEST, SecretUnavailable, read_secret


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> SecretRef:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return SecretRef(file=str(path))


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_SECRET", "hunter2")
    assert read_secret(SecretRef(env="OIDC_SECRET")) == b"hunter2"


@pytest.mark.parametrize("value", [None, "", "\n"])
def test_an_environment_without_it(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OIDC_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("OIDC_SECRET", value)
    with pytest.raises(SecretUnavailable, match="OIDC_SECRET is not set, or empty"):
        read_secret(SecretRef(env="OIDC_SECRET"))


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"hunter2", b"hunter2"),
        (b"hunter2\n", b"hunter2"),
        (b"hunter2\r\n", b"hunter2"),
        (b"a\n\n", b"a\n"),
        (b" a ", b" a "),
        (b"\x00\xff\r", b"\x00\xff\r"),
    ],
)
def test_from_a_file_without_the_newline_that_ends_it(content: bytes, secret: bytes, tmp_path: Path) -> None:
    assert read_secret(secret_file(tmp_path, content)) == secret


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o660])
def test_files_for_owner_and_group(mode: int, tmp_path: Path) -> None:
    assert read_secret(secret_file(tmp_path, b"x", mode)) == b"x"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_files_for_everybody_are_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match="by everybody on this machine: chmod o= "):
        read_secret(secret_file(tmp_path, b"x", mode))


def test_a_mounted_secret_behind_symbolic_links(tmp_path: Path) -> None:
    real = tmp_path / "..2024"
    real.mkdir()
    secret_file(real, b"x")
    (tmp_path / "..data").symlink_to(real)
    (tmp_path / "link").symlink_to("..data/secret")
    assert read_secret(SecretRef(file=str(tmp_path / "link"))) == b"x"


def test_what_is_no_usable_file(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match="absent: no such file or directory"):
        read_secret(SecretRef(file=str(tmp_path / "absent")))
    with pytest.raises(SecretUnavailable, match="is not a file"):
        read_secret(SecretRef(file=str(tmp_path)))
    with pytest.raises(SecretUnavailable, match="is empty"):
        read_secret(secret_file(tmp_path, b"\n"))
    with pytest.raises(SecretUnavailable, match="is larger than 64 KiB"):
        read_secret(secret_file(tmp_path, b"x" * (LARGEST + 1)))
    with pytest.raises(SecretUnavailable, match="has no place"):
        read_secret(SecretRef())


def test_a_pipe_does_not_make_it_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SecretUnavailable, match="is not a file"):
        read_secret(SecretRef(file=str(tmp_path / "pipe")))


def test_errors_do_not_hold_the_secret(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable) as caught:
        read_secret(secret_file(tmp_path, b"hunter2", 0o644))
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
