"""SAML 2.0 messages as an identity provider writes and reads them. No I/O, no clock: times are parameters.

Core, bindings, profiles and metadata of SAML 2.0 (OASIS, 2005). Messages to us come by redirect; ours go by form.
"""

from __future__ import annotations

import base64
import secrets
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from lxml.builder import ElementMaker
from signxml.algorithms import CanonicalizationMethod
from signxml.signer import XMLSigner

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
DS = "http://www.w3.org/2000/09/xmldsig#"
BINDING = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-"
ONE_FACTOR = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
TWO_FACTORS = "https://refeds.org/profile/mfa"
_RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
_MAX = 64 * 1024  # bytes of a message

Element = etree._Element  # lxml's only name for the type
_saml = ElementMaker(namespace=SAML, nsmap={"saml": SAML})
_samlp = ElementMaker(namespace=SAMLP, nsmap={"samlp": SAMLP, "saml": SAML})
_md = ElementMaker(namespace=MD, nsmap={"md": MD, "ds": DS})
_ds = ElementMaker(namespace=DS, nsmap={"ds": DS})


class Wrong(Exception):
    """A message that is not answered; the text says why."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The service provider, as its metadata describes it."""

    entity_id: str
    acs: str
    slo: str
    certificates: tuple[bytes, ...]  # DER


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A verified message: what kind, and what of it matters here."""

    kind: str
    id: str
    relay_state: str
    force: bool = False
    contexts: tuple[str, ...] = ()
    session_indexes: tuple[str, ...] = ()
    name_id: str = ""


class Signer:
    """The provider's key, made with it, and its entity ID."""

    def __init__(self, origin: str, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
        self.origin = origin
        self.entity_id = f"{origin}/metadata"
        self._certificate = certificate
        self._key = key

    def metadata(self) -> bytes:
        """What the proxy is configured with."""
        text = base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()
        key = _md.KeyDescriptor(_ds.KeyInfo(_ds.X509Data(_ds.X509Certificate(text))), use="signing")
        role = _md.IDPSSODescriptor(
            key,
            _md.SingleLogoutService(Binding=f"{BINDING}Redirect", Location=f"{self.origin}/slo"),
            _md.SingleSignOnService(Binding=f"{BINDING}Redirect", Location=f"{self.origin}/sso"),
            protocolSupportEnumeration=SAMLP,
            WantAuthnRequestsSigned="true",
        )
        return etree.tostring(
            _md.EntityDescriptor(role, entityID=self.entity_id), xml_declaration=True, encoding="UTF-8"
        )

    def sign(self, element: Element) -> Element:
        """A copy with a signature after its Issuer, where the schema wants it."""
        place = etree.Element(f"{{{DS}}}Signature", {"Id": "placeholder"}, nsmap={"ds": DS})
        element.insert(1, place)
        signer = XMLSigner(
            signature_algorithm="rsa-sha256", c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
        )
        uri = f"#{element.get('ID')}"
        signed: Element = signer.sign(
            element, key=self._key, cert=[self._certificate], reference_uri=uri, id_attribute="ID"
        )
        return signed

    def form(self, element: Element) -> str:
        """A signed message as a form field carries it."""
        return base64.b64encode(etree.tostring(self.sign(element))).decode()

    def redirect(self, url: str, parameter: str, element: Element, relay_state: str) -> str:
        """The address that carries a message, signed in its query (bindings, section 3.4.4.1)."""
        engine = zlib.compressobj(wbits=-15)
        packed = base64.b64encode(engine.compress(etree.tostring(element)) + engine.flush()).decode()
        query = f"{parameter}={quote(packed, safe='')}"
        query += f"&RelayState={quote(relay_state, safe='')}" if relay_state else ""
        query += f"&SigAlg={quote(_RSA_SHA256, safe='')}"
        signature = self._key.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{url}?{query}&Signature={quote(base64.b64encode(signature).decode(), safe='')}"


def instant(moment: float) -> str:
    """Seconds since the epoch as SAML writes them."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id() -> str:
    """The ID of a message or an assertion."""
    return "_" + secrets.token_hex(20)


def _head(now: float, destination: str, **more: str) -> dict[str, str]:
    return {"ID": new_id(), "Version": "2.0", "IssueInstant": instant(now), "Destination": destination, **more}


def _status(code: str, more: str = "") -> Element:
    inner = _samlp.StatusCode(Value=f"urn:oasis:names:tc:SAML:2.0:status:{code}")
    if more:
        inner.append(_samlp.StatusCode(Value=f"urn:oasis:names:tc:SAML:2.0:status:{more}"))
    return _samlp.Status(inner)


def assertion(
    issuer: str, peer: Peer, name_id: str, told: Mapping[str, tuple[str, ...]], how: Mapping[str, str], now: float
) -> Element:
    """Who somebody is. `how`: `request`, `index`, `context`, and `since`, an instant."""
    confirmed = _saml.SubjectConfirmationData(
        InResponseTo=how["request"], Recipient=peer.acs, NotOnOrAfter=instant(now + 120)
    )
    attributes = [
        _saml.Attribute(*(_saml.AttributeValue(value) for value in values), Name=name) for name, values in told.items()
    ]
    return _saml.Assertion(
        _saml.Issuer(issuer),
        _saml.Subject(
            _saml.NameID(name_id, Format=_PERSISTENT),
            _saml.SubjectConfirmation(confirmed, Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"),
        ),
        _saml.Conditions(
            _saml.AudienceRestriction(_saml.Audience(peer.entity_id)),
            NotBefore=instant(now - 30),
            NotOnOrAfter=instant(now + 120),
        ),
        _saml.AuthnStatement(
            _saml.AuthnContext(_saml.AuthnContextClassRef(how["context"])),
            AuthnInstant=how["since"],
            SessionIndex=how["index"],
        ),
        _saml.AttributeStatement(*attributes),
        ID=new_id(),
        Version="2.0",
        IssueInstant=instant(now),
    )


def response(issuer: str, peer: Peer, request_id: str, inside: Element | None, now: float) -> Element:
    """A response with a signed assertion `inside`; None is a person who said no."""
    root = _samlp.Response(_saml.Issuer(issuer), **_head(now, peer.acs, InResponseTo=request_id))
    root.append(_status("Success") if inside is not None else _status("Responder", "AuthnFailed"))
    if inside is not None:
        root.append(inside)
    return root


def logout_request(issuer: str, peer: Peer, name_id: str, index: str, now: float) -> Element:
    """Ask the service provider to end a login."""
    return _samlp.LogoutRequest(
        _saml.Issuer(issuer),
        _saml.NameID(name_id, Format=_PERSISTENT),
        _samlp.SessionIndex(index),
        **_head(now, peer.slo, NotOnOrAfter=instant(now + 120)),
    )


def logout_response(issuer: str, peer: Peer, request_id: str, now: float) -> Element:
    """Tell the service provider that a login has ended here."""
    return _samlp.LogoutResponse(
        _saml.Issuer(issuer), _status("Success"), **_head(now, peer.slo, InResponseTo=request_id)
    )


# --- reading


def _parsed(data: bytes) -> Element:
    if len(data) > _MAX or b"<!" in data:
        raise Wrong("The message is too large, or not plain XML.")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise Wrong("The message is not XML.") from error


def read_peer(metadata: bytes) -> Peer:
    """The service provider from its metadata. Raises Wrong."""
    root = _parsed(metadata)
    acs, slo = root.find(f".//{{{MD}}}AssertionConsumerService"), root.find(f".//{{{MD}}}SingleLogoutService")
    keys = [str(each.text or "") for each in root.iterfind(f".//{{{DS}}}X509Certificate")]
    if acs is None or slo is None or not keys:
        raise Wrong("The proxy’s metadata is not complete.")
    return Peer(
        entity_id=str(root.get("entityID")),
        acs=str(acs.get("Location")),
        slo=str(slo.get("Location")),
        certificates=tuple(base64.b64decode(key) for key in keys),
    )


def read_redirect(query: str, peer: Peer) -> Request:
    """A message of the service provider, from the raw query it came in. Raises Wrong."""
    raw = dict(part.partition("=")[::2] for part in query.split("&"))
    parameter = "SAMLRequest" if "SAMLRequest" in raw else "SAMLResponse"
    if parameter not in raw or unquote_plus(raw.get("SigAlg", "")) != _RSA_SHA256:
        raise Wrong("There is no signed message in the address.")
    signed = "&".join(f"{name}={raw[name]}" for name in (parameter, "RelayState", "SigAlg") if name in raw)
    _verify(signed.encode(), _decoded(raw.get("Signature", "")), peer)
    engine = zlib.decompressobj(wbits=-15)
    try:
        root = _parsed(engine.decompress(_decoded(raw[parameter]), _MAX + 1))
    except zlib.error as error:
        raise Wrong("The message is not DEFLATE.") from error
    if root.findtext(f"{{{SAML}}}Issuer") != peer.entity_id:
        raise Wrong("The message comes from somebody else than the proxy (Issuer).")
    return Request(
        kind=etree.QName(root).localname,
        id=str(root.get("ID")),
        relay_state=unquote_plus(raw.get("RelayState", "")),
        force=root.get("ForceAuthn") == "true",
        contexts=tuple(str(each.text) for each in root.iterfind(f".//{{{SAML}}}AuthnContextClassRef")),
        session_indexes=tuple(str(each.text) for each in root.iterfind(f"{{{SAMLP}}}SessionIndex")),
        name_id=root.findtext(f"{{{SAML}}}NameID") or "",
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(unquote_plus(text), validate=True)
    except ValueError as error:
        raise Wrong("The message is not base64.") from error


def _verify(data: bytes, signature: bytes, peer: Peer) -> None:
    for der in peer.certificates:
        key = x509.load_der_x509_certificate(der).public_key()
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
                return
        except InvalidSignature:
            continue
    raise Wrong("The message is not signed by the proxy.")
