"""Several real processes on one database: what one ends is over in all, what is single is single, nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("session_worker.py")


class Process:
    """A worker in a process of its own."""

    def __init__(self, url: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, str(SCRIPT), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.hear() == "ready"

    def hear(self) -> Any:
        return json.loads(self.popen.stdout.readline())

    def tell(self, *command: object) -> None:
        self.popen.stdin.write(json.dumps(command) + "\n")
        self.popen.stdin.flush()

    def ask(self, *command: object) -> Any:
        self.tell(*command)
        return self.hear()

    def stop(self) -> None:
        self.popen.stdin.close()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/var/state.db"


@pytest.fixture
def process(url: str) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(url))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_an_end_in_one_is_an_end_in_all_at_once(process: Callable[[], Process]) -> None:
    first, second, third = process(), process(), process()
    sid, handle = first.ask("login")
    for each in (first, second, third):
        assert each.ask("load", handle, "app") == "live"
    assert first.ask("end", sid) is True  # returns when the others have acted
    for each in (second, third):
        assert each.ask("cached", handle, "app") == "session-revoked"
        assert each.ask("cuts_seen") == ["session-revoked"]
        assert each.ask("load", handle, "app") == "session-revoked"


def test_many_start_at_once_on_a_database_that_is_not_there_yet(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        started = list(pool.map(Process, [url] * 6))
    try:
        _, handle = started[0].ask("login")
        assert [each.ask("load", handle, "app") for each in started] == ["live"] * 6
    finally:
        for each in started:
            each.stop()


def test_what_may_be_used_once_is_used_once(process: Callable[[], Process]) -> None:
    workers = [process() for _ in range(4)]
    keys = [f"ticket:{number}" for number in range(200)]
    for each in workers:
        each.tell("consume", keys)
    won = [each.hear() for each in workers]
    assert sorted(key for keys_won in won for key in keys_won) == sorted(keys)


def test_one_holds_a_lease(process: Callable[[], Process]) -> None:
    workers = [process() for _ in range(4)]
    for each in workers:
        each.tell("lease", "refresh:s1")
    assert [each.hear() for each in workers].count(True) == 1


def test_a_killed_worker_leaves_nothing(process: Callable[[], Process], tmp_path: Path) -> None:
    first, second = process(), process()
    sid, handle = first.ask("login")
    second.popen.kill()
    second.popen.wait()
    assert len(list((tmp_path / "var/state.db.bus").iterdir())) == 2
    assert first.ask("end", sid) is True
    assert len(list((tmp_path / "var/state.db.bus").iterdir())) == 1
    assert first.ask("load", handle, "app") == "session-revoked"


def test_a_frozen_worker_is_waited_for_a_second_and_catches_up(process: Callable[[], Process]) -> None:
    first, second = process(), process()
    sid, handle = first.ask("login")
    assert second.ask("load", handle, "app") == "live"
    second.popen.send_signal(19)  # SIGSTOP
    assert first.ask("end", sid) is True
    second.popen.send_signal(18)  # SIGCONT
    for _ in range(500):
        if second.ask("cuts_seen"):
            break
    assert second.ask("load", handle, "app") == "session-revoked"


def test_what_was_acknowledged_survives_kill_9(process: Callable[[], Process]) -> None:
    worker = process()
    ended, ended_handle = worker.ask("login")
    worker.ask("end", ended)
    _, handle = worker.ask("login")
    worker.tell("spin", 100_000)
    seen = [worker.hear() for _ in range(50)]
    worker.popen.kill()
    seen += [json.loads(line) for line in worker.popen.stdout if line.endswith("\n")]
    worker.popen.wait()
    after = process()
    assert after.ask("load", handle, "app") == "live"
    assert after.ask("load", ended_handle, "app") == "session-revoked"
    assert all(after.ask("end", sid) for sid in seen[-50:])


def test_files_are_private(process: Callable[[], Process], tmp_path: Path) -> None:
    worker = process()
    worker.ask("login")
    var = tmp_path / "var"
    modes = {each.name: each.stat().st_mode & 0o777 for each in [var, *var.iterdir()]}
    assert modes == {
        "var": 0o700,
        "state.db": 0o600,
        "state.db-wal": 0o600,
        "state.db-shm": 0o600,
        "state.db.bus": 0o700,
    }
    handle = worker.ask("login")[1].encode()
    content = b"".join(each.read_bytes() for each in var.iterdir() if each.is_file())
    assert handle not in content
    assert b"tokens" not in content.replace(b"tokens BLOB", b"")
