"""From attributes to who somebody is, how strongly, and from what device. Unknown is not false."""

from __future__ import annotations

from typing import Any

import pytest
from saml_idp import NOW, PASSWORD, Idp
from saml_stage import Make, login

from proxy.model.device import Assurance
from proxy.model.identity import Identity
from proxy.settings import schema

MFA = "https://refeds.org/profile/mfa"


def attribute(names: str, value: str) -> str:
    """One more statement, as XML."""
    inside = f"<saml:AttributeValue>{value}</saml:AttributeValue>"
    return f"<saml:AttributeStatement><saml:Attribute {names}>{inside}</saml:Attribute></saml:AttributeStatement>"


async def who(idp: Idp, make: Make, told: dict[str, list[str]], **settings: Any) -> Identity:
    return (await login(make(**settings), idp.response(attributes=told))).identity


# --- mail addresses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "domains", "believed"),
    [
        (["alice@partner.example"], ("partner.example",), "alice@partner.example"),
        (["Alice@Partner.Example"], ("partner.example",), "alice@partner.example"),
        (["alice@partner.example"], ("PARTNER.example",), "alice@partner.example"),
        (["ceo@our-company.example"], ("partner.example",), ""),
        (["alice@sub.partner.example"], ("partner.example",), ""),
        (["alice@evilpartner.example"], ("partner.example",), ""),
        (["alice@partner.example@evil.example"], ("partner.example",), ""),
        (["alice@partner.example."], ("partner.example",), ""),
        (["alice@pаrtner.example"], ("partner.example",), ""),
        (["alice@partner.example"], (), ""),
        (["alice@partner.example", "bob@partner.example"], ("partner.example",), ""),
        ([], ("partner.example",), ""),
    ],
)
async def test_a_mail_address_is_believed_for_the_providers_own_domains_only(
    idp: Idp, make: Make, told: list[str], domains: tuple[str, ...], believed: str
) -> None:
    person = await who(idp, make, {"email": told, "groups": ["a"]}, domains=domains)
    assert person.email == believed
    assert person.claims.get("email", "") == believed, "a rule on claims must not believe more"


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "groups"),
    [
        ({"groups": ["a", "b"]}, {"a", "b"}),
        ({"groups": ["a"]}, {"a"}),
        ({"groups": []}, set()),
        ({}, None),
        ({"Groups": ["a"]}, None),
        ({"groups": ["a", ""]}, None),
        ({"groups": ["a\x85b"]}, None),
        ({"groups": ["a", "<saml:AttributeValue><saml:NameID>b</saml:NameID></saml:AttributeValue>"]}, None),
        ({"groups": ["CN=sre,OU=teams,DC=partner,DC=example"]}, {"CN=sre,OU=teams,DC=partner,DC=example"}),
    ],
)
async def test_groups(idp: Idp, make: Make, told: dict[str, list[str]], groups: set[str] | None) -> None:
    person = await who(idp, make, told)
    assert person.groups == (groups or set())
    assert person.unknown == ({"groups"} if groups is None else frozenset())


async def test_groups_in_several_attributes_of_one_name(idp: Idp, make: Make) -> None:
    more = attribute('Name="groups"', "b")
    done = await login(make(), idp.response(attributes={"groups": ["a"]}, statement=more))
    assert done.identity.groups == {"a", "b"}


async def test_a_friendly_name_names_nothing(idp: Idp, make: Make) -> None:
    more = attribute('Name="x" FriendlyName="groups"', "admins")
    done = await login(make(), idp.response(attributes={}, statement=more))
    assert (done.identity.groups, done.identity.unknown) == (frozenset(), {"groups"})
    assert done.identity.claims == {"x": "admins"}


async def test_other_names_of_attributes(idp: Idp, make: Make) -> None:
    mapped = schema.SamlAttributes(
        subject="uid", email="urn:oid:0.9.2342.19200300.100.1.3", name="cn", groups="memberOf"
    )
    told = {
        "uid": ["a1"],
        mapped.email: ["a@partner.example"],
        "cn": ["A\u202e B"],
        "memberOf": ["x"],
        "title": ["1", "2"],
    }
    person = await who(idp, make, told, attributes=mapped)
    assert (person.subject, person.email, person.name, person.groups) == ("a1", "a@partner.example", "A B", {"x"})
    assert person.claims["title"] == ["1", "2"]
    assert person.claims[mapped.email] == "a@partner.example"


# --- strength --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "attributes", "mfa", "several"),
    [
        (MFA, {}, schema.Mfa(acr=(MFA,)), True),
        (PASSWORD, {}, schema.Mfa(acr=(MFA,)), False),
        (PASSWORD, {}, schema.Mfa(), None),
        (None, {}, schema.Mfa(acr=(MFA,)), None),
        (PASSWORD, {"amr": ["pwd", "mfa"]}, schema.Mfa(), True),
        (PASSWORD, {"amr": ["pwd"]}, schema.Mfa(), False),
        (
            PASSWORD,
            {"http://schemas.microsoft.com/claims/authnmethodsreferences": ["urn:x:multipleauthn"]},
            schema.Mfa(amr=("urn:x:multipleauthn",)),
            True,
        ),
    ],
)
async def test_how_strongly(
    idp: Idp, make: Make, told: str | None, attributes: dict[str, list[str]], mfa: schema.Mfa, several: bool | None
) -> None:
    response = idp.response(class_ref=told, attributes=attributes)
    person = (await login(make(mfa=mfa), response)).identity
    assert (person.acr, person.mfa) == (told or "", several)
    assert person.amr == tuple(next(iter(attributes.values()), ()))


# --- devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "told", "value"),
    [
        ("managed", ["true"], True),
        ("managed", ["False"], False),
        ("managed", ["0"], False),
        ("managed", ["yes"], None),
        ("managed", ["true", "true"], None),
        ("serial", ["C02XYZ"], "C02XYZ"),
        ("serial", ["a", "b"], None),
        ("serial", [""], None),
        ("os_version", ["14.2.1"], "14.2.1"),
        ("os_version", ["fourteen"], None),
        ("score", ["87.5"], 87.5),
        ("score", ["1e400"], None),
        ("score", ["NaN"], None),
        ("last_seen", ["2027-01-15T07:00:00Z"], NOW - 3600),
        ("last_seen", ["1800000000"], NOW),
        ("last_seen", ["yesterday"], None),
        ("tags", ["a"], ("a",)),
        ("tags", ["a", "b"], ("a", "b")),
        ("custom.site", ["berlin"], "berlin"),
        ("custom.site", ["a", "b"], ("a", "b")),
        ("managed", ["<saml:AttributeValue><saml:x/></saml:AttributeValue>"], None),
    ],
)
async def test_what_is_said_about_the_device(
    idp: Idp, make: Make, attribute: str, told: list[str], value: object
) -> None:
    provider = make(device={attribute: "dev"}, device_expiry=schema.Duration(600))
    found = (await login(provider, idp.response(attributes={"dev": told}))).device_claims
    if value is None:
        assert found == {}, "unknown"
        return
    (observation,) = found.values()
    assert observation.value == value
    assert (observation.source, observation.assurance) == ("claims:partner", Assurance.MANAGED)
    assert (observation.observed, observation.expires) == (NOW, NOW + 600)


async def test_what_is_not_said_is_not_known(idp: Idp, make: Make) -> None:
    assert (await login(make(device={"managed": "dev"}), idp.response())).device_claims == {}
