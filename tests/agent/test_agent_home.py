"""The agent's folder and its key: private, whole, for one agent at a time."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.agent.errors import AgentError
from proxy.agent.home import Busy, Home, usual_folder
from proxy.agent.keys import FILE, FileKey, raw
from proxy.agent.memory import Memory, Remembered
from proxy.agent.statement import signed
from proxy.devices import jws as server
from proxy.devices.errors import DeviceRefused
from proxy.model.report import ENROL_TYPE, REPORT_TYPE, SEQ_AHEAD, Enrolment, Report


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "deep" / "state")


def test_a_key_is_made_private_and_found_again(home: Home) -> None:
    made = FileKey.create(home)
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert (home.path / FILE).stat().st_mode & 0o777 == 0o600
    assert FileKey.load(home).public == made.public
    assert [path.name for path in home.path.iterdir()] == [FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_key_that_others_may_open_is_not_used(home: Home, mode: int) -> None:
    FileKey.create(home)
    (home.path / FILE).chmod(mode)
    with pytest.raises(AgentError, match="chmod 600"):
        FileKey.load(home)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o711, 0o777])
def test_a_folder_that_others_may_enter_is_not_used(home: Home, mode: int) -> None:
    FileKey.create(home)
    home.path.chmod(mode)
    with pytest.raises(AgentError, match="chmod 700"):
        FileKey.load(home)
    with pytest.raises(AgentError, match="chmod 700"):
        FileKey.create(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_not_used(home: Home) -> None:
    FileKey.create(home)
    os.chown(home.path / FILE, 12345, 12345)
    with pytest.raises(AgentError, match="another user"):
        FileKey.load(home)


def test_a_link_in_the_place_of_the_key_is_not_followed(home: Home, tmp_path: Path) -> None:
    FileKey.create(home)
    (home.path / FILE).rename(tmp_path / "elsewhere")
    (home.path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AgentError):
        FileKey.load(home)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no key",
        b"x" * (2 << 20),
        _pem(ec.generate_private_key(ec.SECP384R1())),
        _pem(rsa.generate_private_key(65537, 2048)),
    ],
    ids=["empty", "text", "endless", "P-384", "RSA"],
)
def test_what_is_no_key_of_ours_is_refused(home: Home, content: bytes) -> None:
    home.write(FILE, content)
    with pytest.raises(AgentError):
        FileKey.load(home)


def test_a_write_that_fails_leaves_the_old_content(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write("device.json", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AgentError, match="No space"):
        home.write("device.json", b"new")
    monkeypatch.undo()
    assert home.read("device.json") == b"old"
    assert [path.name for path in home.path.iterdir()] == ["device.json"]


def _hold(path: str, ready: object, go: object) -> None:
    with Home(Path(path)).lock():
        ready.set()  # type: ignore[attr-defined]  # an event of multiprocessing, which has no public type
        go.wait(30)  # type: ignore[attr-defined]  # the same


def test_two_agents_at_once_are_one_too_many(home: Home) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(home.path), ready, go))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(Busy, match="another agent"), home.lock():
            pass
    finally:
        go.set()
        other.join()
    with home.lock():
        pass


def test_what_is_remembered_is_damaged_or_missing(home: Home) -> None:
    home.make()
    with pytest.raises(AgentError, match="not enrolled"):
        Memory(home).load()
    for damage in (b"", b"{", b"[]", b'{"device": 1}'):
        home.write("device.json", damage)
        with pytest.raises(AgentError, match="--replace"):
            Memory(home).load()


@settings(max_examples=25)  # each writes to the disk
@given(st.lists(st.integers(2_000_000_000, 2_000_000_000 + SEQ_AHEAD), max_size=6))
def test_numbers_only_grow(tmp_path_factory: pytest.TempPathFactory, clock: list[int]) -> None:
    memory = Memory(Home(tmp_path_factory.mktemp("seq") / "state"))
    memory.save(Remembered(device="d", login="https://l", name="n", storage="file", enrolled=0.0, interval=60.0))
    numbers = [memory.next_seq(float(now)) for now in clock]
    assert numbers == sorted(set(numbers))


def test_the_folder_is_where_the_system_keeps_state() -> None:
    assert usual_folder({"XDG_STATE_HOME": "/x"}, "linux") == Path("/x/ostiary")
    assert usual_folder({"XDG_STATE_HOME": "relative"}, "linux") == Path.home() / ".local/state/ostiary"
    assert usual_folder({"LOCALAPPDATA": "/c/AppData"}, "win32") == Path("/c/AppData/ostiary")


# --- what it signs, as the proxy reads it ----------------------------------------------------------------------------


@given(name=st.text(min_size=1, max_size=64), now=st.integers(0, 2**40))
def test_the_proxy_reads_what_the_agent_signs(name: str, now: int) -> None:
    key = FileKey(ec.derive_private_key(now + 1, ec.SECP256R1()))
    wish = Enrolment(code="c", aud="https://l", iat=now, key=key.public, name=name, os="linux")
    taken = server.take_apart(signed(wish, key), ENROL_TYPE, named=False)
    server.verify(taken, key.public)
    assert server.claims_of(taken, Enrolment) == wish
    report = Report(device="d", aud="https://l", nonce="n", seq=1, iat=now, attributes={"os": "linux", "custom.x": 1.5})
    token = signed(report, key)
    taken = server.take_apart(token, REPORT_TYPE, named=True)
    server.verify(taken, key.public)
    assert server.claims_of(taken, Report) == report
    with pytest.raises(DeviceRefused):
        server.take_apart(token, ENROL_TYPE, named=False)


def test_a_signature_has_64_bytes_whatever_its_numbers() -> None:
    assert raw(encode_dss_signature(1, 2)) == bytes(31) + b"\1" + bytes(31) + b"\2"
    with pytest.raises(ValueError, match="P-256"):
        raw(encode_dss_signature(1 << 256, 1))
