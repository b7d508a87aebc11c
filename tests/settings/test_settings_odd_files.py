"""What a folder may hold besides files: nothing in it makes anybody wait."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from settings_world import World

from proxy.cli import main
from proxy.settings.load import check
from proxy.settings.schema import SecretRef
from proxy.settings.secrets import SecretUnavailable, read_secret
from proxy.settings.watch import Watcher


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


ODD = pytest.mark.parametrize("make", [fifo, device], ids=["fifo", "device"])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("OSTIARY_TEST_SECRET", "s3cret")
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


@pytest.mark.parametrize("make", [fifo, device, unix_socket])
def test_what_is_no_file_among_the_routes_is_said_at_once(world: World, make: Callable[[Path], None]) -> None:
    odd = world.routes.with_name("zz.yaml")
    make(odd)
    checked = check(world.configuration)
    errors = [str(problem) for problem in checked.problems if problem.severity == "error"]
    assert checked.settings is None
    assert len(errors) == 1
    assert str(odd) in errors[0]
    # A socket cannot be opened at all: the system says so in its own words.
    assert "is not a regular file" in errors[0] or make is unix_socket


@ODD
def test_the_configuration_itself_or_a_certificate_may_be_one(world: World, make: Callable[[Path], None]) -> None:
    make(world.folder / "a.crt")
    make(world.folder / "a.key")
    make(world.folder / "ca.crt")
    make(world.folder / "assertion.key")
    said = [problem.message for problem in check(world.configuration, now=1.8e9).problems]
    assert sum("is not a regular file" in message for message in said) == 3, said
    world.configuration.unlink()
    make(world.configuration)
    assert "is not a regular file" in check(world.configuration).problems[0].message


@ODD
def test_a_secret_may_be_one(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "secret")
    with pytest.raises(SecretUnavailable, match="is not a file"):
        read_secret(SecretRef(file=str(tmp_path / "secret")))


def test_the_command_answers(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    fifo(world.routes.with_name("zz.yaml"))
    for path in (".", "routes/zz.yaml"):
        assert main(["check", path]) == 1
        assert "zz.yaml: is not a regular file" in capsys.readouterr().err


def test_the_watcher_sees_one_come_and_go(world: World) -> None:
    odd = world.routes.with_name("zz.yaml")
    watcher = Watcher(lambda: [str(world.routes.parent), str(odd)], lambda: None)
    fifo(odd)
    assert [watcher.look(), watcher.look()] == [True, False]
    odd.unlink()
    odd.write_text("routes: []\n")
    assert [watcher.look(), watcher.look()] == [True, False]
