"""The public keys of passkeys: what verifies is taken, what never could, or what anybody could use, is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fido2.cose import ES256, ES384, ES512, RS256, CoseKey, EdDSA
from hypothesis import given
from hypothesis import strategies as st
from soft_passkey import SoftPasskey

from proxy.authn.factors.errors import FactorRefused
from proxy.authn.factors.passkeys import RelyingParty
from proxy.authn.factors.public_keys import check_public_key

ORIGIN = "https://login.apps.test:8443"
CHALLENGE = bytes(range(32))
PARTY = RelyingParty(ORIGIN, "login.apps.test")
P256 = dict(ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key()))
P384 = dict(ES384.from_cryptography_key(ec.generate_private_key(ec.SECP384R1()).public_key()))
P521 = dict(ES512.from_cryptography_key(ec.generate_private_key(ec.SECP521R1()).public_key()))
ED25519 = dict(EdDSA.from_cryptography_key(ed25519.Ed25519PrivateKey.generate().public_key()))
RSA = dict(RS256.from_cryptography_key(rsa.generate_private_key(65537, 2048).public_key()))
GOOD: dict[str, dict[int, Any]] = {"P-256": P256, "P-384": P384, "P-521": P521, "Ed25519": ED25519, "RSA": RSA}

_p = 2**255 - 19
_order_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"


def odd(bits: int) -> bytes:
    """A number of so many bits that may pass for a modulus."""
    return (2 ** (bits - 1) + 1).to_bytes((bits + 7) // 8)


def point(y: int, sign: int = 0) -> dict[int, Any]:
    return ED25519 | {-2: (y | sign << 255).to_bytes(32, "little")}


BAD: dict[str, dict[int, Any]] = {
    "ES256K, which is not offered": P256 | {3: -47},
    "PS256, which is not offered": RSA | {3: -37},
    "ESP256, which is not offered": P256 | {3: -9},
    "an algorithm nobody has": P256 | {3: -9999},
    "an algorithm that is a word": P256 | {3: "ES256"},
    "the point (0, 0)": P256 | {-2: bytes(32), -3: bytes(32)},
    "a point beside the curve": P256 | {-3: (int.from_bytes(P256[-3]) ^ 1).to_bytes(32)},
    "a coordinate beyond the field": P256 | {-2: b"\xff" * 32},
    "no coordinate": P256 | {-2: b""},
    "an endless coordinate": P256 | {-2: b"\xff" * 4000},
    "a compressed point": P256 | {-3: True},
    "a point without y": {key: value for key, value in P256.items() if key != -3},
    "numbers as such": P256 | {-2: 1, -3: 2},
    "P-384 said to be ES256": P384 | {3: -7},
    "P-256 said to be ES384": P256 | {3: -35},
    "P-384 (0, 0)": P384 | {-2: bytes(48), -3: bytes(48)},
    "P-521 (0, 0)": P521 | {-2: bytes(66), -3: bytes(66)},
    "an RSA key said to be of a curve": P256 | {1: 3},
    "RSA of 64 bits": RSA | {-1: odd(64)},
    "RSA of 1024 bits": RSA | {-1: odd(1024)},
    "RSA of 2047 bits": RSA | {-1: odd(2047)},
    "RSA of 16384 bits": RSA | {-1: odd(16384)},
    "small RSA behind zeros": RSA | {-1: bytes(256) + odd(64)},
    "an even modulus": RSA | {-1: bytes([128]) + bytes(255)},
    "no modulus": RSA | {-1: b""},
    "exponent 0": RSA | {-2: b""},
    "exponent 1": RSA | {-2: b"\x01"},
    "an even exponent": RSA | {-2: b"\x04"},
    "an endless exponent": RSA | {-2: b"\xff" * 300},
    "a curve's key said to be RSA": RSA | {1: 2},
    "Ed25519 of 31 bytes": ED25519 | {-2: ED25519[-2][:31]},
    "Ed25519 of another curve": ED25519 | {-1: 7},
    "Ed25519 said to be EC2": ED25519 | {1: 2},
    "no point of Ed25519": point(2),
    "Ed25519 beyond the field": point(2**255 - 2),
    "Ed25519, order 1": point(1),
    "Ed25519, order 1, another spelling": point(1, 1),
    "Ed25519, order 2": point(_p - 1),
    "Ed25519, order 4": point(0),
    "Ed25519, order 4, its other": point(0, 1),
    "Ed25519, order 8": ED25519 | {-2: bytes.fromhex(_order_8)},
    "Ed25519, order 8, another": point(_p - int.from_bytes(bytes.fromhex(_order_8), "little")),
}


@pytest.mark.parametrize("key", GOOD.values(), ids=GOOD)
def test_a_key_of_each_kind_we_ask_for_is_taken(key: dict[int, Any]) -> None:
    options = PARTY.enrolment(CHALLENGE, "corp:ann", "ann", [])
    answer = SoftPasskey().create(options, ORIGIN, public_key=CoseKey.parse(key))
    assert PARTY.enrolled(CHALLENGE, answer.encode()).credential


@pytest.mark.parametrize("key", BAD.values(), ids=BAD)
def test_one_that_cannot_verify_is_refused_when_it_is_made(key: dict[int, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        check_public_key(key)
    options = PARTY.enrolment(CHALLENGE, "corp:ann", "ann", [])
    with pytest.raises(FactorRefused):
        PARTY.enrolled(CHALLENGE, SoftPasskey().create(options, ORIGIN, public_key=key).encode())


def test_a_key_without_an_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="not asked for"):
        check_public_key({key: value for key, value in P256.items() if key != 3})


def test_every_ed25519_key_there_is_passes() -> None:
    for _ in range(50):
        check_public_key(EdDSA.from_cryptography_key(ed25519.Ed25519PrivateKey.generate().public_key()))


@given(
    st.sampled_from(list(GOOD.values())),
    st.sampled_from([1, 3, -1, -2, -3]),
    st.one_of(st.none(), st.integers(), st.booleans(), st.binary(max_size=80), st.text(max_size=5), st.just([1])),
)
def test_a_key_with_anything_in_a_member_is_taken_or_refused_and_never_fails(
    key: dict[int, Any], member: int, junk: Any
) -> None:
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        check_public_key(key | {member: junk})
