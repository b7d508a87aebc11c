"""`ostiary sessions`, as an admin meets it: with and without a running proxy."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from session_people import NOON, person, record

from proxy.cli import main
from proxy.model.device import Bound
from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord, hashed
from proxy.sessions.sqlite import SqliteStore

CONFIG = """\
listeners: [{address: "127.0.0.1:8443", cleartext: proxy}]
login: {url: "https://login.apps.localhost:8443"}
assertion: {key: assertion.key}
state: STATE
routes: routes/
"""
ROUTE = """\
routes: [{name: app, from: "https://app.apps.localhost:8443", to: "http://127.0.0.1:3000"}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ostiary.yaml").write_text(CONFIG.replace("STATE", "sqlite:var/state.db"))
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "app.yaml").write_text(ROUTE)
    return tmp_path


def ostiary(folder: Path, *words: str) -> int:
    return main(["sessions", *words, "--config", str(folder / "ostiary.yaml")])


def write(folder: Path, *records: SessionRecord) -> None:
    async def all_of_them() -> None:
        store = SqliteStore(folder / "var" / "state.db")
        for each in records:
            await store.create(each)
            await store.add_handle(hashed(each.sid.encode()), each.sid, "app.apps.localhost", each.expires)
        await store.close()

    asyncio.run(all_of_them())


def ended(folder: Path) -> dict[str, Reason | None]:
    async def read() -> dict[str, Reason | None]:
        store = SqliteStore(folder / "var" / "state.db")
        found = {each.record.sid: each.record.ended for each in await store.list(ended=True)}
        await store.close()
        return found

    return asyncio.run(read())


@pytest.fixture
def worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A running worker in a process of its own."""
    script = Path(__file__).with_name("session_worker.py")
    url = f"sqlite:{folder}/var/state.db"
    process = subprocess.Popen(
        [sys.executable, str(script), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == '"ready"\n'
    yield process
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def ask(process: subprocess.Popen[str], *command: object) -> object:
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


class TestList:
    def test_before_anybody_ever_logged_in(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert ostiary(folder, "list") == 0
        assert capsys.readouterr().out == "Nobody is logged in.\n"
        assert not (folder / "var").exists()

    def test_a_table_for_people(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, record("s-ann"), record("s-bob", "bob", created=NOON + 60))
        assert ostiary(folder, "list") == 0
        head, bob, ann = capsys.readouterr().out.splitlines()
        assert head.split() == ["SESSION", "WHO", "PROVIDER", "CREATED", "LAST", "SEEN", "EXPIRES", "HOSTS"]
        assert (bob.split()[0], bob.split()[1], bob.split()[-1]) == ("s-bob", "bob@example.com", "app.apps.localhost")
        assert ann.split()[:3] == ["s-ann", "ann@example.com", "corp"]

    def test_json_for_programs(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, record("s-ann", device=Bound(device="d-7", binding="agent")), record("s-bob", "bob"))
        assert ostiary(folder, "list", "--json", "--user", "ann@example.com") == 0
        assert json.loads(capsys.readouterr().out) == [
            {
                "sid": "s-ann",
                "email": "ann@example.com",
                "subject": "sub-ann",
                "name": "",
                "provider": "corp",
                "created": "2027-01-15T08:00:00+00:00",
                "last_seen": "2027-01-15T08:00:00+00:00",
                "expires": "2027-01-15T20:00:00+00:00",
                "hosts": ["app.apps.localhost"],
                "device": {"id": "d-7", "binding": "agent"},
            }
        ]

    @pytest.mark.parametrize("words", [["sessions", "list", "--json"], ["sessions", "list"], ["check"]])
    def test_whoever_reads_it_may_stop_early(self, folder: Path, words: list[str]) -> None:
        write(folder, *(record(f"s-{number}") for number in range(50)))
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "proxy", *words, "--config", str(folder / "ostiary.yaml")]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=root, timeout=60)
        os.close(writing)
        assert done.returncode == 141
        assert "Traceback" not in done.stderr
        assert "Broken pipe" not in done.stderr

    def test_a_name_cannot_steer_the_terminal(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, record("s", identity=person(email="", subject="\x1b[2Jeve\n\u202e")))
        ostiary(folder, "list")
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert len(out.splitlines()) == 2


class TestRevoke:
    def test_one_while_nothing_runs(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, record("s-ann"), record("s-bob", "bob"))
        assert ostiary(folder, "revoke", "s-ann") == 0
        assert capsys.readouterr().out == "Ended 1 session. No worker is running.\n"
        assert ended(folder) == {"s-ann": Reason.SESSION_REVOKED, "s-bob": None}

    def test_all_of_a_person(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, record("1"), record("2"), record("3", "bob"))
        assert ostiary(folder, "revoke", "--user", "ANN@example.com") == 0
        assert capsys.readouterr().out.startswith("Ended 2 sessions.")
        assert ended(folder) == {"1": Reason.SESSION_REVOKED, "2": Reason.SESSION_REVOKED, "3": None}

    def test_everybody(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, record("1"), record("3", "bob"))
        assert ostiary(folder, "revoke", "--all", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"ended": ["1", "3"], "workers": 0, "acknowledged": 0}
        assert ostiary(folder, "revoke", "--all") == 0
        assert capsys.readouterr().out == "There are no living sessions.\n"

    def test_by_the_beginning_of_its_id(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, *(record(sid) for sid in ("abcdef0123", "abcdef0199", "abcdef01")))
        assert ostiary(folder, "revoke", "abcdef01") == 0, "the whole id of one"
        assert ostiary(folder, "revoke", "abcdef01", "--json") == 2
        assert "abcdef01 begins 2 sessions" in capsys.readouterr().err
        assert ostiary(folder, "revoke", "abcdef0") == 1, "too short to be taken for a beginning"
        assert ostiary(folder, "revoke", "abcdef012") == 0
        revoked = Reason.SESSION_REVOKED
        assert ended(folder) == {"abcdef01": revoked, "abcdef0123": revoked, "abcdef0199": None}

    @pytest.mark.parametrize("words", [["nobody"], ["nobody-at-all"], ["--user", "nobody@example.com"]])
    def test_no_such_session(self, folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
        write(folder, record())
        assert ostiary(folder, "revoke", *words) == 1
        assert "nobody" in capsys.readouterr().out

    def test_at_once_in_a_running_worker(
        self, folder: Path, worker: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        sid, handle = ask(worker, "login")
        assert ask(worker, "load", handle, "app") == "live"
        assert ostiary(folder, "revoke", sid) == 0
        assert capsys.readouterr().out == "Ended 1 session. The running worker acted on it.\n"
        assert ask(worker, "cuts_seen") == ["session-revoked"]
        assert ask(worker, "cached", handle, "app") == "session-revoked"

    def test_a_worker_that_does_not_answer_is_told_about(
        self, folder: Path, worker: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        sid, handle = ask(worker, "login")
        assert ask(worker, "load", handle, "app") == "live"
        worker.send_signal(19)  # SIGSTOP
        try:
            assert ostiary(folder, "revoke", sid) == 1
        finally:
            worker.send_signal(18)  # SIGCONT
        assert "Only 0 of 1 running workers confirmed" in capsys.readouterr().out


class TestWrongUse:
    @pytest.mark.parametrize("words", [[], ["revoke"], ["revoke", "sid", "--all"], ["revoke", "--all", "--user", "x"]])
    def test_is_two(self, folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["sessions", *words])
        assert caught.value.code == 2

    def test_no_configuration(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert ostiary(tmp_path, "list") == 2
        assert "ostiary.yaml" in capsys.readouterr().err

    def test_sessions_in_memory_are_out_of_reach(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "ostiary.yaml").write_text(CONFIG.replace("STATE", "'memory:'") + "workers: 1\n")
        assert ostiary(folder, "list") == 2
        assert "sqlite:PATH" in capsys.readouterr().err

    def test_a_broken_database(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "var").mkdir()
        (folder / "var" / "state.db").write_bytes(b"not a database, whatever it is called" * 100)
        assert ostiary(folder, "list") == 1
        assert "move the file away" in capsys.readouterr().err

    def test_help_teaches(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["sessions", "--help"])
        assert "ostiary sessions revoke --user ann@example.com" in capsys.readouterr().out
