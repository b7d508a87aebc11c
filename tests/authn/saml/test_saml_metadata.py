"""The provider's metadata: what is taken of it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from saml_idp import IDP, NOW, SLO, SSO, Idp, instant
from saml_signer import MORE, SHA1, certificate, ec_key, rsa_key, signature
from saml_stage import Clock, Make, login

from proxy.authn.errors import ProviderMisconfigured, ProviderUnavailable
from proxy.authn.saml.metadata import read_metadata

# --- reading ---------------------------------------------------------------------------------------------------------


def test_what_is_read(idp: Idp) -> None:
    read = read_metadata(idp.metadata(attributes=f' validUntil="{instant(NOW)}" cacheDuration="PT1H30M"'), None, None)
    assert (read.entity_id, read.certificates) == (IDP, (certificate(rsa_key("idp")),))
    assert {binding: each.url for binding, each in read.sso.items()} == {"redirect": SSO, "post": SSO}
    assert {binding: each.response_url for binding, each in read.slo.items()} == {"redirect": SLO, "post": SLO}
    assert (read.valid_until, read.cache_duration) == (NOW, 5400)


def test_comments_are_no_part_of_metadata(idp: Idp) -> None:
    commented = idp.metadata().replace(b"<md:IDPSSO", b"<!-- ours <x> --><md:IDPSSO")
    assert read_metadata(commented, None, None) == read_metadata(idp.metadata(), None, None)


def several(*documents: bytes) -> bytes:
    inside = b"".join(document.partition(b"?>\n")[2] for document in documents)
    return (
        b'<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">'
        + inside
        + b"</md:EntitiesDescriptor>"
    )


def test_one_of_several() -> None:
    document = several(
        Idp(rsa_key("a")).metadata(entity_id="https://a"), Idp(rsa_key("b")).metadata(entity_id="https://b")
    )
    assert read_metadata(document, "https://b", None).certificates == (certificate(rsa_key("b")),)
    with pytest.raises(ProviderMisconfigured, match="name one with `idp`"):
        read_metadata(document, None, None)
    with pytest.raises(ProviderMisconfigured, match="check `idp`"):
        read_metadata(document, "https://c", None)


def test_the_earliest_end_counts(idp: Idp) -> None:
    inner = idp.metadata(attributes=f' validUntil="{instant(NOW + 500)}"')
    outer = several(inner).replace(b':metadata">', f':metadata" validUntil="{instant(NOW + 100)}">'.encode(), 1)
    assert read_metadata(outer, None, None).valid_until == NOW + 100


def small(text: str) -> Callable[[bytes], bytes]:
    return lambda _document: text.encode()


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (small(""), "not well-formed"),
    "a page": (small("<html><body/></html>"), "neither"),
    "DOCTYPE": (lambda document: document.replace(b"?>\n", b"?>\n<!DOCTYPE x>"), "DOCTYPE"),
    "an entity bomb": (small("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"), "DOCTYPE"),
    "no certificate": (lambda document: document.replace(b'use="signing"', b'use="encryption"'), "no usable signing"),
    "no services": (lambda document: document.replace(b"SingleSignOnService", b"Other"), "no SingleSignOnService"),
    "services without TLS": (
        lambda document: document.replace(b"https://idp.", b"http://idp."),
        "no SingleSignOnService",
    ),
    "other bindings": (lambda document: document.replace(b"bindings:HTTP", b"bindings:SOAP"), "no SingleSignOnService"),
    "a service provider": (lambda document: document.replace(b"IDPSSO", b"SPSSO"), "no identity provider"),
    "SAML 1.1": (lambda document: document.replace(b"2.0:protocol", b"1.1:protocol"), "no identity provider"),
    "no name": (lambda document: document.replace(IDP.encode(), b""), "no usable entityID"),
    "a certificate that is none": (
        lambda document: document.replace(b"Certificate>MII", b"Certificate>AII"),
        "cannot be read",
    ),
    "an odd end": (lambda document: document.replace(b"entityID", b'validUntil="soon" entityID'), "not a time"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(idp: Idp, make: Make, name: str) -> None:
    change, words = FAULTS[name]
    with pytest.raises(ProviderMisconfigured, match=words):
        make(metadata=change(idp.metadata()))


def test_weak_keys_are_left_out() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert read_metadata(Idp(weak, ec_key("x")).metadata(), None, None).certificates == (certificate(ec_key("x")),)


def test_there_are_only_so_many_certificates() -> None:
    keys = [ec_key(f"idp-{number}") for number in range(17)]
    assert len(read_metadata(Idp(*keys[:16]).metadata(), None, None).certificates) == 16
    with pytest.raises(ProviderMisconfigured, match="more than 16"):
        read_metadata(Idp(*keys).metadata(), None, None)


def test_a_missing_file_is_named(make: Make) -> None:
    with pytest.raises(ProviderMisconfigured, match="No such file"):
        make(metadata_certificate="/nowhere.pem")


async def test_expired_metadata_serves_nobody(idp: Idp, make: Make, clock: Clock) -> None:
    provider = make(metadata=idp.metadata(attributes=f' validUntil="{instant(NOW + 100)}"'))
    await login(provider, idp.response())
    clock.now += 100
    with pytest.raises(ProviderUnavailable, match="expired"):
        await login(provider, idp.response())


# --- signed metadata -------------------------------------------------------------------------------------------------


def signed(document: bytes, key: Any, **lies: object) -> bytes:
    root = etree.fromstring(document)
    root.set("ID", "_md")
    root.insert(0, signature(root, key, **lies))  # type: ignore[arg-type]  # whatever a case names
    return etree.tostring(root)


def test_signed_metadata(idp: Idp) -> None:
    federation = certificate(ec_key("federation"))
    lies = {"method": MORE + "ecdsa-sha256"}
    good = signed(idp.metadata(), ec_key("federation"), **lies)
    assert read_metadata(good, None, federation).entity_id == IDP
    for bad, words in (
        (idp.metadata(), "not signed"),
        (signed(idp.metadata(), ec_key("mallory"), **lies), "no certificate"),
        (good.replace(SSO.encode(), b"https://evil.example/sso"), "changed"),
        (signed(idp.metadata(), ec_key("federation"), method=MORE + "ecdsa-sha256", digest=SHA1), "digest"),
        (several(b"?>\n" + good), "not signed"),
    ):
        with pytest.raises(ProviderMisconfigured, match=words):
            read_metadata(bad, None, federation)
