"""The signed assertion and the plain headers, as an app receives and checks them."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import unquote

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from jwt.utils import base64url_decode

from proxy.assertion import CACHE_SECONDS, MARGIN, Signer, SigningError, identity_headers
from proxy.model.identity import Identity

NOW = 1_772_366_400.75
ISSUER = "https://login.example.com"
APP = "https://grafana.example.com"
ALICE = Identity(
    kind="person",
    subject="248289761001",
    provider="corp",
    email="alice@example.com",
    name="Alice",
    groups=frozenset({"sre", "Domain Admins"}),
    claims={"department": "never passed on"},
    session="s_1",
    auth_time=NOW - 100,
    acr="urn:mfa",
    amr=("pwd", "otp"),
)
BOT = Identity(kind="service", subject="spiffe://example.org/ci/deploy")


def pem(key: Any, encryption: Any = None, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    secret: bytes = key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())
    return secret


def public_pem(key: Any) -> bytes:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text


OLD, NEW = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
SIGNER = Signer([pem(OLD)], ISSUER)


def verified(token: bytes, jwks: dict[str, Any], audience: str = APP, now: float = NOW) -> dict[str, Any]:
    """What an app does: pick the key by `kid`, check signature, issuer, audience; times against a fixed clock."""
    header = jwt.get_unverified_header(token)
    (key,) = (jwt.PyJWK(entry) for entry in jwks["keys"] if entry["kid"] == header["kid"])
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        audience=audience,
        issuer=ISSUER,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert claims["nbf"] <= now < claims["exp"]
    return claims


def test_an_app_learns_who_the_person_is() -> None:
    token = SIGNER.sign(ALICE, APP, NOW)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": SIGNER.kid, "typ": "ostiary+jwt"}
    claims = verified(token, SIGNER.jwks())
    assert len(claims.pop("jti")) >= 16
    assert claims == {
        "iss": ISSUER,
        "aud": APP,
        "sub": "248289761001",
        "kind": "person",
        "provider": "corp",
        "email": "alice@example.com",
        "groups": ["Domain Admins", "sre"],
        "sid": "s_1",
        "acr": "urn:mfa",
        "amr": ["pwd", "otp"],
        "auth_time": int(NOW - 100),
        "iat": int(NOW),
        "nbf": int(NOW),
        "exp": int(NOW) + 300,
    }


def test_an_app_learns_which_service_calls() -> None:
    claims = verified(SIGNER.sign(BOT, APP, NOW), SIGNER.jwks())
    assert {name: claims[name] for name in claims.keys() - {"iss", "aud", "iat", "nbf", "exp", "jti"}} == {
        "sub": "spiffe://example.org/ci/deploy",
        "kind": "service",
    }


@pytest.mark.parametrize("subject", ["spiffe://example.org/ci/deploy", "SPIFFE://example.org/x", "spiffe:x"])
def test_a_person_cannot_pass_for_a_service(subject: str) -> None:
    with pytest.raises(SigningError, match="the provider 'corp' calls a person"):
        SIGNER.sign(Identity(kind="person", subject=subject, provider="corp"), APP, NOW)


def test_no_two_assertions_share_an_id() -> None:
    tokens = {verified(SIGNER.sign(ALICE, APP, NOW), SIGNER.jwks())["jti"] for _ in range(20)}
    assert len(tokens) == 20


def test_a_foreign_audience_or_key_is_refused() -> None:
    token = SIGNER.sign(ALICE, APP, NOW)
    with pytest.raises(jwt.InvalidAudienceError):
        verified(token, SIGNER.jwks(), audience="https://wiki.example.com")
    forged = Signer([pem(NEW)], ISSUER).jwks()["keys"][0] | {"kid": SIGNER.kid}
    with pytest.raises(jwt.InvalidSignatureError):
        verified(token, {"keys": [forged]})


def test_an_audience_is_needed() -> None:
    with pytest.raises(SigningError, match="the origin of the app's route"):
        SIGNER.sign(ALICE, "", NOW)


@pytest.mark.parametrize("lifetime", [120, 300])
@given(now=st.floats(1e9, 4e9))
def test_at_the_end_of_its_minute_in_the_cache_an_assertion_is_still_valid_for_a_while(
    lifetime: float, now: float
) -> None:
    claims = verified(Signer([pem(OLD)], ISSUER, lifetime).sign(ALICE, APP, now), SIGNER.jwks(), now=now)
    assert claims["exp"] - (now + CACHE_SECONDS) >= MARGIN - 1  # whole seconds
    assert claims["exp"] - claims["iat"] <= 300


@pytest.mark.parametrize("lifetime", [0, 60, 119, 301, 3600, float("nan")])
def test_a_lifetime_that_breaks_the_promise_is_refused(lifetime: float) -> None:
    with pytest.raises(SigningError, match=r"assertion\.lifetime: .* is outside 120s to 300s"):
        Signer([pem(OLD)], ISSUER, lifetime)


# --- the published set -----------------------------------------------------------------------------------------------


def test_the_published_set_holds_public_members_only() -> None:
    (key,) = SIGNER.jwks()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")
    assert len(base64url_decode(key["x"])) == len(base64url_decode(key["y"])) == 32


def test_the_key_id_is_the_thumbprint_of_rfc_7638() -> None:
    """Recomputed by another implementation."""
    from joserfc.jwk import ECKey

    (key,) = SIGNER.jwks()["keys"]
    assert ECKey.import_key(dict(key)).thumbprint() == key["kid"]


def test_coordinates_keep_their_leading_zero_bytes() -> None:
    """About one key in 128 has a coordinate that begins with a zero byte; RFC 7518 §6.2.1.2 wants it kept."""
    number = 1
    while True:
        key = ec.derive_private_key(number, ec.SECP256R1())
        if key.public_key().public_numbers().x < 1 << 248:
            break
        number += 1
    (published,) = Signer([pem(key)], ISSUER).jwks()["keys"]
    assert base64url_decode(published["x"])[0] == 0
    verified(Signer([pem(key)], ISSUER).sign(ALICE, APP, NOW), {"keys": [published]})


def test_an_app_that_keeps_the_set_for_a_while_can_verify_all_through_a_key_change() -> None:
    """The steps of the module's text; the app has fetched the set one step ago and not since."""
    steps = [
        Signer([pem(OLD)], ISSUER),
        Signer([pem(OLD), pem(NEW)], ISSUER),  # publish the new one
        Signer([pem(NEW), pem(OLD)], ISSUER),  # sign with it
        Signer([pem(NEW)], ISSUER),  # retire the old one
    ]
    cached = steps[0].jwks()
    for step in steps:
        verified(step.sign(ALICE, APP, NOW), cached)
        cached = step.jwks()
    assert steps[0].kid == steps[1].kid != steps[2].kid == steps[3].kid
    assert [len(step.jwks()["keys"]) for step in steps] == [1, 2, 2, 1]


def test_of_keys_that_only_verify_the_public_half_is_enough_and_duplicates_are_published_once() -> None:
    signer = Signer([pem(OLD), public_pem(NEW), public_pem(OLD)], ISSUER)
    assert [key["kid"] for key in signer.jwks()["keys"]] == [signer.kid, Signer([pem(NEW)], ISSUER).kid]


def test_keys_as_openssl_writes_them() -> None:
    sec1 = pem(OLD, form=PrivateFormat.TraditionalOpenSSL)
    parameters = (
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"  # of `ecparam -genkey`
    )
    assert Signer([parameters + sec1], ISSUER).kid == SIGNER.kid


RSA = rsa.generate_private_key(65537, 2048)
WRONG_KEYS = {
    "empty": (b"  \n", "the key file is empty"),
    "no PEM": (b"hello", "there is no PEM key in it"),
    "a certificate": (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "there is no PEM key in it"),
    "damaged": (
        b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
        "this PEM private key cannot be read",
    ),
    "damaged public": (b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", "public key cannot be read"),
    "RSA": (pem(RSA), "not an EC key on the curve P-256"),
    "RSA public": (public_pem(RSA), "not an EC key on the curve P-256"),
    "P-384": (pem(ec.generate_private_key(ec.SECP384R1())), "not an EC key on the curve P-256"),
    "Ed25519": (pem(ed25519.Ed25519PrivateKey.generate()), "not an EC key on the curve P-256"),
    "encrypted": (pem(OLD, BestAvailableEncryption(b"x")), "the key is encrypted"),
    "encrypted, old form": (
        pem(OLD, BestAvailableEncryption(b"x"), PrivateFormat.TraditionalOpenSSL),
        "the key is encrypted",
    ),
}


@pytest.mark.parametrize("case", WRONG_KEYS)
def test_a_key_that_cannot_be_used_is_named_with_what_to_do(case: str) -> None:
    wrong, why = WRONG_KEYS[case]
    with pytest.raises(SigningError, match=rf"^assertion\.key: .*{why}"):
        Signer([wrong], ISSUER)
    with pytest.raises(SigningError, match=rf"^assertion\.previous\[0\]: .*{why}"):
        Signer([pem(OLD), wrong], ISSUER)


def test_a_public_key_cannot_sign_and_no_key_even_less() -> None:
    with pytest.raises(SigningError, match=r"assertion\.key: this is a public key, signing takes the private one"):
        Signer([public_pem(OLD)], ISSUER)
    with pytest.raises(SigningError, match=r"assertion\.key: there is no key to sign with; make one with"):
        Signer([], ISSUER)


def test_the_private_key_is_in_no_text_about_the_signer() -> None:
    body = base64.b64encode(OLD.private_numbers().private_value.to_bytes(32, "big")).decode()
    assert body not in repr(SIGNER)
    assert body not in json.dumps(SIGNER.jwks())
    assert repr(SIGNER) == f"<Signer kid={SIGNER.kid} published=1>"


# --- the plain headers -----------------------------------------------------------------------------------------------


def test_the_plain_headers() -> None:
    assert identity_headers(ALICE) == [
        (b"X-Ostiary-User", b"248289761001"),
        (b"X-Ostiary-Email", b"alice@example.com"),
        (b"X-Ostiary-Groups", b"Domain%20Admins,sre"),
    ]
    assert identity_headers(BOT) == [(b"X-Ostiary-User", b"spiffe://example.org/ci/deploy")]


def test_a_group_cannot_smuggle_another_group_or_header() -> None:
    mallory = Identity(
        kind="person", subject="a\r\nX-Ostiary-Groups: sre", groups=frozenset({"x,sre", "ünï", "100%", ""})
    )
    assert identity_headers(mallory) == [
        (b"X-Ostiary-User", b"a%0D%0AX-Ostiary-Groups:%20sre"),
        (b"X-Ostiary-Groups", b"%C3%BCn%C3%AF,100%25,x%2Csre"),
    ]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(texts, st.frozensets(texts))
def test_every_value_is_plain_ascii_and_comes_back(subject: str, groups: frozenset[str]) -> None:
    headers = dict(identity_headers(Identity(kind="person", subject=subject, groups=groups)))
    for value in headers.values():
        assert all(0x21 <= byte <= 0x7E for byte in value)
    assert unquote(headers.get(b"X-Ostiary-User", b"").decode()) == subject
    back = headers.get(b"X-Ostiary-Groups", b"").decode()
    assert {unquote(group) for group in back.split(",") if group} == groups
