"""What we ask a provider when somebody is to log in. No I/O. SAML core, section 3.4.1; profiles, section 4.1.4.1."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

from lxml import etree

from proxy.authn.saml import redirect
from proxy.authn.saml.instants import spelled
from proxy.authn.saml.keypair import PrivateKey
from proxy.authn.saml.messages import Binding, Entity, Outgoing
from proxy.authn.saml.metadata import Endpoint
from proxy.authn.saml.signature import sign
from proxy.authn.saml.strict_xml import SAML, SAMLP, Element, is_id, tag, to_bytes

NAME_ID_FORMATS: Final = {  # by setting `name_id`; "unspecified" leaves the choice to the provider
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "transient": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
    "email": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
}
_POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_ISSUER: Final = tag(SAML, "Issuer")


def authn_request(
    entity: Entity, *, identifier: str, destination: str, name_id: str, force: bool, acr: Sequence[str], now: float
) -> Element:
    """An unsigned AuthnRequest. `force` asks for a fresh login, `acr` for one of these AuthnContextClassRefs."""
    request = message("AuthnRequest", entity, identifier, destination, now)
    request.set("AssertionConsumerServiceURL", entity.acs_url)
    request.set("ProtocolBinding", _POST)
    if force:
        request.set("ForceAuthn", "true")
    policy = etree.SubElement(request, tag(SAMLP, "NameIDPolicy"))
    if name_id in NAME_ID_FORMATS:
        policy.set("Format", NAME_ID_FORMATS[name_id])
    if name_id != "transient":  # core, section 3.4.1.1: makes no sense there
        policy.set("AllowCreate", "true")
    if acr:
        context = etree.SubElement(request, tag(SAMLP, "RequestedAuthnContext"), {"Comparison": "exact"})
        for reference in acr:
            etree.SubElement(context, tag(SAML, "AuthnContextClassRef")).text = reference
    return request


def message(name: str, entity: Entity, identifier: str, destination: str, now: float) -> Element:
    """What every message of ours has. Raises ValueError for an `identifier` that is no XML name."""
    if not is_id(identifier):
        raise ValueError("an ID must begin with a letter or an underscore and hold letters, digits, _, - and . only")
    root = etree.Element(
        tag(SAMLP, name),
        {"ID": identifier, "Version": "2.0", "IssueInstant": spelled(now), "Destination": destination},
        nsmap={"samlp": SAMLP, "saml": SAML},
    )
    etree.SubElement(root, _ISSUER).text = entity.entity_id
    return root


def chosen(endpoints: dict[str, Endpoint], preferred: Binding) -> Binding | None:
    """The binding to use: the preferred one, else the other, else none."""
    other: Binding = "post" if preferred == "redirect" else "redirect"
    return preferred if preferred in endpoints else other if other in endpoints else None


def outgoing(
    document: Element, url: str, binding: Binding, parameter: redirect.Parameter, relay_state: str, key: PrivateKey
) -> Outgoing:
    """Signed as its binding wants it: in the query, or in the XML. SAML bindings, sections 3.4 and 3.5."""
    if len(relay_state) > 1024:
        raise ValueError("a relay state must not be longer than 1024 characters")
    if binding == "redirect":
        return Outgoing(kind="redirect", url=redirect.url(url, parameter, to_bytes(document), relay_state, key))
    signed = base64.b64encode(to_bytes(sign(document, key, after=_ISSUER))).decode("ascii")
    fields = {parameter: signed, **({"RelayState": relay_state} if relay_state else {})}
    return Outgoing(kind="post", url=url, fields=fields)
