"""Programs under test are weighed with their children, and none outlives the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.processes import CorrectnessError, Fleet, cpu_seconds, free_port, pss_kib, running, tree

SERVER = """
import socket, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
sum(range(3_000_000))
time.sleep(600)
"""


def test_a_tree_is_weighed_as_one_and_gone_when_the_fleet_is_left(tmp_path: Path) -> None:
    port = free_port()
    with Fleet(tmp_path) as fleet:
        process = fleet.start("server", [sys.executable, "-c", SERVER, str(port)], port=port)
        members = tree(process.pid)
        assert len(members) == 2
        assert pss_kib(process.pid) > 2 * 1024
        assert cpu_seconds(process.pid) > 0
    assert not any(running(member) for member in members)


def test_a_program_that_ends_instead_of_listening_is_quoted(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet, pytest.raises(CorrectnessError, match=r"broken ended(.|\n)*no such option"):
        fleet.start("broken", [sys.executable, "-c", "raise SystemExit('no such option')"], port=free_port())


def test_ports_are_handed_out_once() -> None:
    assert len({free_port() for _ in range(50)}) == 50


@pytest.mark.parametrize("module", ["bench", "soak"])
def test_help_says_what_it_does_and_what_the_exit_code_means(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", f"loadtests.{module}", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "exit codes: 0" in done.stdout
