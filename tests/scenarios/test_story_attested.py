"""Laptops before a door that only hardware opens: one with its key in a TPM whose maker is trusted, one with a file.
Everything is real: the proxy, the agent, tpm2-tools and the TPM, which is one of software."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from scenario_laptop import Laptop, code_for, laptop, show
from scenario_world import App, Inside, eventually_so, running
from software_tpm import SoftwareTpm, software_tpm

from proxy.agent import running as running_agent
from proxy.agent.client import Proxy
from proxy.cli import device as command

pytestmark = pytest.mark.tpm

ATTESTED = {"name": "hardware", "groups": ["engineering"], "device": {"disk_encrypted": True, "assurance": "attested"}}


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path_factory.mktemp("tpm"), certified=True) as one:
        yield one


@pytest.fixture
async def vault(world: Inside, app: App, chip: SoftwareTpm) -> AsyncIterator[Inside]:
    world.config["devices"] = {"enrolment": "open", "tpm_authorities": str(chip.authorities)}
    world.route("vault", app.url, allow=[ATTESTED])
    async with running(world) as one:
        yield one


async def brought(world: Inside, machine: Laptop, cookie: str, tcti: str = "") -> str:
    """A laptop that is enrolled, shown by the browser, and has reported. Returns its id."""
    device = await machine.enrol(await code_for(world), tcti=tcti)
    assert (await show(world, machine, cookie)).status == 200
    await machine.report()
    return device


async def test_a_key_in_a_tpm_opens_what_a_key_in_a_file_does_not(vault: Inside, chip: SoftwareTpm) -> None:
    cookies = await vault.login("ann", "login", "vault")
    async with laptop(vault, "with-tpm") as machine:
        device = await brought(vault, machine, cookies["login"], chip.tcti)
        assert machine.said == ["The TPM vouches for this device's key; its own certificate is by CN=swtpm-localca."]
        line = await vault.recorded(type="device", note="issuer: CN=swtpm-localca")
        assert line["device"] == device

        async def opens() -> bool:
            return (await vault.ask("vault", cookie=cookies["vault"])).status == 200

        await eventually_so(opens, "the door opens")
        shown = await asyncio.to_thread(shown_by_cli, vault, device)
        assert "(attested: in a TPM, by CN=swtpm-localca on " in shown

        # The maker is trusted no longer: neither is what its TPMs vouched for.
        del vault.config["devices"]["tpm_authorities"]
        vault.reload()
        refused = await vault.ask("vault", cookie=cookies["vault"])
        assert (refused.status, refused.json["reason"]) == (403, "device-not-compliant")
        assert "not trusted any more" in await asyncio.to_thread(shown_by_cli, vault, device)


async def test_a_key_in_a_file_is_refused_with_what_to_do(vault: Inside) -> None:
    cookies = await vault.login("ann", "login", "vault")
    async with laptop(vault, "with-file") as machine:
        device = await brought(vault, machine, cookies["login"])
        assert machine.said == []
        refused = await vault.ask("vault", cookie=cookies["vault"])
        assert (refused.status, refused.json["reason"]) == (403, "device-not-compliant")
        assert "ostiary device attest" in str(refused.json)
        assert "(in a file, by the device's own word)" in await asyncio.to_thread(shown_by_cli, vault, device)


async def test_a_tpm_of_another_maker_vouches_for_nobody(
    vault: Inside, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cookies = await vault.login("ann", "login", "vault")
    with software_tpm(tmp_path_factory.mktemp("other"), certified=True) as other:
        async with laptop(vault, "another") as machine:
            await brought(vault, machine, cookies["login"], other.tcti)
            assert "not by an authority that is trusted here" in machine.said[0]
            refused = await vault.ask("vault", cookie=cookies["vault"])
            assert (refused.status, refused.json["reason"]) == (403, "device-not-compliant")


async def test_the_command_says_who_vouches_or_why_nobody_does(
    vault: Inside, chip: SoftwareTpm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await vault.login("ann", "login")

    @contextlib.asynccontextmanager
    async def here(login: str, authorities: str | None) -> AsyncIterator[Proxy]:
        async with laptop(vault) as other:
            assert other.proxy.login == login
            yield other.proxy

    monkeypatch.setattr(running_agent, "connected", here)
    async with laptop(vault, "first") as one, laptop(vault, "second") as two:
        device = await one.enrol(await code_for(vault), tcti=chip.tcti)
        await two.enrol(await code_for(vault))
        for machine, code, said in (
            (one, 0, "The TPM vouches for the key; its own certificate is by CN=swtpm-localca."),
            (two, 1, "the key is in a file, and nothing can vouch for a file"),
        ):
            assert await asyncio.to_thread(commanded, "attest", "--dir", str(machine.home.path)) == code
            assert said in "".join(capsys.readouterr())
    record = await vault.worker.devices.store.get(device)
    assert record is not None
    assert record.voucher is not None


def commanded(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


def shown_by_cli(world: Inside, device: str) -> str:
    words = [sys.executable, "-m", "proxy", "devices", "show", device, "--config", str(Path(world.path))]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
