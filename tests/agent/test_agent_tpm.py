"""The key in a TPM 2.0: a real one in software (swtpm), through the commands that are used with one in hardware."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from agent_proxy import Recorder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from software_tpm import SoftwareTpm, software_tpm

from proxy.agent import tpm
from proxy.agent.client import connected
from proxy.agent.enrolling import Wish, enrol
from proxy.agent.home import Home
from proxy.agent.memory import Memory
from proxy.agent.running import enrolled
from proxy.agent.statement import signed
from proxy.agent.tpm import TpmKey, TpmUnusable, interface
from proxy.devices import jws as server
from proxy.model.report import PROOF_TYPE, Proof

needs_tpm = pytest.mark.tpm


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path_factory.mktemp("tpm")) as one:
        yield one


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "state")


def proven(key: TpmKey, challenge: str = "c") -> Proof:
    """What the proxy reads of a proof that the key signed."""
    token = signed(Proof(device="d", aud="https://l", challenge=challenge, iat=0), key)
    taken = server.take_apart(token, PROOF_TYPE, named=True)
    server.verify(taken, key.public)
    return server.claims_of(taken, Proof)


@needs_tpm
def test_a_key_is_made_there_signs_there_and_leaves_only_wrapped(home: Home, chip: SoftwareTpm) -> None:
    key = TpmKey.create(home, chip.tcti)
    assert proven(key, "sealed").challenge == "sealed"
    assert sorted(path.name for path in home.path.iterdir()) == [tpm.PRIVATE, tpm.PUBLIC]
    assert b"PRIVATE KEY" not in home.read(tpm.PRIVATE)
    assert {path.stat().st_mode & 0o777 for path in home.path.iterdir()} == {0o600}


@needs_tpm
def test_the_key_outlives_the_agent_and_a_reboot(home: Home, chip: SoftwareTpm) -> None:
    made = TpmKey.create(home, chip.tcti)
    assert TpmKey(home, chip.tcti).public == made.public
    chip.restart()
    proven(made)
    proven(TpmKey(home, chip.tcti))


@needs_tpm
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(challenge=st.text(max_size=200))
def test_every_signature_is_one_the_proxy_takes(home: Home, chip: SoftwareTpm, challenge: str) -> None:
    key = TpmKey(home, chip.tcti) if home.exists(tpm.PUBLIC) else TpmKey.create(home, chip.tcti)
    assert proven(key, challenge).challenge == challenge


@needs_tpm
def test_the_folder_is_worth_nothing_on_another_machine(
    home: Home, chip: SoftwareTpm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    TpmKey.create(home, chip.tcti)
    with software_tpm(tmp_path_factory.mktemp("other")) as other, pytest.raises(TpmUnusable, match="tpm2_load"):
        TpmKey(home, other.tcti)


@needs_tpm
async def test_a_machine_enrols_with_it(
    home: Home, chip: SoftwareTpm, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = Wish(code="ABCD-EFGH-JKMN", name="laptop", os="linux", authorities=recorder.ca.read_text())
    async with connected(recorder.url, wish.authorities) as proxy:
        done = await enrol(home, proxy, wish, now=time.time(), environment={"TPM2TOOLS_TCTI": chip.tcti})
    assert done.warning == ""
    assert recorder.enrolments[0]["storage"] == "tpm"
    assert Memory(home).load().tcti == chip.tcti
    monkeypatch.delenv("TPM2TOOLS_TCTI", raising=False)
    key = enrolled(home).key
    token = signed(Proof(device="d", aud=recorder.url, challenge="c", iat=0), key)
    jwt.decode(token, recorder.keys[done.remembered.device], algorithms=["ES256"], audience=recorder.url)


@needs_tpm
def test_a_tpm_that_went_away_is_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(TpmUnusable, match="the TPM cannot be used"):
        TpmKey.create(home, f"swtpm:path={tmp_path}/nothing")
    assert not home.exists(tpm.PRIVATE)


# --- machines without one, which need no tools -----------------------------------------------------------------------


def test_a_machine_without_a_tpm_has_none(tmp_path: Path) -> None:
    assert interface({}, tmp_path / "tpmrm0") == ""


def test_a_tpm_without_tools_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpm, "SYSTEM_PATH", str(tmp_path))
    (tmp_path / "tpmrm0").touch()
    with pytest.raises(TpmUnusable, match="install tpm2-tools"):
        interface({}, tmp_path / "tpmrm0")


async def test_without_one_the_key_is_in_a_file_and_one_is_told_why(
    home: Home, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tpm, "SYSTEM_PATH", str(tmp_path))  # no tools
    async with connected(recorder.url, recorder.ca.read_text()) as proxy:
        wish = Wish(code="ABCD-EFGH-JKMN", name="laptop", os="linux")
        done = await enrol(home, proxy, wish, now=time.time(), environment={"TPM2TOOLS_TCTI": "device:/dev/tpm0"})
        assert done.remembered.storage == "file"
        assert "tpm2-tools" in done.warning
        wanted = Wish(code="ABCD-EFGH-JKMN", name="laptop", os="linux", storage="tpm", replace=True)
        with pytest.raises(TpmUnusable):
            await enrol(home, proxy, wanted, now=time.time(), environment={"TPM2TOOLS_TCTI": "device:/dev/tpm0"})
