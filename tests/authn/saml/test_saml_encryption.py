"""Assertions encrypted for us: opened when they should be, and all failures look alike."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree
from saml_encryption import XENC, XENC11, encrypted
from saml_idp import IDP, REQUEST, TRUTH, Idp, assertion_xml, response_xml
from saml_signer import SAML, rsa_key, sign
from saml_stage import Make, login
from saml_wrapping import EVIL, forged

from proxy.authn.errors import LoginRefused

GOOD: dict[str, dict[str, Any]] = {
    "AES-256-GCM": {},
    "AES-128-GCM": {"algorithm": XENC11 + "aes128-gcm"},
    "AES-192-GCM": {"algorithm": XENC11 + "aes192-gcm"},
    "OAEP with SHA-256": {"digest": "sha256"},
    "OAEP of XML Encryption 1.1": {"transport": XENC11 + "rsa-oaep"},
    "OAEP with SHA-256 all through": {"transport": XENC11 + "rsa-oaep", "digest": "sha256", "mask": "mgf1sha256"},
    "the key beside the data": {"beside": True},
    "several keys": {"keys": 3},
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "tampered": ({"tamper": True}, "cannot be decrypted"),
    "for somebody else": ({"recipient": "mallory"}, "cannot be decrypted"),
    "AES-CBC, unsigned around it": ({"algorithm": XENC + "aes256-cbc"}, "use AES-GCM"),
    "triple DES": ({"algorithm": XENC + "aes256-tripledes"}, "use AES-GCM"),
    "PKCS#1 v1.5": ({"transport": XENC + "rsa-1_5"}, "use RSA-OAEP"),
    "OAEP with MD5": ({"digest": "md5"}, "digest or mask"),
    "OAEP with a strange mask": ({"mask": "mgf1md5"}, "digest or mask"),
    "OAEP with a label": ({"label": "eA=="}, "label"),
    "no key": ({"keys": 0}, "encrypted keys"),
    "many keys": ({"keys": 5}, "encrypted keys"),
    "only its content": ({"kind": XENC + "Content"}, "not an element"),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("signed", ["assertion", "response", "assertion and response"])
async def test_it_is_opened(idp: Idp, make: Make, name: str, signed: str) -> None:
    response = idp.response(signed=signed, encryption=GOOD[name])
    assert b"alice" not in etree.tostring(response)
    assert (await login(make(require_encryption=True), response)).identity.subject == "alice@partner.example"


@pytest.mark.parametrize("name", BAD)
async def test_it_is_not_opened(idp: Idp, make: Make, name: str) -> None:
    how, refused = BAD[name]
    with pytest.raises(LoginRefused, match=refused):
        await login(make(), idp.response(encryption=how))


async def test_cbc_is_taken_where_nobody_could_change_it(idp: Idp, make: Make) -> None:
    for bits in (128, 256):
        response = idp.response(signed="response", encryption={"algorithm": f"{XENC}aes{bits}-cbc"})
        assert (await login(make(), response)).identity.subject == "alice@partner.example"


@pytest.mark.parametrize(
    "how", [{"padding_byte": 0}, {"padding_byte": 17}, {"padding_byte": 255}, {"cut": 1}, {"keep": 16}]
)
async def test_cbc_that_is_not_whole(idp: Idp, make: Make, how: dict[str, int]) -> None:
    response = idp.response(signed="response", encryption={"algorithm": f"{XENC}aes256-cbc", **how})
    with pytest.raises(LoginRefused, match="decrypted"):
        await login(make(), response)


async def test_padding_tells_nothing(idp: Idp, make: Make) -> None:
    """Changed data, changed padding and another key end in the same words."""
    words = set()
    for how in ({"tamper": True}, {"recipient": "mallory"}):
        for signed in ("response", "assertion"):
            algorithm = f"{XENC}aes256-cbc" if signed == "response" else f"{XENC11}aes256-gcm"
            with pytest.raises(LoginRefused) as refusal:
                await login(make(), idp.response(signed=signed, encryption={**how, "algorithm": algorithm}))
            words.add(str(refusal.value))
    assert len([each for each in words if "decrypted" in each]) == 1


async def test_a_former_key_still_opens(idp: Idp, make: Make) -> None:
    response = idp.response(encryption={"recipient": "sp-before"})
    with pytest.raises(LoginRefused, match="decrypted"):
        await login(make(), response)
    assert (await login(make(previous="sp-before"), response)).identity.subject == "alice@partner.example"


async def test_anybody_can_encrypt_for_us_so_the_inside_must_be_signed(idp: Idp, make: Make) -> None:
    response = idp.response(signed="nothing", encryption={}, name_id=EVIL)
    with pytest.raises(LoginRefused, match="neither"):
        await login(make(), response)
    with pytest.raises(LoginRefused, match="no certificate"):
        await login(make(), idp.response(key=rsa_key("mallory"), encryption={}, name_id=EVIL))


def inside(*parts: etree._Element) -> bytes:
    return b"".join(etree.tostring(part, with_tail=False) for part in parts)


async def test_wrapping_inside_what_is_encrypted(idp: Idp, make: Make) -> None:
    good = etree.fromstring(assertion_xml(TRUTH).replace(' xsi:type="xs:string"', ""))
    sign(good, rsa_key("idp"))
    evil = forged(good)
    nested = forged(good)
    nested.append(good)
    comment = inside(good).replace(b">alice", b">al<!-- -->ice")
    dtd = b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + inside(good)
    wrong = etree.fromstring(f'<saml:NameID xmlns:saml="{SAML}">mallory</saml:NameID>')
    for plain in (
        inside(evil),
        inside(nested),
        inside(good, evil),
        inside(evil, good),
        comment,
        dtd,
        inside(wrong),
        b"",
    ):
        response = response_xml(TRUTH)
        response.replace(response[-1], encrypted(plain))
        with pytest.raises(LoginRefused):
            await login(make(), response)


async def test_two_of_them(idp: Idp, make: Make) -> None:
    response = idp.response(encryption={})
    response.append(idp.response(encryption={}, name_id=EVIL)[-1])
    with pytest.raises(LoginRefused, match="more than one"):
        await login(make(), response)


async def test_an_encrypted_name(idp: Idp, make: Make) -> None:
    name = f'<saml:NameID xmlns:saml="{SAML}" NameQualifier="{IDP}">alice</saml:NameID>'.encode()
    subject = etree.tostring(encrypted(name, wrapper="EncryptedID")).decode()
    done = await login(make(), idp.response(subject=subject))
    assert (done.identity.subject, done.name_id.name_qualifier) == ("alice", IDP)


async def test_an_encrypted_name_must_be_a_name(idp: Idp, make: Make) -> None:
    other = f'<saml:Issuer xmlns:saml="{SAML}">alice</saml:Issuer>'.encode()
    subject = etree.tostring(encrypted(other, wrapper="EncryptedID")).decode()
    with pytest.raises(LoginRefused, match="not a NameID"):
        await login(make(), idp.response(subject=subject))


async def test_what_is_encrypted_must_be_an_assertion(idp: Idp, make: Make) -> None:
    response = idp.response(encryption={})
    stranger = encrypted(b'<x:Assertion xmlns:x="urn:example" ID="_x"/>')
    response.replace(response[-1], stranger)
    with pytest.raises(LoginRefused, match="not an assertion"):
        await login(make(), response)


@pytest.mark.parametrize("whole", [False, True])
async def test_an_id_that_is_outside_too(idp: Idp, make: Make, whole: bool) -> None:
    response = idp.response(signed="nothing")
    response.set("ID", str(response[-1].get("ID")))
    sign(response[-1], idp.keys[0])
    response.replace(response[-1], encrypted(response[-1]))
    if whole:
        sign(response, idp.keys[0])
    with pytest.raises(LoginRefused, match="same ID"):
        await login(make(), response)


async def test_a_cipher_reference_is_not_followed(idp: Idp, make: Make) -> None:
    response = idp.response(encryption={})
    data = response[-1][0]
    cipher = data[-1]
    cipher.remove(cipher[0])
    etree.SubElement(cipher, f"{{{XENC}}}CipherReference", {"URI": "file:///etc/passwd"})
    with pytest.raises(LoginRefused, match="CipherValue"):
        await login(make(), response, REQUEST)
