"""The program as a person runs it: `ostiary device …` in processes of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from configparser import RawConfigParser
from pathlib import Path

import aiohttp
import pytest
from agent_proxy import Recorder

from proxy.agent.errors import AgentError
from proxy.agent.unit import unit
from proxy.cli import main
from proxy.model.report import AGENT_PORT, PROOF_TYPE

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


class Program:
    """Runs `ostiary device` with the state folder of this story."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"XDG_STATE_HOME": str(folder), "PYTHONPATH": str(ROOT)}
        self.environment.pop("TPM2TOOLS_TCTI", None)

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "device", *words),
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *words: str) -> tuple[int | None, str, str]:
        process = await self.start(*words)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        return process.returncode, out.decode(), err.decode()

    async def enrolled(self, recorder: Recorder) -> None:
        code, out, err = await self.run(
            *("enrol", recorder.url + "/", "--code", "ABCD-EFGH-JKMN", "--name", "laptop", "--key", "file"),
            *("--ca", str(recorder.ca)),
        )
        assert (code, err) == (0, "")
        assert "An administrator must approve it" in out


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@contextlib.asynccontextmanager
async def watching(program: Program) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await program.start("report", "--watch")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, wanted: Callable[[str], object]) -> str:
    """Wait for a line of output."""
    assert process.stdout is not None
    while True:
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
        assert line, "it ended without saying so"
        if wanted(line):
            return line


async def test_enrol_report_and_look(program: Program, recorder: Recorder) -> None:
    await program.enrolled(recorder)
    recorder.note = "Switch the firewall on."
    assert await program.run("report") == (0, "Switch the firewall on.\n", "")
    (report,) = recorder.reports
    assert report["attributes"]["os"] == {"linux": "linux", "darwin": "macos", "win32": "windows"}[sys.platform]
    code, out, _ = await program.run("status", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["device"] == report["device"]
    assert told["key"] == "file"
    assert told["note"] == "Switch the firewall on."
    assert told["attributes"]["os"] == report["attributes"]["os"]
    code, out, _ = await program.run("status")
    assert re.search(r"(?m)^  os +\"\w+\"$", out)


async def test_before_it_is_enrolled_everything_says_what_to_do(program: Program) -> None:
    for words in (["report"], ["report", "--watch"], ["prove"], ["status"]):
        code, out, err = await program.run(*words)
        assert (code, out) == (1, "")
        assert "ostiary device enrol URL --code CODE" in err
    assert list(program.folder.iterdir()) == []


async def test_a_wrong_code_is_named(program: Program, recorder: Recorder) -> None:
    code, _, err = await program.run(
        "enrol", recorder.url, "--code", "nonsense", "--ca", str(recorder.ca), "--key", "file"
    )
    assert code == 1
    assert "take a new one from your apps page" in err
    assert "Traceback" not in err


async def test_a_revoked_device_is_told_so_and_remembers(program: Program, recorder: Recorder) -> None:
    await program.enrolled(recorder)
    recorder.revoked |= recorder.keys.keys()
    code, _, err = await program.run("report", "--watch")
    assert code == 1
    assert "Nothing more is reported." in err
    code, out, _ = await program.run("status")
    assert code == 1
    assert "revoked" in out


async def test_it_watches_answers_browsers_and_ends_when_told(program: Program, recorder: Recorder) -> None:
    await program.enrolled(recorder)
    async with watching(program) as process:
        await said(process, lambda line: "all is well" in line)
        code, _, err = await program.run("report")
        assert code == 1
        assert "another agent" in err
        url = f"http://127.0.0.1:{AGENT_PORT}/prove"
        async with (
            aiohttp.ClientSession(headers={"Origin": recorder.url}) as browser,
            browser.post(url, json={"challenge": "c", "aud": recorder.url}) as response,
        ):
            proof = (await response.json())["jws"]
        device = recorder.reports[0]["device"]
        claims = recorder._proven(proof, recorder.keys[device], PROOF_TYPE, device)
        assert claims["challenge"] == "c"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    assert (await program.run("report"))[0] == 0
    numbers = [one["seq"] for one in recorder.reports]
    assert numbers == sorted(set(numbers))


async def test_an_agent_that_is_killed_repeats_no_number(program: Program, recorder: Recorder) -> None:
    await program.enrolled(recorder)
    for _ in range(2):
        async with watching(program) as process:
            await said(process, lambda line: "all is well" in line)
            process.kill()
    numbers = [one["seq"] for one in recorder.reports]
    assert len(numbers) == 2
    assert numbers == sorted(set(numbers))


# --- as a service ----------------------------------------------------------------------------------------------------


async def test_the_unit_runs_this_program_on_this_folder(program: Program) -> None:
    folder = program.folder / 'a place with 100% "quotes"'
    code, out, _ = await program.run("service", "--dir", str(folder))
    assert code == 0
    parser = RawConfigParser(strict=False)
    parser.read_string(out)
    start = parser["Service"]["ExecStart"]
    assert start.startswith(f"{sys.executable} -m proxy device report --watch --dir ")
    assert '100%% \\"quotes\\""' in start
    assert parser["Service"]["ReadWritePaths"].startswith('"-/')
    assert parser["Service"]["RestartPreventExitStatus"] == "1 2"
    with pytest.raises(AgentError):
        unit(["/bin/x", "a\nExecStartPre=/bin/evil"], folder)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here to ask")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "service"]) == 0
    file = tmp_path / "ostiary-device.service"
    file.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", capsys.readouterr().out))
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(file)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.replace(str(file), "")) == (0, "")
