"""Any change of a signed response is refused, or changes nothing that counts."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from saml_idp import ACS, ENTITY, IDP, NOW, REQUEST, Idp
from saml_signer import SAML, certificate, rsa_key
from saml_stage import US, Make, login

from proxy.authn.errors import LoginRefused
from proxy.authn.saml.assertion import Said, read_assertion
from proxy.authn.saml.response import Expected, Trusted, verified_assertion

EXPECTED = Expected(idp=IDP, entity=US, request_id=REQUEST, now=NOW)
TRUSTED = Trusted([certificate(rsa_key("idp"))], [rsa_key("sp")])
VALID = {signed: etree.tostring(Idp().response(signed=signed)) for signed in ("assertion", "response", "both")}
VALID["both"] = etree.tostring(Idp().response(signed="assertion and response"))


def read(document: bytes) -> Said:
    """What we take from a document; raises LoginRefused and nothing else."""
    return read_assertion(verified_assertion(document, TRUSTED, EXPECTED), EXPECTED, TRUSTED.keys)


TRUTH = {signed: read(document) for signed, document in VALID.items()}

CHANGES = {
    "the name": ("alice@partner.example</saml:NameID>", "mallory@partner.example</saml:NameID>"),
    "the mail address": (">alice@partner.example</saml:AttributeValue>", ">ceo@partner.example</saml:AttributeValue>"),
    "a group": (">sre<", ">admins<"),
    "a group more": (
        "</saml:Attribute></saml:AttributeStatement>",
        "<saml:AttributeValue>admins</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>",
    ),
    "the audience": (ENTITY, "https://other.example"),
    "the recipient": (f'Recipient="{ACS}"', 'Recipient="https://other.example"'),
    "the end": ("NotOnOrAfter", "NotBefore2"),
    "the strength": ("PasswordProtectedTransport", "TimeSyncToken"),
    "the session": ("session-1", "session-2"),
    "the digest": ("<ds:DigestValue>", "<ds:DigestValue>AAAA"),
    "the signature": ("<ds:SignatureValue>", "<ds:SignatureValue>AAAA"),
    "a blank in the name": ("<saml:NameID>", "<saml:NameID> "),
    "a character reference in the name": ("<saml:NameID>alice", "<saml:NameID>&#x43;lice"),
    "an entity in the name": ("<saml:NameID>alice", "<saml:NameID>&alice;"),
    "CDATA in the name": ("<saml:NameID>alice", "<saml:NameID><![CDATA[alice]]>"),
    "a comment in the name": ("<saml:NameID>alice", "<saml:NameID>al<!---->ice"),
    "an instruction in the name": ("<saml:NameID>alice", "<saml:NameID>al<?x y?>ice"),
}


@pytest.mark.parametrize("signed", VALID)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change(signed: str, change: str) -> None:
    before, after = CHANGES[change]
    document = VALID[signed].decode().replace(before, after)
    assert document != VALID[signed].decode()
    with pytest.raises(LoginRefused):
        read(document.encode())


def same(said: Said, signed: str) -> bool:
    return said == TRUTH[signed]


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(VALID)))
def test_any_byte_may_change(data: st.DataObject, signed: str) -> None:
    document = bytearray(VALID[signed])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(document) - 1))
        kind = data.draw(st.sampled_from(["change", "delete", "insert", "copy"]))
        if kind == "change":
            document[at] = data.draw(st.sampled_from(b"<>/&;\"'= :#abcAZ09\n\x00\xff"))
        elif kind == "delete":
            del document[at : at + data.draw(st.integers(1, 40))]
        elif kind == "insert":
            document[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            start = data.draw(st.integers(0, len(document) - 1))
            document[at:at] = document[start : start + data.draw(st.integers(1, 400))]
    try:
        said = read(bytes(document))
    except LoginRefused:
        return
    assert same(said, signed)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(VALID)))
def test_any_element_may_move(data: st.DataObject, signed: str) -> None:
    root = etree.fromstring(VALID[signed])
    for _ in range(data.draw(st.integers(1, 3))):
        everything = list(root.iter())
        source, target = data.draw(st.sampled_from(everything)), data.draw(st.sampled_from(everything))
        moved = etree.fromstring(etree.tostring(source, with_tail=False))
        if data.draw(st.booleans()):
            for name in moved.iter(f"{{{SAML}}}NameID"):
                name.text = "mallory@partner.example"
        if data.draw(st.booleans()) and source.getparent() is not None:
            source.getparent().remove(source)  # type: ignore[union-attr]  # asked for just now
        if data.draw(st.booleans()) and moved.get("ID"):
            moved.set("ID", "_moved")
        target.insert(data.draw(st.integers(0, len(target))), moved)
    try:
        said = read(etree.tostring(root))
    except LoginRefused:
        return
    assert same(said, signed)


async def test_base64_in_lines_is_fine_and_rubbish_in_it_is_not(idp: Idp, make: Make) -> None:
    text = base64.encodebytes(VALID["both"]).decode()
    provider = make()
    assert (await provider.accept(text, request_id=REQUEST, now=NOW)).identity.subject == "alice@partner.example"
    for wrong in (text + "!", text[:-3], "", "%3C", text.replace("A", "-", 1)):
        with pytest.raises(LoginRefused):
            await provider.accept(wrong, request_id=REQUEST, now=NOW)
    with pytest.raises(LoginRefused):
        await login(provider, b"")
