"""The demo as a person starts it: the tour, Ctrl-C, and what happens when a part of it dies."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; for a machine that does much else


def start(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "proxy", "demo", "--dir", str(tmp_path), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(program: subprocess.Popen[str], wanted: str) -> str:
    """What it printed, up to the line with `wanted`. The runner's own time limit bounds it."""
    said = ""
    while wanted not in said:
        line = program.stdout.readline()
        assert line, f"it ended, and had said: {said}"
        said += line
    return said


def children_of(parent: int) -> dict[str, int]:
    """The demo's programs, by what is on their command line (Linux)."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == parent:
                found[(folder / "cmdline").read_text().replace("\0", " ")] = int(folder.name)
    return found


def ports_of(said: str) -> list[int]:
    return [int(port) for port in re.findall(r"https?://[a-z0-9.]+:(\d+)", said)]


@pytest.fixture
def running(tmp_path):
    program = start(tmp_path, "--free-ports")
    yield program
    if program.poll() is None:
        program.kill()
    program.stdout.close()
    program.wait()


def test_the_tour(tmp_path):
    with start(tmp_path, "--free-ports", "--check") as program:
        said, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, said
    assert "✗" not in said
    assert said.count("✓") >= 27
    assert said.rstrip().endswith("Everything works.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_leaves_nothing_behind(running, number):
    said = read_until(running, "audit.jsonl")
    assert "alice" in said
    assert "certs revoke" in said
    children = children_of(running.pid)
    assert len(children) == 7, children
    running.send_signal(number)
    rest, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, rest
    assert "killed" not in rest
    for pid in children.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    for port in ports_of(said):
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize(("part", "title"), [("proxy.demo.idp", "the identity provider"), ("proxy serve", "the proxy")])
def test_when_a_part_dies_it_says_which_and_ends_the_rest(running, part, title):
    read_until(running, "audit.jsonl")
    children = children_of(running.pid)
    [victim] = [pid for args, pid in children.items() if part in args]
    os.kill(victim, signal.SIGKILL)
    rest, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 1
    assert f"{title} was ended by signal 9 by itself" in rest
    for pid in children.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_when_the_demo_itself_is_killed_its_parts_end_too(running):
    read_until(running, "audit.jsonl")
    children = children_of(running.pid)
    running.kill()
    running.wait()
    until = time.monotonic() + PATIENCE
    while children and time.monotonic() < until:
        children = {args: pid for args, pid in children.items() if Path(f"/proc/{pid}/cmdline").exists()}
        time.sleep(0.05)
    assert children == {}


def test_a_taken_port_is_said_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(tmp_path, "--port", str(port)) as program:
            said, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 1
    assert f"port {port} on 127.0.0.1 cannot be used for the proxy: Address already in use" in said
    assert "--port" in said
    assert list(tmp_path.iterdir()) == []
