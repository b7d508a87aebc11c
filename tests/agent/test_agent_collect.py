"""What is found on a machine: recorded ones of each system, this very one, and ones that talk nonsense."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from agent_machines import machine, machines
from hypothesis import given
from hypothesis import strategies as st

from proxy import __version__
from proxy.agent.collect import SYSTEMS, collect, linux_disk, nftables
from proxy.agent.collect.looking import patch_age, serial_number
from proxy.agent.probe import Commands, Output, Probe
from proxy.devices.reports import own_values

NOW = 1_730_000_000.0


@pytest.mark.parametrize("name", machines())
async def test_a_recorded_machine(name: str, tmp_path: Path) -> None:
    recorded = machine(name)
    system = SYSTEMS[recorded.system]
    found = await collect(recorded.build(tmp_path), now=recorded.now.timestamp(), system=system)
    assert found == {"agent_version": __version__, "os": system.name} | recorded.found
    assert own_values(found) == found, "the proxy would refuse this report"


def test_each_system_was_recorded_with_everything_in_order_and_with_little() -> None:
    assert {machine(name).system for name in machines()} == set(SYSTEMS)
    assert len(machines()) >= 12


@pytest.mark.skipif(sys.platform != "linux", reason="looks at this very machine, which is expected to run Linux")
async def test_this_machine() -> None:
    found = await collect(Probe(), now=time.time())
    assert found["os"] == "linux"
    assert str(found["custom.kernel"])[0].isdigit()
    assert own_values(found) == found
    assert not {"managed", "compliant", "approved", "id"} & found.keys()


async def test_a_company_names_its_own_protection(tmp_path: Path) -> None:
    recorded = machine("linux-fedora-40-btrfs")
    probe = recorded.build(tmp_path)
    assert (await collect(probe, now=NOW, system=SYSTEMS["linux"]))["edr_running"] is False
    assert (await collect(probe, now=NOW, system=SYSTEMS["linux"], edr=["PlasmaShell"]))["edr_running"] is True


# --- nonsense --------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["{}", "[]", "null", "[{}]", '{"nftables":[{"chain":{}}]}', '{"a":', "enabled", "\0", "12.", "FileVault is Maybe."]
)
SAID = st.none() | st.builds(Output, st.sampled_from([0, 1]), st.text(max_size=60) | WORDS, st.text(max_size=60))


@given(system=st.sampled_from(sorted(SYSTEMS)), said=SAID, text=st.text(max_size=200) | WORDS)
async def test_whatever_tools_and_files_say_a_report_stays_sound(system: str, said: Output | None, text: str) -> None:
    class Nonsense(Probe):
        def data(self, name: str) -> bytes | None:
            return text.encode()

        def tail(self, name: str) -> str:
            return text

        def names(self, folder: str) -> list[str] | None:
            return [*text[:3], "1", "history.log.1.gz"]

    async def run(words: Sequence[str]) -> Output | None:
        return said

    found = await collect(Nonsense(run=run, environment={"XDG_RUNTIME_DIR": "/"}), now=NOW, system=SYSTEMS[system])
    assert own_values(found) == found


@pytest.mark.parametrize(
    "text", ["", " ", "0", "None", "N/A", "To Be Filled By O.E.M.", "Default string", "System Serial Number", "\0"]
)
def test_what_makers_leave_in_place_of_a_serial_number_is_none(text: str) -> None:
    assert serial_number(text) == {}


def test_an_upgrade_in_the_future_is_not_believed() -> None:
    assert patch_age([NOW + 90_000], NOW) == {}
    assert patch_age([NOW + 3_600], NOW) == {"patch_age_days": 0}  # a clock that was set back a little
    assert patch_age([None, NOW - 86_400 * 3], NOW) == {"patch_age_days": 3}


def test_devices_that_lie_on_each_other_in_a_circle_are_unknown(tmp_path: Path) -> None:
    for name in ("a", "b"):
        other = "b" if name == "a" else "a"
        (tmp_path / "sys/class/block" / name / "slaves" / other).mkdir(parents=True)
    assert linux_disk._encrypted(Probe(root=tmp_path), "a") is None


def test_chains_that_jump_in_a_circle_come_to_an_end() -> None:
    place = '"family":"ip","table":"f"'
    chains = f'{{"chain":{{{place},"name":"in","type":"filter","hook":"input","policy":"accept"}}}}'
    rules = ",".join(
        f'{{"rule":{{{place},"chain":"{here}","expr":[{{"jump":{{"target":"{there}"}}}}]}}}}'
        for here, there in (("in", "a"), ("a", "b"), ("b", "a"))
    )
    assert not nftables.filters_input(f'{{"nftables":[{chains},{rules}]}}')


# --- real commands ---------------------------------------------------------------------------------------------------


async def test_a_command_has_a_time_limit_and_takes_its_children_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run = Commands({}, patience=0.5)
    assert await run(["/bin/sh", "-c", f"(sleep 60; touch {mark}) & sleep 60"]) is None
    assert not mark.exists()


async def test_a_command_that_talks_without_end_is_cut_short() -> None:
    assert await Commands({}, largest=100_000)(["/bin/sh", "-c", "while :; do echo yes; done"]) is None


async def test_a_command_gets_no_shell_no_input_and_none_of_our_secrets() -> None:
    environment = {"HOME": "/srv/ann", "AWS_SECRET_ACCESS_KEY": "secret", "PATH": "/srv/planted"}
    said = await Commands(environment)(["env"])
    assert said is not None
    assert "secret" not in said.out
    assert "planted" not in said.out
    assert "HOME=/srv/ann" in said.out
    echoed = await Commands(environment)(["echo", "$HOME; id"])
    assert echoed == Output(0, "$HOME; id\n")
    assert await Commands(environment)(["cat"]) == Output(0, "")


async def test_a_command_that_is_not_there_is_no_error() -> None:
    assert await Commands({})(["no-such-program-anywhere"]) is None
    assert await Commands({})(["/no/such/program"]) is None
