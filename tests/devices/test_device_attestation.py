"""A TPM vouches for a device's key; and everybody who says so without one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_people import LOGIN, NOON, Laptop, World, b64, certificate
from device_tpm import RSA, RSA_OTHER, SIGNING, Attester, Maker, Tpm, name_of, public_area
from hypothesis import given
from hypothesis import strategies as st

from proxy.devices import administering
from proxy.devices.endorsement import Authorities
from proxy.devices.errors import DeviceRefused
from proxy.devices.tpm import signing_key
from proxy.model.device import Assurance, Binding, Bound, Device
from proxy.settings import schema

_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture
async def attester(world: World, maker: Maker) -> Attester:
    return Attester(world, await world.enrolled(storage="tpm"), maker)


def known(world: World, laptop: Laptop, binding: Binding = "agent") -> Device:
    found = world.devices.facts(Bound(device=laptop.id, binding=binding), None)
    assert found is not None
    return found


def assurance(device: Device, *names: str) -> set[Assurance]:
    return {device.attributes[name].assurance for name in names}


# --- what it is worth


@pytest.mark.parametrize("endorsement", [RSA, ec.generate_private_key(ec.SECP256R1())], ids=["RSA", "P-256"])
async def test_what_an_attested_device_says_is_attested(world: World, maker: Maker, endorsement: Any) -> None:
    laptop = await world.enrolled(storage="tpm")
    await world.reported(laptop)
    assert assurance(known(world, laptop), "disk_encrypted") == {Assurance.SELF_REPORTED}
    attester = Attester(world, laptop, maker, Tpm(endorsement))
    assert await attester.attest() == "CN=Maker"
    assert assurance(known(world, laptop), "disk_encrypted", "id") == {Assurance.ATTESTED}
    assert assurance(known(world, laptop), "approved", "last_seen") == {Assurance.MANAGED}
    voucher = (await world.store.get(laptop.id)).voucher
    assert voucher.at == world.now
    assert len(bytes.fromhex(voucher.certificate)) == 32


async def test_only_the_proof_of_that_very_key_makes_it_so(world: World, attester: Attester) -> None:
    laptop = attester.laptop
    await world.reported(laptop)
    await attester.attest()
    assert assurance(known(world, laptop, "provider"), "disk_encrypted") == {Assurance.SELF_REPORTED}
    shown = certificate()
    await administering.tag(world.store, laptop.id, certificate=shown.sha256)
    await world.devices.changed(laptop.id, world.now)
    fingerprints = schema.Devices(certificates=schema.DeviceCertificates(by="fingerprint"))
    world.devices.reconfigure(fingerprints, LOGIN)
    found = world.devices.facts(Bound(device=laptop.id, binding="agent"), shown)
    assert found.binding == "certificate"
    assert assurance(found, "disk_encrypted") == {Assurance.SELF_REPORTED}


async def test_an_authority_that_is_trusted_no_longer_vouches_for_nobody(world: World, attester: Attester) -> None:
    await world.reported(attester.laptop)
    await attester.attest()
    world.devices.trust(Authorities())
    assert assurance(known(world, attester.laptop), "disk_encrypted", "id") <= {
        Assurance.SELF_REPORTED,
        Assurance.MANAGED,
    }
    world.devices.trust(Authorities([attester.maker.certificate]))
    assert assurance(known(world, attester.laptop), "disk_encrypted") == {Assurance.ATTESTED}


async def test_the_agent_is_told_whether_to_ask_its_tpm(world: World, maker: Maker) -> None:
    async def told(laptop: Laptop) -> bool:
        nonce = await world.devices.nonce(laptop.id, world.now)
        return (await world.devices.report(laptop.report(nonce, world.now), world.now)).attest

    early, file = await world.enrolled(storage="tpm"), await world.enrolled()
    assert not await told(early)
    attester = Attester(world, early, maker)
    assert await told(early)
    assert not await told(file)
    await attester.attest()
    assert not await told(early)


async def test_a_device_that_was_attested_may_be_again_and_a_removed_one_may_not(attester: Attester) -> None:
    await attester.attest()
    await attester.attest()
    asked = await attester.ask()
    secret = attester.tpm.activate(asked, name_of(attester.public))
    await attester.world.devices.revoke(attester.laptop.id, NOON)
    with pytest.raises(DeviceRefused, match="removed"):
        await attester.answer(asked, secret)


# --- attacks


async def test_where_no_authority_is_trusted_nothing_is_asked(world: World, attester: Attester) -> None:
    world.devices.trust(Authorities())
    with pytest.raises(DeviceRefused, match="tpm_authorities is not set"):
        await attester.ask()


async def test_a_key_of_software_with_a_genuine_tpm_beside_it(world: World, attester: Attester) -> None:
    """The public area is well written, the TPM is genuine, but it does not hold the key."""
    attester.tpm.holds.clear()
    asked = await attester.ask()
    with pytest.raises(PermissionError):
        attester.tpm.activate(asked, name_of(attester.public))
    with pytest.raises(DeviceRefused, match="did not read the secret"):
        await attester.answer(asked, bytes(32))
    assert (await world.store.get(attester.laptop.id)).voucher is None


async def test_another_key_of_that_tpm_does_not_read_the_secret(attester: Attester) -> None:
    other = attester.tpm.make(Laptop())
    with pytest.raises(PermissionError, match="INTEGRITY"):
        attester.tpm.activate(await attester.ask(), name_of(other))


async def test_the_certificate_of_another_tpm(attester: Attester) -> None:
    attester.certificate = attester.maker.certify(RSA_OTHER.public_key()).public_bytes(Encoding.DER)
    with pytest.raises(PermissionError):
        attester.tpm.activate(await attester.ask(), name_of(attester.public))


async def test_the_public_area_of_another_key(attester: Attester) -> None:
    with pytest.raises(DeviceRefused, match="not the one it is enrolled with"):
        await attester.ask(public=b64(public_area(Laptop())))


async def test_an_answer_counts_once_from_its_device_and_in_time(world: World, attester: Attester) -> None:
    asked = await attester.ask()
    secret = attester.tpm.activate(asked, name_of(attester.public))
    thief = Attester(world, await world.enrolled(storage="tpm"), attester.maker)
    with pytest.raises(DeviceRefused, match="for something else"):
        await thief.answer(asked, secret)
    await attester.answer(asked, secret)
    with pytest.raises(DeviceRefused, match="used before"):
        await attester.answer(asked, secret)
    late = await attester.ask()
    world.now += 301
    with pytest.raises(DeviceRefused, match="older than 5 minutes"):
        await attester.answer(late, attester.tpm.activate(late, name_of(attester.public)))


async def test_one_guess_uses_the_state_up(attester: Attester) -> None:
    asked = await attester.ask()
    for guess, why in ((b"", "did not read"), (attester.tpm.activate(asked, name_of(attester.public)), "used before")):
        with pytest.raises(DeviceRefused, match=why):
            await attester.answer(asked, guess)


async def test_a_nonce_is_used_once_and_no_statement_passes_for_another(world: World, attester: Attester) -> None:
    nonce = await world.devices.nonce(attester.laptop.id, world.now)
    said = attester.said(nonce)
    await world.devices.attest(said, world.now)
    with pytest.raises(DeviceRefused, match="used before"):
        await world.devices.attest(said, world.now)
    for take in (world.devices.activate, world.devices.report):
        with pytest.raises(DeviceRefused, match="typ must be"):
            await take(said, world.now)


async def test_an_authority_is_removed_while_the_tpm_thinks(world: World, attester: Attester) -> None:
    asked = await attester.ask()
    world.devices.trust(Authorities([Maker("Other").certificate]))
    with pytest.raises(DeviceRefused, match="begin again"):
        await attester.answer(asked, attester.tpm.activate(asked, name_of(attester.public)))


@pytest.mark.parametrize("changes", [{"certificate": "*"}, {"public": "é"}, {"public": "A"}, {"certificate": ""}])
async def test_what_is_not_base64url_or_no_certificate(attester: Attester, changes: dict[str, str]) -> None:
    with pytest.raises(DeviceRefused, match=r"base64url|cannot be read"):
        await attester.ask(**changes)


# --- certificates


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        ({"ends": -_DAY / 2}, "not valid now"),
        ({"begins": _DAY}, "not valid now"),
        ({"ca": True}, "that of an authority"),
        ({"usage": "key_cert_sign"}, "that of an authority"),
        ({"usage": "digital_signature"}, "key usage"),
        ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "2.23.133.8.1"),
        ({"strange": True}, "critical extension"),
    ],
)
async def test_a_certificate_that_is_none_of_an_endorsement_key(
    attester: Attester, wishes: dict[str, Any], why: str
) -> None:
    attester.certificate = attester.maker.certify(RSA.public_key(), **wishes).public_bytes(Encoding.DER)
    with pytest.raises(DeviceRefused, match=why):
        await attester.ask()


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP384R1())], ids=["RSA 1024", "P-384"]
)
async def test_an_endorsement_key_of_another_kind(attester: Attester, key: Any) -> None:
    attester.certificate = attester.maker.certify(key.public_key()).public_bytes(Encoding.DER)
    with pytest.raises(DeviceRefused, match="neither RSA 2048 nor P-256"):
        await attester.ask()


async def test_authorities_that_are_not_trusted(attester: Attester) -> None:
    """One that has the name of the trusted, one that signs its own, one cut short, one with something behind it."""
    forger = Maker("Maker")
    genuine = attester.certificate
    forged = forger.certify(RSA.public_key()).public_bytes(Encoding.DER)
    for der, between, why in (
        (forged, (), "not by an authority that is trusted"),
        (forged, (forger.der,), "not by an authority that is trusted"),
        (forger.der, (), "that of an authority"),
        (genuine[:-1], (), "cannot be read"),
        (genuine + b"\0", (), "cannot be read"),
        (genuine + bytes(9000), (), "too long"),
        (genuine, (forger.der,) * 6, "more than 5"),
    ):
        with pytest.raises(DeviceRefused, match=why):
            await attester.ask(certificate=b64(der), between=[b64(each) for each in between])


async def test_certificates_between_count_as_far_as_they_may(world: World, attester: Attester) -> None:
    root = Maker("Root", below=1)
    middle = Maker("Middle", root)
    world.devices.trust(Authorities([root.certificate]))

    async def asked(issuer: Maker, *between: Maker) -> None:
        leaf = issuer.certify(RSA.public_key()).public_bytes(Encoding.DER)
        await attester.ask(certificate=b64(leaf), between=[b64(each.der) for each in between])

    await asked(middle, middle)
    lower = Maker("Lower", middle)
    for issuer, between in (
        (middle, ()),
        (lower, (lower, middle)),  # deeper than the root allows
        *((one, (one,)) for one in (Maker("Late", root, ends=-_DAY / 2), Maker("None", root, ca=False))),
        *((one, (one,)) for one in (Maker("Odd", root, strange=True), Maker("Signs", root, usage="crl_sign"))),
    ):
        with pytest.raises(DeviceRefused, match="not by an authority that is trusted"):
            await asked(issuer, *between)


# --- public areas


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        *(({"attributes": SIGNING & ~(1 << bit)}, name) for bit, name in ((1, "fixedTPM"), (4, "fixedParent"))),
        *(({"attributes": SIGNING & ~(1 << bit)}, name) for bit, name in ((5, "sensitiveDataOrigin"), (18, "sign"))),
        ({"attributes": SIGNING & ~(1 << 6)}, "userWithAuth"),
        ({"attributes": SIGNING | 1 << 17}, "needs not"),  # decrypt
        ({"attributes": SIGNING | 1 << 11}, "needs not"),  # encryptedDuplication
        ({"attributes": SIGNING | 1}, "needs not"),  # reserved
        ({"type": b"\x00\x01"}, "not an ECC key"),
        ({"name_alg": b"\x00\x04"}, "not named with SHA-256"),
        ({"policy": b"\x00\x01\x00"}, "policy"),
        ({"policy": b"\xff\xff"}, "at most 64"),
        ({"symmetric": b"\x00\x06"}, "more than signing"),
        ({"scheme": b"\x00\x1a\x00\x0b"}, "ECDSA"),
        ({"scheme": b"\x00\x10"}, "ECDSA"),
        ({"curve": b"\x00\x04"}, "P-256"),
        ({"kdf": b"\x00\x20"}, "more than signing"),
        ({"x": b"\0\x21" + bytes(33)}, "at most 32"),
    ],
)
def test_a_public_area_that_will_not_do(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(DeviceRefused, match=why):
        signing_key(public_area(Laptop(), **changes))


def test_a_public_area_cut_anywhere_or_with_more_behind_it() -> None:
    public = public_area(Laptop())
    for end in range(len(public)):
        with pytest.raises(DeviceRefused):
            signing_key(public[:end])
    for more in (b"\0", bytes(600)):
        with pytest.raises(DeviceRefused, match=r"after its end|too long"):
            signing_key(public + more)


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_or_read_never_more(data: bytes) -> None:
    with pytest.raises(DeviceRefused):
        signing_key(data)


_SAMPLE = public_area(Laptop())


@given(st.integers(0, len(_SAMPLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_gives_another_name(at: int, value: int) -> None:
    changed = _SAMPLE[:at] + bytes((value,)) + _SAMPLE[at + 1 :]
    try:
        read = signing_key(changed)
    except DeviceRefused:
        return
    assert (read == signing_key(_SAMPLE)) is (changed == _SAMPLE)


@given(st.binary(max_size=600))
def test_any_bytes_for_a_certificate(data: bytes) -> None:
    with pytest.raises(DeviceRefused):
        Authorities().endorsement(data, [], NOON)
