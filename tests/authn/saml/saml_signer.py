"""XML signatures made by hand, so that every part of one can be a lie. Independent of the library that verifies."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lxml import etree

from proxy.authn.saml.keypair import self_signed

DS = "http://www.w3.org/2000/09/xmldsig#"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = DS + "enveloped-signature"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
RSA_SHA256 = MORE + "rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
SHA1 = DS + "sha1"
DIGESTS = {
    SHA1: "sha1",
    SHA256: "sha256",
    MORE + "sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Element = etree._Element


@lru_cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """One key for each name, for the whole run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@lru_cache
def ec_key(name: str, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


@lru_cache
def certificate(key: Key, now: float = 1_700_000_000.0) -> x509.Certificate:
    return self_signed(key, "idp", now)


def pem_of(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate_pem(key: Key) -> bytes:
    return certificate(key).public_bytes(serialization.Encoding.PEM)


def certificate_text(key: Key) -> str:
    return base64.b64encode(certificate(key).public_bytes(serialization.Encoding.DER)).decode()


def canonical(element: Element, prefixes: Sequence[str] = ()) -> bytes:
    alone = etree.fromstring(etree.tostring(element, with_tail=False))
    return etree.tostring(alone, method="c14n", exclusive=True, inclusive_ns_prefixes=list(prefixes) or None)


def raw_signature(data: bytes, key: Key | bytes, method: str) -> bytes:
    """By the algorithm's URI; `key` is bytes for HMAC."""
    name = method.rpartition("#")[2]
    digest = HASHES.get(name.rpartition("-")[2], hashes.SHA256)()
    if isinstance(key, bytes):
        return hmac.digest(key, data, digest.name)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), digest)
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
    size = (key.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def signature(
    element: Element,
    key: Key | bytes,
    *,
    method: str = RSA_SHA256,
    digest: str = SHA256,
    canonicalization: str = EXC,
    transforms: Sequence[str] = (ENVELOPED, EXC),
    parameters: str = "",
    prefixes: Sequence[str] = (),
    uri: str | None = None,
    references: int = 1,
    key_info: str = "",
    extra: str = "",
) -> Element:
    """A signature over `element` as it is now. `parameters` are put into the last transform,
    `extra` at the end; `prefixes` are those of InclusiveNamespaces."""
    value = base64.b64encode(hashlib.new(DIGESTS[digest], canonical(element, prefixes)).digest()).decode()
    if prefixes:
        parameters = f'<e:InclusiveNamespaces xmlns:e="{EXC}" PrefixList="{" ".join(prefixes)}"/>'
    listed = "".join(
        f'<ds:Transform Algorithm="{name}">{parameters if name == transforms[-1] else ""}</ds:Transform>'
        for name in transforms
    )
    reference = (
        f'<ds:Reference URI="{"#" + str(element.get("ID")) if uri is None else uri}"><ds:Transforms>{listed}'
        f'</ds:Transforms><ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue>{value}</ds:DigestValue>'
        "</ds:Reference>"
    )
    made = etree.fromstring(
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{canonicalization}"/>'
        f'<ds:SignatureMethod Algorithm="{method}"/>{reference * references}</ds:SignedInfo>'
        f"<ds:SignatureValue/>{key_info}{extra}</ds:Signature>"
    )
    made[1].text = base64.b64encode(raw_signature(canonical(made[0]), key, method)).decode()
    return made


def sign(element: Element, key: Key | bytes, **lies: object) -> Element:
    """Put a signature after the Issuer, in place."""
    made = signature(element, key, **lies)  # type: ignore[arg-type]  # whatever a case names
    element.insert(1, made)
    return made


def key_info_of(key: Key) -> str:
    """KeyInfo that offers this key's certificate."""
    return (
        f'<ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>{certificate_text(key)}'
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    )


def key_value_of(key: rsa.RSAPrivateKey) -> str:
    """KeyInfo that offers the bare public key."""
    numbers = key.public_key().public_numbers()
    modulus = base64.b64encode(numbers.n.to_bytes(key.key_size // 8, "big")).decode()
    return (
        f'<ds:KeyInfo xmlns:ds="{DS}"><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus>'
        "<ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>"
    )
