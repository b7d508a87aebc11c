"""The record under load, at the end, after a crash, and while the disk fails."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from proxy.audit import journal as under_test
from proxy.audit.event import Event
from proxy.audit.journal import Journal
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.settings.schema import Audit, Size

NOW = 1_772_366_400.25


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is tried again at once, so that no test waits for the clock."""
    monkeypatch.setattr(under_test, "RETRY", 0.01)


def event(path: str = "/", **more: Any) -> Event:
    return Event(time=NOW, outcome=Outcome.ALLOW, reason=Reason.RULE_ALLOWS, path=path, **more)


def settings(file: Path, on_failure: Literal["refuse", "continue"] = "refuse") -> Audit:
    return Audit(file=str(file), rotate=Size(1 << 30), keep=2, on_failure=on_failure)


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def kinds(file: Path) -> list[str]:
    """One word per line: the type of a notice, the path of a decision."""
    return [line.get("type", line.get("path")) for line in read(file)]


def until(condition: Callable[[], bool]) -> bool:
    """Give the writer thread its turn until `condition` holds; the test's own time limit ends the wait."""
    while not condition():
        os.sched_yield()
    return True


def recovers(journal: Journal) -> bool:
    """Wait for the next successful try, as long as it takes within reason."""
    return journal.flush(10)


# --- the good day ----------------------------------------------------------------------------------------------------


def test_a_run_is_framed_by_its_opening_and_closing_record_with_counts(tmp_path: Path) -> None:
    file = tmp_path / "var" / "audit.jsonl"
    journal = Journal(settings(file), lambda: NOW, worker=3)
    for path in ("/a", "/b"):
        journal.record(event(path))
    journal.close()

    lines = read(file)
    assert kinds(file) == ["start", "/a", "/b", "stop"]
    assert [line.get("seq") for line in lines] == [1, 2, 3, None]
    assert len({line["run"] for line in lines}) == 1
    assert lines[0]["worker"] == 3
    assert lines[0]["pid"] == os.getpid()
    assert lines[3]["recorded"] == 2
    assert "lost" not in lines[3]
    assert [found.name for found in file.parent.iterdir()] == ["audit.jsonl"]


def test_flush_returns_when_all_is_in_the_file(tmp_path: Path) -> None:
    journal = Journal(settings(tmp_path / "a"), lambda: NOW)
    for number in range(2000):
        journal.record(event(str(number)))
    assert journal.flush()
    assert kinds(tmp_path / "a") == ["start", *map(str, range(2000))]
    journal.close()


def test_a_record_arrives_without_anybody_asking(tmp_path: Path) -> None:
    journal = Journal(settings(tmp_path / "a"), lambda: NOW)
    journal.record(event("/a"))
    with journal._progress:
        assert journal._progress.wait_for(lambda: not journal._lines, 10)
    assert kinds(tmp_path / "a") == ["start", "/a"]
    journal.close()


def test_each_second_has_its_own_stamp(tmp_path: Path) -> None:
    journal = Journal(settings(tmp_path / "a"), lambda: NOW)
    for moment in (NOW, NOW + 0.5, NOW + 1, NOW - 1):  # clocks are set back, too
        journal.record(Event(time=moment, outcome=Outcome.ALLOW, reason=Reason.PUBLIC))
    journal.close()
    assert [line["time"][17:] for line in read(tmp_path / "a")[1:-1]] == [
        "00.250000Z",
        "00.750000Z",
        "01.250000Z",
        "59.250000Z",
    ]


def test_a_second_worker_writes_to_the_same_file(tmp_path: Path) -> None:
    one = Journal(settings(tmp_path / "a"), lambda: NOW, worker=0)
    other = Journal(settings(tmp_path / "a"), lambda: NOW, worker=1)
    one.record(event("/one"))
    assert one.flush()
    other.record(event("/other"))
    other.close()
    one.close()
    assert kinds(tmp_path / "a") == ["start", "start", "/one", "/other", "stop", "stop"]


# --- a crash ---------------------------------------------------------------------------------------------------------

WORKER = """
import sys, time
from proxy.audit.event import Event
from proxy.audit.journal import Journal
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.settings.schema import Audit
journal = Journal(Audit(file=sys.argv[1]), worker=7)
for number in range(1000):
    journal.record(Event(time=time.time(), outcome=Outcome.ALLOW, reason=Reason.PUBLIC, path=str(number)))
journal.flush()
print("written", flush=True)
sys.stdin.readline()
"""


def killed_worker(file: Path) -> int:
    """A worker that wrote 1000 records and was killed with SIGKILL; its process id."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"written\n"
        worker.send_signal(signal.SIGKILL)
        return worker.pid


def test_the_next_start_says_that_a_run_ended_without_its_closing_record(tmp_path: Path) -> None:
    file = tmp_path / "a"
    pid = killed_worker(file)
    alive = Journal(settings(file), lambda: NOW, worker=0)
    assert kinds(file) == ["start", *map(str, range(1000)), "unclosed", "start"]
    (unclosed,) = (line for line in read(file) if line.get("type") == "unclosed")
    assert unclosed["of"] == read(file)[0]["run"]
    assert unclosed["worker"] == 7
    assert unclosed["pid"] == pid
    assert max(line.get("seq", 0) for line in read(file) if line["run"] == unclosed["of"]) == 1001

    later = Journal(settings(file), lambda: NOW, worker=1)  # said once; and a run that is alive is not called dead
    later.close()
    alive.close()
    assert kinds(file).count("unclosed") == 1
    assert [found.name for found in tmp_path.iterdir()] == ["a"]


def test_a_mark_that_makes_no_sense_is_still_reported(tmp_path: Path) -> None:
    (tmp_path / "a.run-0badc0de").write_bytes(b"")
    Journal(settings(tmp_path / "a"), lambda: NOW).close()
    assert [line["of"] for line in read(tmp_path / "a") if line["type"] == "unclosed"] == ["0badc0de"]


# --- the disk fails --------------------------------------------------------------------------------------------------


class Disk:
    """A folder that can fail and be repaired: the file's name is taken by a folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "audit.jsonl"

    def fail(self) -> None:
        if self.file.exists():
            self.file.rename(self.file.with_name("earlier"))
        self.file.mkdir()

    def repair(self) -> None:
        self.file.rmdir()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_with_refuse_the_proxy_is_unhealthy_until_the_file_can_be_written(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.fail()
    journal = Journal(settings(disk.file), lambda: NOW)
    assert not journal.healthy  # known before the first request
    assert not journal.writable
    for path in ("/a", "/b"):
        journal.record(event(path))
        assert not journal.flush(0.05)
    (said,) = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR]
    assert said == (
        f"audit: cannot write {disk.file}: Is a directory; requests are refused until it works again (audit.on_failure)"
    )

    disk.repair()
    assert recovers(journal)
    journal.close()
    assert journal.healthy
    assert journal.writable
    assert kinds(disk.file) == ["start", "/a", "/b", "stop"]  # nothing was lost
    assert "can be written again; 0 records were lost" in caplog.text


def test_with_continue_requests_go_on(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.fail()
    journal = Journal(settings(disk.file, "continue"), lambda: NOW)
    assert journal.healthy
    assert not journal.writable
    assert "requests go on without record until it works again" in caplog.text
    disk.repair()
    journal.close()


def test_a_disk_that_fails_later_is_noticed_and_survived(disk: Disk) -> None:
    journal = Journal(settings(disk.file), lambda: NOW)
    journal.record(event("/before"))
    assert journal.flush()
    disk.fail()
    journal.record(event("/during"))
    assert not journal.flush(0.05)
    assert not journal.healthy
    disk.repair()
    assert recovers(journal)
    journal.close()
    assert kinds(disk.file) == ["/during", "stop"]


def test_what_does_not_fit_the_buffer_is_counted_and_the_number_recorded(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.fail()
    journal = Journal(settings(disk.file), lambda: NOW, buffer_bytes=2000)
    for number in range(100):
        journal.record(event(str(number)))
    kept = len(journal._lines) - 1
    assert 5 < kept < 50
    assert journal.lost == 100 - kept
    disk.repair()
    assert recovers(journal)
    journal.record(event("/after"))
    journal.close()

    assert kinds(disk.file) == ["start", *map(str, range(kept)), "lost", "/after", "stop"]
    lines = read(disk.file)
    assert lines[kept + 1]["lost"] == 100 - kept
    assert lines[-1]["recorded"] == 101
    assert lines[-1]["lost"] == 100 - kept
    assert lines[-2]["seq"] == 102  # the gap in the numbers is the loss
    assert f"{100 - kept} records were lost in this run" in caplog.text


def test_a_file_locked_by_a_program_that_hangs_is_noticed_when_the_buffer_is_full(tmp_path: Path) -> None:
    journal = Journal(settings(tmp_path / "a"), lambda: NOW, buffer_bytes=2000)
    with (tmp_path / "a").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        recorded = 0
        while journal.healthy:  # `record` does not wait for the lock
            journal.record(event(str(recorded)))
            recorded += 1
        fcntl.flock(held, fcntl.LOCK_UN)
    assert recovers(journal)
    journal.close()
    assert journal.healthy
    assert kinds(tmp_path / "a") == ["start", *map(str, range(recorded - 1)), "lost", "stop"]


def test_a_disk_that_does_not_confirm_is_a_failing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "SYNC", 0.0)
    failing, real = threading.Event(), os.fdatasync
    failing.set()

    def fdatasync(fd: int) -> None:
        if failing.is_set():
            raise OSError(5, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    journal = Journal(settings(tmp_path / "a"), lambda: NOW)
    journal.record(event("/a"))
    assert until(lambda: not journal.healthy)
    failing.clear()
    assert until(lambda: journal.healthy)
    journal.close()
    assert kinds(tmp_path / "a") == ["start", "/a", "stop"]


def test_closing_while_the_disk_fails_says_how_much_is_lost(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.fail()
    journal = Journal(settings(disk.file), lambda: NOW)
    journal.record(event())
    journal.close()
    assert f"audit: 2 records could not be written to {disk.file} and are lost" in caplog.text


def test_an_unwritable_device_is_a_failing_disk() -> None:
    journal = Journal(settings(Path("/dev/full")), lambda: NOW)
    assert not journal.healthy
    journal.close()


def test_a_mark_that_cannot_be_set_does_not_stop_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(under_test, "set_mark", refused)
    journal = Journal(settings(tmp_path / "a"), lambda: NOW)
    journal.close()
    assert journal.healthy
    assert kinds(tmp_path / "a") == ["start", "stop"]
    assert "a crash of this worker will not be noted" in caplog.text


UNPRIVILEGED = """
import os, sys
from proxy.audit.journal import Journal
from proxy.settings.schema import Audit
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
journal = Journal(Audit(file=sys.argv[1]))
print(journal.healthy, flush=True)
journal.close()
"""


def test_a_read_only_file_is_a_failing_disk(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):  # pytest's folders are closed to others
        folder.chmod(0o755)
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"")
    file.chmod(0o444)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(file)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "False\n"
    assert "Permission denied; requests are refused" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where this machine lets us mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs takes root; the full disk is also covered by /dev/full and a file size limit")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing_once_there_is_room_again(small_disk: Path) -> None:
    file = small_disk / "audit.jsonl"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(40 * 1024))
    journal = Journal(settings(file), lambda: NOW)
    recorded = 0
    while journal.healthy:
        journal.record(event(str(recorded), note="x" * 500))
        recorded += 1
        journal.flush(0.05)
    assert file.read_bytes().endswith(b"}\n")  # what is there is whole
    assert recorded < 60

    ballast.unlink()
    assert recovers(journal)
    journal.close()
    assert kinds(file) == ["start", *map(str, range(recorded)), "stop"]
