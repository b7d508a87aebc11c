"""Our metadata, for a provider's administrator: who we are, our certificates, where we take messages. No I/O.

SAML metadata, section 2.4.4.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree

from proxy.authn.saml.authn_request import NAME_ID_FORMATS
from proxy.authn.saml.instants import spelled
from proxy.authn.saml.keypair import PrivateKey, public_bytes
from proxy.authn.saml.messages import Entity
from proxy.authn.saml.signature import sign
from proxy.authn.saml.strict_xml import DS, MD, SAMLP, XENC, XENC11, Element, tag, to_bytes

_VALIDITY = 14 * 86_400.0  # seconds; whoever keeps metadata asks again long before
_POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
_ENCRYPTION = (
    f"{XENC11}aes256-gcm",
    f"{XENC11}aes128-gcm",
    f"{XENC}rsa-oaep-mgf1p",
)


def own_metadata(
    entity: Entity,
    key: PrivateKey,
    certificates: Sequence[x509.Certificate],
    *,
    name_id: str,
    identifier: str,
    now: float,
) -> bytes:
    """A signed EntityDescriptor. The first certificate belongs to `key` and is the one to encrypt for; the others are
    former ones. `identifier` is the document's ID."""
    root = etree.Element(
        tag(MD, "EntityDescriptor"),
        {"entityID": entity.entity_id, "ID": identifier, "validUntil": spelled(now + _VALIDITY)},
        nsmap={"md": MD, "ds": DS},
    )
    role = etree.SubElement(
        root,
        tag(MD, "SPSSODescriptor"),
        {
            "protocolSupportEnumeration": SAMLP,
            "AuthnRequestsSigned": "true",
            "WantAssertionsSigned": "true",
        },
    )
    for certificate in certificates:
        _key(role, certificate, "signing")
    if isinstance(key, rsa.RSAPrivateKey):  # nobody can encrypt for an EC key by RSA-OAEP
        descriptor = _key(role, certificates[0], "encryption")
        for algorithm in _ENCRYPTION:
            etree.SubElement(descriptor, tag(MD, "EncryptionMethod"), {"Algorithm": algorithm})
    for binding in (_REDIRECT, _POST):
        etree.SubElement(role, tag(MD, "SingleLogoutService"), {"Binding": binding, "Location": entity.slo_url})
    if name_id in NAME_ID_FORMATS:
        etree.SubElement(role, tag(MD, "NameIDFormat")).text = NAME_ID_FORMATS[name_id]
    etree.SubElement(
        role,
        tag(MD, "AssertionConsumerService"),
        {"Binding": _POST, "Location": entity.acs_url, "index": "0", "isDefault": "true"},
    )
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + to_bytes(sign(root, key, after=None))


def _key(role: Element, certificate: x509.Certificate, use: str) -> Element:
    descriptor = etree.SubElement(role, tag(MD, "KeyDescriptor"), {"use": use})
    data = etree.SubElement(etree.SubElement(descriptor, tag(DS, "KeyInfo")), tag(DS, "X509Data"))
    der = certificate.public_bytes(serialization.Encoding.DER)
    etree.SubElement(data, tag(DS, "X509Certificate")).text = base64.b64encode(der).decode("ascii")
    return descriptor


def same_key(key: PrivateKey, certificate: x509.Certificate) -> bool:
    """Whether a certificate belongs to a key."""
    return public_bytes(key.public_key()) == public_bytes(certificate.public_key())
