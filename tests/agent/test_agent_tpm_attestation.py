"""What a TPM answers, through the commands that are used with one in hardware, to what the proxy asks; and what it does
not answer to whoever would have a key of software taken for one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from device_tpm import Maker
from hypothesis import given
from hypothesis import strategies as st
from software_tpm import SoftwareTpm, software_tpm

from proxy.agent.endorsement import Endorsement, endorsement, read_secret, split
from proxy.agent.home import Home
from proxy.agent.tpm import TpmKey, TpmUnusable
from proxy.devices.endorsement import Authorities
from proxy.devices.errors import DeviceRefused
from proxy.devices.tpm import make_credential, signing_key

needs_tpm = pytest.mark.tpm
NOW = 1_800_000_000.0
SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path_factory.mktemp("tpm"), certified=True) as one:
        yield one


@pytest.fixture
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    """A TPM in which its maker left nothing."""
    with software_tpm(tmp_path_factory.mktemp("bare")) as one:
        yield one


@pytest.fixture
def key(tmp_path: Path, chip: SoftwareTpm) -> TpmKey:
    return TpmKey.create(Home(tmp_path / "state"), chip.tcti)


def answer(key: TpmKey, shown: Endorsement, authorities: Authorities, name: bytes | None = None) -> bytes:
    """What the TPM reads of what the proxy encrypts for it."""
    trusted = authorities.endorsement(shown.certificate, shown.between, NOW)
    asked = make_credential(trusted.key, name or signing_key(key.public_area()).name, SECRET)
    return read_secret(key, shown.kind, asked.blob, asked.secret)


@needs_tpm
def test_the_tpm_reads_the_secret_also_after_a_reboot(chip: SoftwareTpm, key: TpmKey) -> None:
    authorities = Authorities.of_pem(chip.authorities.read_bytes())
    shown = endorsement(key)
    assert shown.kind == "rsa"
    assert answer(key, shown, authorities) == SECRET
    chip.restart()
    assert answer(key, shown, authorities) == SECRET


@needs_tpm
def test_an_endorsement_key_on_a_curve_with_certificates_between(bare: SoftwareTpm, tmp_path: Path) -> None:
    root = Maker("Root")
    between = [Maker("Middle", root)]
    between.append(Maker("Low", between[0]))
    bare.run("tpm2_createek", "-c", "ek.ctx", "-G", "ecc", "-u", "ek.pem", "-f", "pem")
    public = load_pem_public_key((bare.folder / "ek.pem").read_bytes())
    bare.store(0x01C0000A, between[1].certify(public).public_bytes(Encoding.DER) + bytes(100))
    for index, each in enumerate(between):
        bare.store(0x01C00100 + index, each.der)
    key = TpmKey.create(Home(tmp_path / "curve"), bare.tcti)
    shown = endorsement(key)
    assert (shown.kind, len(shown.between)) == ("ecc", 2)
    assert answer(key, shown, Authorities([root.certificate])) == SECRET


@needs_tpm
def test_a_tpm_without_a_certificate_or_with_that_of_another(bare: SoftwareTpm, tmp_path: Path) -> None:
    key = TpmKey.create(Home(tmp_path / "bare"), bare.tcti)
    with pytest.raises(TpmUnusable, match="no certificate by its maker"):
        endorsement(key)
    other = Maker().certify(ec.generate_private_key(ec.SECP256R1()).public_key())
    bare.store(0x01C00002, other.public_bytes(Encoding.DER))
    with pytest.raises(TpmUnusable, match="not of the endorsement key that it makes"):
        endorsement(key)


@needs_tpm
def test_another_tpm_and_another_key_read_nothing(chip: SoftwareTpm, key: TpmKey, bare: SoftwareTpm, tmp_path: Path):
    shown = endorsement(key)
    authorities = Authorities.of_pem(chip.authorities.read_bytes())
    for other in (TpmKey.create(Home(tmp_path / "a"), bare.tcti), TpmKey.create(Home(tmp_path / "b"), chip.tcti)):
        with pytest.raises(TpmUnusable, match="tpm2_activatecredential"):
            answer(other, shown, authorities, signing_key(key.public_area()).name)


@needs_tpm
def test_a_key_of_software_cannot_be_brought_into_a_genuine_tpm(chip: SoftwareTpm, key: TpmKey) -> None:
    """With its private part the TPM takes no key that says it is fixed; without, it answers for none."""
    chip.run("tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub")
    (chip.folder / "claims.pub").write_bytes(len(key.public_area()).to_bytes(2) + key.public_area())
    loaded = chip.run("tpm2_loadexternal", "-C", "n", "-u", "claims.pub", "-c", "claims.ctx", "-n", "claims.name")
    assert loaded.returncode == 0
    (chip.folder / "secret").write_bytes(SECRET)
    name = (chip.folder / "claims.name").read_bytes().hex()
    chip.run("tpm2_makecredential", "-u", "ek.pub", "-s", "secret", "-n", name, "-o", "credential")
    chip.run("tpm2_startauthsession", "--policy-session", "-S", "session")
    chip.run("tpm2_policysecret", "-S", "session", "-c", "e")
    answered = chip.run(
        *("tpm2_activatecredential", "-c", "claims.ctx", "-C", "ek.ctx", "-P", "session:session"),
        *("-i", "credential", "-o", "read"),
    )
    chip.run("tpm2_flushcontext", "session")
    assert b"authValue or authPolicy is not available" in answered.stderr
    assert not (chip.folder / "read").exists()

    private = ec.generate_private_key(ec.SECP256R1())
    traditional = PrivateFormat.TraditionalOpenSSL
    (chip.folder / "mine.pem").write_bytes(private.private_bytes(Encoding.PEM, traditional, NoEncryption()))
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign"
    brought = chip.run(
        *("tpm2_loadexternal", "-C", "n", "-G", "ecc", "-r", "mine.pem", "-c", "mine.ctx", "-a", attributes)
    )
    assert brought.returncode != 0
    assert b"inconsistent attributes" in brought.stderr


@needs_tpm
@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ("sensitivedataorigin|userwithauth|noda|sign", "fixedTPM, fixedParent"),
        ("fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign|decrypt", "needs not"),
        ("fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign|restricted", "needs not"),
    ],
)
def test_keys_of_a_tpm_that_may_leave_it_or_do_more(chip: SoftwareTpm, attributes: str, why: str) -> None:
    chip.run("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc256", "-c", "primary")
    scheme = "ecc256" if "decrypt" in attributes else "ecc256:ecdsa-sha256:null"
    made = chip.run(
        *("tpm2_create", "-C", "primary", "-G", scheme, "-a", attributes, "-u", "loose.pub", "-r", "loose.priv")
    )
    assert made.returncode == 0, made.stderr
    with pytest.raises(DeviceRefused, match=why):
        signing_key((chip.folder / "loose.pub").read_bytes()[2:])


@given(st.binary(max_size=64), st.integers(256, 600), st.integers(1, 3))
def test_certificates_one_after_another_and_what_fills_the_rest(rest: bytes, size: int, count: int) -> None:
    one = b"\x30\x82" + size.to_bytes(2) + bytes(size)
    assert split(one * count + b"\xff" + rest) == [one] * count
    assert split(one[:-1]) == []
