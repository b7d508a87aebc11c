"""Single logout in both directions and by both bindings; what is not signed by the provider ends nothing."""

from __future__ import annotations

import base64
import zlib
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import utils
from lxml import etree
from saml_idp import IDP, NOW, OUR_SLO, SLO, STATUS, Idp, instant, posted
from saml_signer import MORE, RSA_SHA256, SAML, SAMLP, Element, certificate, ec_key, raw_signature, rsa_key, sign
from saml_stage import Make, login

from proxy.authn.errors import LoginRefused
from proxy.authn.saml import LogoutRequest, NameId, SamlProvider
from proxy.authn.saml.signature import verified
from proxy.authn.saml.strict_xml import parse
from proxy.settings import schema

TRUTH: dict[str, Any] = {
    "id": "_logout-1",
    "issuer": IDP,
    "destination": OUR_SLO,
    "issued": 0,
    "until": 60,
    "version": "2.0",
    "name": "<saml:NameID>alice@partner.example</saml:NameID>",
    "indexes": ["session-1"],
}


def message(kind: str = "LogoutRequest", inside: str | None = None, **told: Any) -> Element:
    """An unsigned logout message."""
    told = {**TRUTH, **told}
    until = "" if told["until"] is None else f' NotOnOrAfter="{instant(NOW + told["until"])}"'
    indexes = "".join(f"<samlp:SessionIndex>{index}</samlp:SessionIndex>" for index in told["indexes"])
    return etree.fromstring(
        f'<samlp:{kind} xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="{told["id"]}" Version="{told["version"]}" '
        f'IssueInstant="{instant(NOW + told["issued"])}" Destination="{told["destination"]}"'
        f"{until}{told.get('attributes', '')}><saml:Issuer>{told['issuer']}</saml:Issuer>"
        f"{told['name'] + indexes if inside is None else inside}</samlp:{kind}>"
    )


def answer(status: str, more: str = "", to: str = "_ours") -> Element:
    code = f'<samlp:Status><samlp:StatusCode Value="{STATUS}{status}">{more}</samlp:StatusCode></samlp:Status>'
    return message("LogoutResponse", code, attributes=f' InResponseTo="{to}"')


def query(
    root: Element, parameter: str = "SAMLRequest", *, key: Any = None, method: str = RSA_SHA256, state: str = ""
) -> str:
    """By redirect, signed."""
    engine = zlib.compressobj(wbits=-15)
    packed = base64.b64encode(engine.compress(etree.tostring(root)) + engine.flush()).decode()
    text = f"{parameter}={quote(packed, safe='')}"
    text += f"&RelayState={quote(state)}" if state else ""
    text += f"&SigAlg={quote(method, safe='')}"
    value = base64.b64encode(raw_signature(text.encode(), key or rsa_key("idp"), method)).decode()
    return f"{text}&Signature={quote(value, safe='')}"


def form(root: Element, parameter: str = "SAMLRequest", state: str = "") -> dict[str, str]:
    """By post, signed."""
    sign(root, rsa_key("idp"))
    return {parameter: posted(root), "RelayState": state}


async def taken(provider: SamlProvider, binding: str, root: Element) -> LogoutRequest:
    if binding == "redirect":
        return await provider.accept_logout(query=query(root, state="back"), now=NOW)
    return await provider.accept_logout(form=form(root, state="back"), now=NOW)


# --- the provider ends a session -------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", ["redirect", "post"])
async def test_the_provider_ends_one_session(idp: Idp, make: Make, binding: str) -> None:
    provider = make()
    here = await login(provider, idp.response())
    asked = await taken(provider, binding, message())
    assert asked.sessions == ((here.identity.subject, here.provider_sid),)
    assert (asked.id, asked.relay_state, asked.session_indexes) == ("_logout-1", "back", ("session-1",))
    assert (asked.key, asked.expires) == ("saml:partner:logout:_logout-1", NOW + 120)


async def test_all_of_a_persons_sessions(make: Make) -> None:
    assert (await taken(make(), "post", message(indexes=[]))).sessions == (("alice@partner.example", ""),)
    assert len((await taken(make(), "post", message(indexes=["1", "2"]))).sessions) == 2


async def test_where_the_subject_is_an_attribute_the_name_finds_the_sessions(idp: Idp, make: Make) -> None:
    provider = make(attributes=schema.SamlAttributes(subject="uid"))
    here = await login(provider, idp.response(attributes={"uid": ["a1"]}))
    for indexes in ([], ["session-1"]):
        asked = await taken(provider, "post", message(indexes=indexes))
        assert asked.sessions == (("", here.provider_sid),)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"issuer": "https://evil.example"}, "Issuer"),
    "another destination": ({"destination": "https://other.example"}, "Destination"),
    "no destination": ({"destination": ""}, "Destination"),
    "over": ({"until": -60}, "expired"),
    "old, without an end": ({"until": None, "issued": -361}, "expired"),
    "old, with an end that is far away": ({"until": 90000, "issued": -3661}, "expired"),
    "from the future": ({"issued": 61}, "future"),
    "SAML 1.1": ({"version": "1.1"}, "SAML 2.0"),
    "no name": ({"name": ""}, "NameID"),
    "two names": ({"name": TRUTH["name"] * 2}, "NameID"),
    "many sessions": ({"indexes": ["x"] * 101}, "too many"),
    "another kind": ({"kind": "LogoutResponse"}, "not a LogoutRequest"),
}


@pytest.mark.parametrize("binding", ["redirect", "post"])
@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_that_ends_nothing(make: Make, binding: str, name: str) -> None:
    told, words = REFUSED[name]
    with pytest.raises(LoginRefused, match=words):
        await taken(make(), binding, message(**told))


async def test_only_the_provider_can_ask(make: Make) -> None:
    provider, good = make(), query(message(), state="s")
    mallory = query(message(), key=rsa_key("mallory"))
    encoded = quote("SAMLRequest").replace("S", "%53")
    bad = {
        "unsigned": good.partition("&SigAlg")[0],
        "no signature": good.partition("&Signature")[0],
        "somebody else's": mallory,
        "other state": good.replace("RelayState=s", "RelayState=t"),
        "state left out": good.replace("RelayState=s&", ""),
        "state twice": f"{good}&RelayState=t",
        "message twice": f"{mallory.partition('&')[0]}&{good}",
        "message hidden": f"{good}&{mallory.partition('&')[0].replace('SAMLRequest', encoded)}",
        "both kinds": f"{good}&SAMLResponse=x",
        "an encoding": f"{good}&SAMLEncoding=x",
        "SHA-1": query(message(), method="http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
        "HMAC": query(message(), key=b"x", method=MORE + "hmac-sha256"),
        "nothing": "",
        "not ASCII": good + "&é",
        "long": good + "&x=" + "a" * 70_000,
        "signature of nothing": good.partition("&Signature")[0] + "&Signature=",
    }
    for name, text in bad.items():
        with pytest.raises(LoginRefused):
            await provider.accept_logout(query=text, now=NOW)
        assert name
    unsigned, mallorys = message(), message()
    sign(mallorys, rsa_key("mallory"))
    for root in (unsigned, mallorys):
        with pytest.raises(LoginRefused, match=r"not signed|no certificate"):
            await provider.accept_logout(form={"SAMLRequest": posted(root)}, now=NOW)
    assert await provider.accept_logout(query=good, now=NOW)


@pytest.mark.parametrize("name", ["rsa-sha1", "rsa-sha224", "dsa-sha256", "hmac-sha256", "rsa", ""])
async def test_an_algorithm_of_a_query_that_is_not_taken(make: Make, name: str) -> None:
    with pytest.raises(LoginRefused, match=r"algorithm .* is not accepted"):
        await make().accept_logout(query=query(message(), method=MORE + name), now=NOW)


async def test_a_form_of_another_kind(make: Make) -> None:
    with pytest.raises(LoginRefused, match="no SAMLRequest"):
        await make().accept_logout(form={"SAMLResponse": posted(message())}, now=NOW)


async def test_a_bomb_in_a_query(make: Make) -> None:
    root = message()
    root.append(root.makeelement("x"))
    root[-1].text = " " * 5_000_000
    with pytest.raises(LoginRefused, match="too large"):
        await make().accept_logout(query=query(root), now=NOW)


async def test_elliptic_signatures_in_both_spellings(make: Make) -> None:
    provider = make(metadata=Idp(ec_key("idp")).metadata())
    plain = query(message(), key=ec_key("idp"), method=MORE + "ecdsa-sha256")
    assert await provider.accept_logout(query=plain, now=NOW)
    head, _mark, value = plain.partition("&Signature=")
    raw = base64.b64decode(parse_qs(f"s={value}")["s"][0])
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    spelled = f"{head}&Signature={quote(base64.b64encode(der).decode(), safe='')}"
    assert await provider.accept_logout(query=spelled, now=NOW)


async def test_we_answer(make: Make) -> None:
    provider = make()
    for complete in (True, False):
        sent = await provider.logout_response("_logout-1", relay_state="back", complete=complete, binding="post")
        assert sent is not None
        root = verified(parse(base64.b64decode(sent.fields["SAMLResponse"])), [certificate(rsa_key("sp"))])
        assert (root.get("InResponseTo"), root.get("Destination")) == ("_logout-1", SLO)
        codes = [str(code.get("Value")) for code in root.iter(f"{{{SAMLP}}}StatusCode")]
        assert codes == [f"{STATUS}Success", *([] if complete else [f"{STATUS}PartialLogout"])]
        assert sent.fields["RelayState"] == "back"


# --- we end a session ------------------------------------------------------------------------------------------------


async def test_we_end_one_at_the_provider(idp: Idp, make: Make) -> None:
    provider = make()
    name = NameId(value="alice & bob", format="urn:x", name_qualifier=IDP)
    sent = await provider.logout_request(name, "s<1>", request_id="_ours", relay_state="back")
    assert sent is not None
    assert sent.url.startswith(SLO)
    fields = parse_qs(urlsplit(sent.url).query)
    root = parse(zlib.decompress(base64.b64decode(fields["SAMLRequest"][0]), -15))
    named = root.find(f"{{{SAML}}}NameID")
    assert named is not None
    assert (named.text, dict(named.attrib)) == ("alice & bob", {"Format": "urn:x", "NameQualifier": IDP})
    assert root.findtext(f"{{{SAMLP}}}SessionIndex") == "s<1>"
    assert fields["RelayState"] == ["back"]


async def test_where_the_provider_has_no_logout_there_is_none(idp: Idp, make: Make) -> None:
    login_only = idp.metadata().replace(b"SingleLogoutService", b"Other")
    provider = make(metadata=login_only)
    assert await provider.logout_request(NameId(value="x"), "", request_id="_ours") is None
    assert await provider.logout_response("_1", relay_state="") is None


async def test_the_provider_answers(make: Make) -> None:
    provider, partial = make(), f'<samlp:StatusCode Value="{STATUS}PartialLogout"/>'
    for root, ended in ((answer("Success"), True), (answer("Success", partial), False), (answer("Responder"), False)):
        text = query(root, "SAMLResponse")
        assert await provider.accept_logout_response(query=text, request_id="_ours", now=NOW) is ended
        posted_form = form(root, "SAMLResponse")
        assert await provider.accept_logout_response(form=posted_form, request_id="_ours", now=NOW) is ended
    with pytest.raises(LoginRefused, match="InResponseTo"):
        other = query(answer("Success", to="_other"), "SAMLResponse")
        await provider.accept_logout_response(query=other, request_id="_ours", now=NOW)
    with pytest.raises(LoginRefused, match="not signed"):
        unsigned = {"SAMLResponse": posted(answer("Success"))}
        await provider.accept_logout_response(form=unsigned, request_id="_ours", now=NOW)
