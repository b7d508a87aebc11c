"""What we send when somebody is to log in, as a provider reads it."""

from __future__ import annotations

import asyncio
import base64
import threading
import zlib
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree
from saml_idp import ACS, ENTITY, NOW, POST_BINDING, SSO, Idp, posted
from saml_signer import SAML, SAMLP, certificate, rsa_key
from saml_stage import Make

from proxy.authn.errors import ProviderUnavailable
from proxy.authn.saml import Outgoing, service_provider
from proxy.authn.saml.messages import Binding
from proxy.authn.saml.signature import verified
from proxy.authn.saml.strict_xml import parse


def carried(sent: Outgoing) -> etree._Element:
    """The message, its signature checked as its binding wants it."""
    key = certificate(rsa_key("sp"))
    if sent.kind == "post":
        return verified(parse(base64.b64decode(sent.fields["SAMLRequest"])), [key])
    query = urlsplit(sent.url).query
    signed, _mark, value = query.partition("&Signature=")
    raw = base64.b64decode(parse_qs(f"s={value}")["s"][0])
    rsa_key("sp").public_key().verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return parse(zlib.decompress(base64.b64decode(parse_qs(query)["SAMLRequest"][0]), -15))


@pytest.mark.parametrize("binding", ["redirect", "post"])
async def test_a_request(make: Make, binding: Binding) -> None:
    sent = await make().login(relay_state="attempt 1&x", request_id="_r1", binding=binding)
    assert sent.kind == binding
    assert sent.url.startswith(SSO)
    state = parse_qs(urlsplit(sent.url).query)["RelayState"][0] if binding == "redirect" else sent.fields["RelayState"]
    assert state == "attempt 1&x"

    root = carried(sent)
    assert root.tag == f"{{{SAMLP}}}AuthnRequest"
    assert (root.get("ID"), root.get("Destination"), root.get("Version")) == ("_r1", SSO, "2.0")
    assert (root.get("AssertionConsumerServiceURL"), root.get("ProtocolBinding")) == (ACS, POST_BINDING)
    assert root.get("IssueInstant") == "2027-01-15T08:00:00.000Z"
    assert root.findtext(f"{{{SAML}}}Issuer") == ENTITY
    assert root.get("ForceAuthn") is None
    assert root.find(f"{{{SAMLP}}}RequestedAuthnContext") is None


async def test_a_stronger_and_fresh_login_is_asked_for(make: Make) -> None:
    root = carried(await make().login(relay_state="", request_id="_r1", force=True, acr=["urn:a", "urn:b"]))
    assert root.get("ForceAuthn") == "true"
    context = root.find(f"{{{SAMLP}}}RequestedAuthnContext")
    assert context is not None
    assert context.get("Comparison") == "exact"
    assert [each.text for each in context] == ["urn:a", "urn:b"]


@pytest.mark.parametrize(
    ("name_id", "format_", "create"),
    [
        ("unspecified", None, "true"),
        ("persistent", "2.0:nameid-format:persistent", "true"),
        ("email", "1.1:nameid-format:emailAddress", "true"),
        ("transient", "2.0:nameid-format:transient", None),
    ],
)
async def test_the_kind_of_name(make: Make, name_id: str, format_: str | None, create: str | None) -> None:
    policy = carried(await make(name_id=name_id).login(relay_state="", request_id="_r1")).find(
        f"{{{SAMLP}}}NameIDPolicy"
    )
    assert policy is not None
    assert policy.get("Format") == (format_ and f"urn:oasis:names:tc:SAML:{format_}")
    assert policy.get("AllowCreate") == create


async def test_the_binding_the_provider_has_is_used(idp: Idp, make: Make) -> None:
    only = f'<md:SingleSignOnService Binding="{POST_BINDING}" Location="{SSO}?x=1"/>'
    sent = await make(metadata=idp.metadata(services=only)).login(relay_state="", request_id="_r1")
    assert (sent.kind, sent.url) == ("post", f"{SSO}?x=1")


async def test_an_address_with_a_query_keeps_it(idp: Idp, make: Make) -> None:
    only = f'<md:SingleSignOnService Binding="{POST_BINDING.replace("POST", "Redirect")}" Location="{SSO}?x=1"/>'
    sent = await make(metadata=idp.metadata(services=only)).login(relay_state="", request_id="_r1")
    assert sent.url.startswith(f"{SSO}?x=1&SAMLRequest=")


async def test_the_signature_covers_the_relay_state(make: Make) -> None:
    sent = await make().login(relay_state="one", request_id="_r1")
    with pytest.raises(InvalidSignature):
        carried(Outgoing(kind="redirect", url=sent.url.replace("=one", "=two")))


async def test_an_id_must_be_one(make: Make) -> None:
    for wrong in ("", "1a", 'a"', "a b", "é", "_" * 300):
        with pytest.raises(ValueError, match="an ID must"):
            await make().login(relay_state="", request_id=wrong)


async def test_only_so_many_wait(idp: Idp, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification runs in threads, a few at a time; a flood is turned away instead of piling up."""
    monkeypatch.setattr(service_provider, "WAITING", 8)
    provider, gate, inside, most = make(), threading.Event(), [], []

    def slow(*_args: object) -> None:
        inside.append(threading.get_ident())
        most.append(len(inside))
        gate.wait(10)
        inside.pop()

    monkeypatch.setattr(provider, "_read", slow)
    text = posted(idp.response())
    tasks = [asyncio.create_task(provider.accept(text, request_id="_r1", now=NOW)) for _ in range(12)]
    done, _waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert all(isinstance(task.exception(), ProviderUnavailable) for task in done)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert len([each for each in results if isinstance(each, ProviderUnavailable)]) == 4
    assert max(most) <= service_provider.AT_ONCE
    assert threading.get_ident() not in inside
