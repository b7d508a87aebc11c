"""What a provider says about a person becomes facts only when it is beyond doubt: claims.yaml, and any JSON at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.authn.claims import canonical_email, identity_from, renewed_by_userinfo, with_userinfo
from proxy.authn.device_claims import device_claims
from proxy.authn.errors import LoginRefused
from proxy.model.device import Assurance, Observation
from proxy.model.identity import Identity
from proxy.settings import schema

CASES = yaml.safe_load((Path(__file__).parent / "claims.yaml").read_text(encoding="utf-8"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["sub", "email", "email_verified", "name", "groups", "amr", "acr", "_claim_names", "hasgroups"])


def provider(**changes: Any) -> schema.Provider:
    plain = {"name": "corp", "issuer": "https://idp.example", "client_id": "c", **changes}
    return msgspec.convert(plain, schema.Provider)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_person_as_told(case: dict[str, Any]) -> None:
    claims = {"sub": "u-1", **case["claims"]}
    settings = provider(**case.get("config", {}))
    if case.get("refused"):
        with pytest.raises(LoginRefused):
            identity_from(claims, settings)
        return
    identity = identity_from(claims, settings).identity
    want = case["want"]
    assert {
        "subject": identity.subject,
        "email": identity.email,
        "name": identity.name,
        "groups": None if "groups" in identity.unknown else sorted(identity.groups),
    } == {
        "subject": want.get("subject", "u-1"),
        "email": want.get("email", ""),
        "name": want.get("name", ""),
        "groups": want.get("groups"),
    }
    assert identity.claims.get("email", "") in ("", identity.email) or "claims" in case.get("config", {})


@pytest.mark.parametrize("claims", [{"email": "boss@good.com"}, {"email": "boss@good.com", "email_verified": False}])
def test_an_unverified_address_is_not_among_the_claims_either(claims: dict[str, Any]) -> None:
    assert "email" not in identity_from({"sub": "u", **claims}, provider()).identity.claims


@given(st.dictionaries(NAMES, JSON))
def test_any_json_makes_a_sane_identity_or_none(claims: dict[str, Any]) -> None:
    try:
        identity = identity_from(claims, provider()).identity
    except LoginRefused:
        return
    assert identity.subject == claims["sub"]
    assert identity.subject.isprintable()
    assert identity.email == canonical_email(identity.email)
    assert not identity.email or claims["email_verified"] is True
    assert all(isinstance(group, str) and group.isprintable() for group in identity.groups)
    assert msgspec.json.decode(msgspec.json.encode(identity), type=Identity) == identity


@given(st.text())
def test_a_canonical_address_is_ascii_with_one_at_sign_and_stays_as_it_is(text: str) -> None:
    email = canonical_email(text)
    assert email == "" or (email.isascii() and email.count("@") == 1 and canonical_email(email) == email)


@given(st.from_regex(r"[A-Za-z0-9._+-]{1,20}@[A-Za-z0-9.-]{1,20}", fullmatch=True))
def test_likely_addresses_are_only_lower_cased(text: str) -> None:
    assert canonical_email(text) in ("", text.lower())


@given(st.dictionaries(NAMES, JSON), st.dictionaries(NAMES, JSON))
def test_userinfo_never_lends_its_verification_to_another_address(
    token: dict[str, Any], userinfo: dict[str, Any]
) -> None:
    token, userinfo = {**token, "sub": "u"}, {**userinfo, "sub": "u"}
    for merged in (with_userinfo(token, userinfo), renewed_by_userinfo(token, userinfo)):
        if "email" in merged and merged.get("email_verified") is True:
            vouched = [
                said["email"] for said in (token, userinfo) if said.get("email_verified") is True and "email" in said
            ]
            assert merged["email"] in vouched


# --- how strongly, and from what ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "mfa", "several"),
    [
        ({"amr": ["pwd", "mfa"]}, {}, True),
        ({"amr": ["pwd"]}, {}, False),
        ({}, {}, None),
        ({"amr": []}, {}, None),
        ({"amr": "mfa"}, {}, None),  # a text where a list belongs tells nothing
        ({"amr": ["mfa", 1]}, {}, None),
        ({"acr": "phr"}, {"acr": ["phr", "phrh"]}, True),
        ({"acr": "0"}, {"acr": ["phr"]}, False),
        ({"acr": ["phr"]}, {"acr": ["phr"]}, None),
        ({"acr": "phr"}, {}, None),  # the setting does not look at acr
        ({"acr": "0", "amr": ["hwk"]}, {"acr": ["phr"], "amr": ["hwk"]}, True),
        ({"amr": ["mfa"]}, {"amr": [], "acr": ["phr"]}, None),
        ({"acr": "", "amr": ["pwd"]}, {"acr": [""]}, False),
    ],
)
def test_several_factors_by_the_providers_word(claims: dict[str, Any], mfa: dict[str, Any], several: object) -> None:
    assert identity_from({"sub": "u", **claims}, provider(mfa=mfa)).identity.mfa is several


def test_what_a_provider_says_about_the_device() -> None:
    mapping = {
        "managed": "device.managed",
        "os_version": "device.version",
        "tags": "device.tags",
        "custom.floor": "floor",
    }
    told = {"iat": 1000, "device": {"managed": True, "version": "14.2", "tags": ["loaner"]}, "floor": 3}
    found = device_claims(told, provider(device=mapping), 1010.0)
    seen = {"source": "claims:corp", "observed": 1000.0, "expires": 1010.0 + 12 * 3600, "assurance": Assurance.MANAGED}
    assert found == {
        "managed": Observation(value=True, **seen),
        "os_version": Observation(value="14.2", **seen),
        "tags": Observation(value=("loaner",), **seen),
        "custom.floor": Observation(value=3, **seen),
    }


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("managed", "true"),
        ("managed", 1),
        ("managed", [True]),
        ("managed", None),
        ("score", "80"),
        ("score", True),
        ("score", 1e300),
        ("os", 14),
        ("os", ""),
        ("os", "li\nnux"),
        ("os", "x" * 257),
        ("os_version", 14.2),
        ("os_version", "14.2-beta"),
        ("tags", {"loaner": True}),
        ("tags", ["a", 1]),
        ("tags", ["a"] * 65),
        ("last_seen", "2026-01-01"),
        ("custom.x", {"a": 1}),
    ],
)
def test_a_claim_of_another_type_says_nothing(attribute: str, value: object) -> None:
    assert device_claims({"c": value}, provider(device={attribute: "c"}), 1010.0) == {}


@given(st.dictionaries(st.sampled_from(["a", "b", "iat"]), JSON))
def test_any_json_makes_sane_observations_or_none(claims: dict[str, Any]) -> None:
    found = device_claims(claims, provider(device={"managed": "a", "score": "b", "custom.c": "a"}), 1010.0)
    for attribute, one in found.items():
        assert one.observed <= 1010.0
        assert isinstance(one.value, {"managed": bool, "score": int | float}.get(attribute, object))
    assert msgspec.json.decode(msgspec.json.encode(found), type=dict[str, Observation]) == found
