"""The HTTP-Redirect binding: DEFLATE, base64, a query, and a signature over the very octets of that query.

SAML bindings, section 3.4. No I/O.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import quote, unquote_plus, urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from proxy.authn.errors import CallbackInvalid
from proxy.authn.saml.keypair import PrivateKey
from proxy.authn.saml.signature import SignatureRefused, UnknownSigner
from proxy.authn.saml.strict_xml import MAX_BYTES, XmlRefused, decode_base64

Parameter = Literal["SAMLRequest", "SAMLResponse"]
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_MAX_QUERY = 64 * 1024
_KNOWN = frozenset({"SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding"})


class Arrived(msgspec.Struct, frozen=True):
    """A message from a query whose signature was verified."""

    document: bytes
    relay_state: str


def url(endpoint: str, parameter: Parameter, document: bytes, relay_state: str, key: PrivateKey) -> str:
    """The address that carries a signed message."""
    squeezed = zlib.compressobj(wbits=-15)
    packed = base64.b64encode(squeezed.compress(document) + squeezed.flush()).decode("ascii")
    query = f"{parameter}={quote(packed, safe='')}"
    if relay_state:
        query += f"&RelayState={quote(relay_state, safe='')}"
    algorithm = "rsa-sha256" if isinstance(key, rsa.RSAPrivateKey) else "ecdsa-sha256"
    query += f"&SigAlg={quote(_MORE + algorithm, safe='')}"
    value = quote(base64.b64encode(_signature(query.encode("ascii"), key)).decode("ascii"), safe="")
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}&Signature={value}"


def read(query: str, parameter: Parameter, certificates: Sequence[x509.Certificate]) -> Arrived:
    """The message in a raw query string (as it arrived, still encoded).

    Raises `CallbackInvalid`, `UnknownSigner` or `SignatureRefused`.
    """
    fields = _fields(query)
    if parameter not in fields or len(fields.keys() & {"SAMLRequest", "SAMLResponse"}) != 1:
        raise CallbackInvalid(f"the query has no {parameter}")
    if "SigAlg" not in fields or "Signature" not in fields:
        raise SignatureRefused("the message is not signed")
    signed = "&".join(f"{name}={fields[name]}" for name in (parameter, "RelayState", "SigAlg") if name in fields)
    _verify(signed.encode("ascii"), unquote_plus(fields["SigAlg"]), unquote_plus(fields["Signature"]), certificates)
    document = _inflated(decode_base64(unquote_plus(fields[parameter])))
    return Arrived(document, unquote_plus(fields.get("RelayState", "")))


def _fields(query: str) -> dict[str, str]:
    """Name → raw value. A name twice is refused: the signature would cover one, a reader might take the other."""
    if len(query) > _MAX_QUERY or not query.isascii():
        raise CallbackInvalid("the query is too long or not ASCII")
    fields: dict[str, str] = {}
    for part in query.split("&"):
        name, _equals, value = part.partition("=")
        if unquote_plus(name) in _KNOWN and (name not in _KNOWN or name in fields):
            raise CallbackInvalid("the query holds a parameter twice, or hides one")
        fields[name] = value
    if "SAMLEncoding" in fields:
        raise CallbackInvalid("the message has an encoding that is not accepted")
    return {name: value for name, value in fields.items() if name in _KNOWN}


def _inflated(data: bytes) -> bytes:
    """Raw DEFLATE, never more than a message may have, and nothing after its end."""
    engine = zlib.decompressobj(wbits=-15)
    try:
        document = engine.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        raise XmlRefused("the message is not DEFLATE") from None
    if len(document) > MAX_BYTES or not engine.eof or engine.unused_data:
        raise XmlRefused("the message is too large, cut off, or has something after its end")
    return document


def _signature(data: bytes, key: PrivateKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    size = (key.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")  # as XML Signature 1.1 writes it, section 6.4.3


def _verify(data: bytes, algorithm: str, value: str, certificates: Sequence[x509.Certificate]) -> None:
    kind, _dash, bits = algorithm.removeprefix(_MORE).partition("-sha")
    if not algorithm.startswith(_MORE) or kind not in ("rsa", "ecdsa") or bits not in _HASHES:
        raise SignatureRefused(f"the signature algorithm {algorithm[:100]!r} is not accepted")
    signature = decode_base64(value)
    for certificate in certificates:
        key = certificate.public_key()
        try:
            if kind == "rsa" and isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, padding.PKCS1v15(), _HASHES[bits])
                return
            if kind == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(_der(signature, key.key_size), data, ec.ECDSA(_HASHES[bits]))
                return
        except (InvalidSignature, ValueError):
            continue
    raise UnknownSigner("no certificate of the provider's metadata fits the signature of the query")


def _der(signature: bytes, bits: int) -> bytes:
    """Both spellings are about: r and s side by side (XML Signature), and DER (what Java's providers make)."""
    size = (bits + 7) // 8
    if len(signature) != 2 * size:
        return signature
    return utils.encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
