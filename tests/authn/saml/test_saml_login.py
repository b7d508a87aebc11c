"""Logging in through a SAML provider: what is accepted, and what we then know."""

from __future__ import annotations

import logging

import pytest
from lxml import etree
from saml_idp import IDP, NOW, PASSWORD, REQUEST, Idp, posted
from saml_signer import MORE, SHA256, ec_key, key_info_of, rsa_key
from saml_stage import Make, login

from proxy.authn.errors import LoginRefused
from proxy.authn.saml import in_response_to


@pytest.mark.parametrize("signed", ["assertion", "response", "assertion and response"])
async def test_a_person_of_a_partner_logs_in(idp: Idp, make: Make, signed: str) -> None:
    done = await login(make(), idp.response(signed=signed))

    person = done.identity
    assert (person.kind, person.provider, person.subject) == ("person", "partner", "alice@partner.example")
    assert (person.email, person.name) == ("alice@partner.example", "Alice")
    assert person.groups == {"sre", "staff"}
    assert person.unknown == frozenset()
    assert (person.acr, person.amr, person.auth_time) == (PASSWORD, (), NOW - 5)
    assert (done.name_id.value, done.session_index, done.session_expires) == (person.subject, "session-1", None)
    assert done.assertion_id == "saml:partner:assertion:_assertion-1"
    assert done.assertion_expires == NOW + 300 + 60


@pytest.mark.parametrize(
    ("method", "digest"),
    [
        (f"{MORE}{kind}-sha{bits}", digest)
        for kind in ("rsa", "ecdsa")
        for bits in (256, 384, 512)
        for digest in (SHA256, MORE + "sha384", "http://www.w3.org/2001/04/xmlenc#sha512")
    ],
)
async def test_all_sound_algorithms_are_taken(make: Make, method: str, digest: str) -> None:
    key = ec_key("idp") if "ecdsa" in method else rsa_key("idp")
    idp = Idp(key)
    done = await login(make(metadata=idp.metadata()), idp.response(lies={"method": method, "digest": digest}))
    assert done.identity.subject == "alice@partner.example"


async def test_the_key_in_the_document_is_not_looked_at(idp: Idp, make: Make) -> None:
    stranger = key_info_of(rsa_key("mallory"))
    done = await login(make(), idp.response(lies={"key_info": stranger}))
    assert done.identity.subject == "alice@partner.example"
    with pytest.raises(LoginRefused, match="no certificate"):
        await login(make(), idp.response(key=rsa_key("mallory"), lies={"key_info": stranger}))


async def test_while_a_provider_changes_its_key_old_and_new_are_taken(make: Make) -> None:
    old, new = rsa_key("idp"), ec_key("idp-new")
    provider = make(metadata=Idp(old, new).metadata())
    for signer, method in ((old, "rsa-sha256"), (new, "ecdsa-sha256")):
        done = await login(provider, Idp(signer).response(lies={"method": MORE + method}))
        assert done.identity.subject == "alice@partner.example"


async def test_an_unasked_assertion_is_taken_only_where_that_is_allowed(idp: Idp, make: Make) -> None:
    unasked = idp.response(in_response_to=None, confirmed_for=None)
    with pytest.raises(LoginRefused, match="idp_initiated"):
        await login(make(), unasked, None)
    assert (await login(make(idp_initiated=True), unasked, None)).identity.subject == "alice@partner.example"
    with pytest.raises(LoginRefused, match="InResponseTo"):  # somebody else's answer, planted in a browser
        await login(make(idp_initiated=True), idp.response(), None)


async def test_a_fresh_login_was_asked_for(idp: Idp, make: Make) -> None:
    provider, stale = make(), posted(idp.response(authenticated=-3600))
    with pytest.raises(LoginRefused, match="fresh login"):
        await provider.accept(stale, request_id=REQUEST, now=NOW, authenticated_since=NOW - 30)
    assert (await provider.accept(stale, request_id=REQUEST, now=NOW)).identity.auth_time == NOW - 3600


async def test_the_provider_limits_the_session(idp: Idp, make: Make) -> None:
    assert (await login(make(), idp.response(session_until=3600))).session_expires == NOW + 3600


async def test_replays_have_the_same_id_and_other_assertions_another(idp: Idp, make: Make) -> None:
    provider = make()
    ids = [(await login(provider, idp.response(assertion_id=name))).assertion_id for name in ("_a", "_a", "_b")]
    assert ids[0] == ids[1] != ids[2]


async def test_a_login_is_found_again_by_what_a_logout_names(idp: Idp, make: Make) -> None:
    provider = make()
    here = [(await login(provider, idp.response(session_index=index))).provider_sid for index in ("1", "1", "2")]
    assert here[0] == here[1] != here[2]
    assert "alice" not in here[0]


def test_the_hint_is_only_that(idp: Idp) -> None:
    assert in_response_to(posted(idp.response())) == REQUEST
    assert in_response_to(posted(idp.response(in_response_to=None))) is None
    assert in_response_to(posted(idp.response(in_response_to="a b\r\nx"))) is None
    assert in_response_to("no base64!") is None
    assert in_response_to(posted(b"<!DOCTYPE x><x/>")) is None


async def test_names_are_qualified_by_this_provider_and_for_us(idp: Idp, make: Make) -> None:
    ours = f' NameQualifier="{IDP}"'
    assert await login(make(), idp.response(name_id_attributes=ours))
    for foreign in (' NameQualifier="https://other.example"', ' SPNameQualifier="https://other.example"'):
        with pytest.raises(LoginRefused, match="qualified"):
            await login(make(), idp.response(name_id_attributes=foreign))


@pytest.mark.parametrize("signed", ["assertion", "response", "assertion and response"])
async def test_namespaces_that_only_values_use_are_signed_too(idp: Idp, make: Make, signed: str) -> None:
    """As several providers do: `xsi:type="xs:string"` needs `xs`, which stands at the root of the response."""
    response = idp.response(signed=signed, lies={"prefixes": ["xs"]})
    assert b"InclusiveNamespaces" in etree.tostring(response)
    assert (await login(make(), response)).identity.groups == {"sre", "staff"}


async def test_nobody_is_named_in_the_log(idp: Idp, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await login(make(), idp.response(encryption={}))
    with pytest.raises(LoginRefused):
        await login(make(), idp.response(key=rsa_key("mallory")))
    assert "alice" not in caplog.text
