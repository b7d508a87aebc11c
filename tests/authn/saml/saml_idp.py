"""An identity provider that signs real responses and can be told each lie."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree
from saml_encryption import encrypted
from saml_signer import DS, SAML, SAMLP, Element, Key, certificate_text, rsa_key, sign

NOW = 1_800_000_000.0
IDP = "https://idp.partner.example/metadata"
SSO = "https://idp.partner.example/sso"
SLO = "https://idp.partner.example/slo"
ENTITY = "https://login.example/.ostiary/saml/partner/metadata"
ACS = "https://login.example/.ostiary/saml/partner/acs"
OUR_SLO = "https://login.example/.ostiary/saml/partner/slo"
REQUEST = "_request-1"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
STATUS = "urn:oasis:names:tc:SAML:2.0:status:"
REDIRECT_BINDING = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST_BINDING = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"

TRUTH: dict[str, Any] = {
    "issuer": IDP,
    "assertion_issuer": IDP,
    "destination": ACS,
    "recipient": ACS,
    "audience": ENTITY,
    "in_response_to": REQUEST,
    "confirmed_for": REQUEST,
    "method": BEARER,
    "status": [f"{STATUS}Success"],
    "version": "2.0",
    "assertion_version": "2.0",
    "response_id": "_response-1",
    "assertion_id": "_assertion-1",
    "name_id": "alice@partner.example",
    "name_id_attributes": "",
    "class_ref": PASSWORD,
    "session_index": "session-1",
    # times: seconds from now, None leaves the attribute out
    "issued": 0,
    "assertion_issued": 0,
    "not_before": -30,
    "until": 300,
    "confirmed_until": 300,
    "authenticated": -5,
    "session_until": None,
    "attributes": {"email": ["alice@partner.example"], "name": ["Alice"], "groups": ["sre", "staff"]},
    "conditions": "",  # more of them, as XML
    "subject": None,  # all of the subject's name, as XML
    "statement": "",  # more of the assertion, as XML
}


def when(offset: float | None, name: str) -> str:
    """An attribute, or nothing."""
    return "" if offset is None else f' {name}="{instant(NOW + offset)}"'


def instant(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _attribute(name: str, value: object) -> str:
    return "" if value is None else f" {name}={quoteattr(str(value))}"


def _element(name: str, value: object) -> str:
    return "" if value is None else f"<{name}>{escape(str(value))}</{name}>"


def _attributes(values: Mapping[str, Sequence[str]]) -> str:
    def one(value: str) -> str:
        return (
            value
            if value.startswith("<")
            else f'<saml:AttributeValue xsi:type="xs:string">{escape(value)}</saml:AttributeValue>'
        )

    listed = "".join(
        f"<saml:Attribute Name={quoteattr(name)}>{''.join(map(one, each))}</saml:Attribute>"
        for name, each in values.items()
    )
    return f"<saml:AttributeStatement>{listed}</saml:AttributeStatement>" if values else ""


def assertion_xml(told: Mapping[str, Any]) -> str:
    """An unsigned assertion."""
    audience = f"<saml:AudienceRestriction>{_element('saml:Audience', told['audience'])}</saml:AudienceRestriction>"
    name = f"<saml:NameID{told['name_id_attributes']}>{escape(told['name_id'])}</saml:NameID>"
    return (
        f'<saml:Assertion xmlns:saml="{SAML}" ID="{told["assertion_id"]}" Version="{told["assertion_version"]}"'
        f"{when(told['assertion_issued'], 'IssueInstant')}>{_element('saml:Issuer', told['assertion_issuer'])}"
        f"<saml:Subject>{told['subject'] or name}<saml:SubjectConfirmation{_attribute('Method', told['method'])}>"
        f"<saml:SubjectConfirmationData{_attribute('Recipient', told['recipient'])}"
        f"{_attribute('InResponseTo', told['confirmed_for'])}{when(told['confirmed_until'], 'NotOnOrAfter')}/>"
        f"</saml:SubjectConfirmation></saml:Subject>"
        f"<saml:Conditions{when(told['not_before'], 'NotBefore')}{when(told['until'], 'NotOnOrAfter')}>"
        f"{audience if told['audience'] is not None else ''}{told['conditions']}</saml:Conditions>"
        f"<saml:AuthnStatement{when(told['authenticated'], 'AuthnInstant')}"
        f"{_attribute('SessionIndex', told['session_index'])}{when(told['session_until'], 'SessionNotOnOrAfter')}>"
        f"<saml:AuthnContext>{_element('saml:AuthnContextClassRef', told['class_ref'])}</saml:AuthnContext>"
        f"</saml:AuthnStatement>{_attributes(told['attributes'])}{told['statement']}</saml:Assertion>"
    )


def response_xml(told: Mapping[str, Any]) -> Element:
    """An unsigned response. Namespaces of values are declared at the root, as many providers do it."""
    codes = "".join(f"<samlp:StatusCode Value={quoteattr(code)}>" for code in told["status"])
    codes += "</samlp:StatusCode>" * len(told["status"])
    return etree.fromstring(
        f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:saml="{SAML}" '
        f'ID="{told["response_id"]}" Version="{told["version"]}"{when(told["issued"], "IssueInstant")}'
        f"{_attribute('Destination', told['destination'])}{_attribute('InResponseTo', told['in_response_to'])}>"
        f"{_element('saml:Issuer', told['issuer'])}<samlp:Status>{codes}</samlp:Status>"
        f"{assertion_xml(told)}</samlp:Response>"
    )


class Idp:
    """`keys` are announced as signing keys, the first one signs."""

    def __init__(self, *keys: Key) -> None:
        self.keys = keys or (rsa_key("idp"),)

    def response(
        self,
        *,
        signed: str = "assertion",
        key: Key | bytes | None = None,
        lies: Mapping[str, object] | None = None,
        encryption: Mapping[str, object] | None = None,
        **told: object,
    ) -> Element:
        """A response. `signed`: any of the words assertion and response; `lies`: see `saml_signer.signature`."""
        key = self.keys[0] if key is None else key
        root = response_xml({**TRUTH, **told})
        assertion = root[-1]
        if "assertion" in signed:
            sign(assertion, key, **(lies or {}))
        if encryption is not None:
            root.replace(assertion, encrypted(assertion, **encryption))  # type: ignore[arg-type]  # a case's words
        if "response" in signed:
            sign(root, key, **(lies or {}))
        return root

    def metadata(self, *, entity_id: str = IDP, services: str | None = None, attributes: str = "") -> bytes:
        """An EntityDescriptor. `attributes` are added to it, as XML."""
        announced = "".join(
            '<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>'
            f"{certificate_text(key)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            for key in self.keys
        )
        usual = "".join(
            f'<md:{name} Binding="{binding}" Location="{where}"/>'
            for name, where in (("SingleLogoutService", SLO), ("SingleSignOnService", SSO))
            for binding in (REDIRECT_BINDING, POST_BINDING)
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" '
            f'xmlns:ds="{DS}" '
            f'entityID="{entity_id}"{attributes}><md:IDPSSODescriptor protocolSupportEnumeration="{SAMLP}">'
            f"{announced}{usual if services is None else services}</md:IDPSSODescriptor></md:EntityDescriptor>"
        ).encode()


def posted(root: Element | bytes) -> str:
    """As the browser posts it."""
    data = root if isinstance(root, bytes) else etree.tostring(root)
    return base64.b64encode(data).decode()
