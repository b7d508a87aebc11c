"""Single logout, in both directions. No I/O, no clock. SAML core, section 3.7; profiles, section 4.4.

Both directions are signed, by either binding, or they are nothing: a forged request would end other people's sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree

from proxy.authn.errors import CallbackInvalid, LoginRefused
from proxy.authn.saml import redirect, signature
from proxy.authn.saml.assertion import name_id_of
from proxy.authn.saml.authn_request import message
from proxy.authn.saml.instants import SKEW, instant_of, required_instant
from proxy.authn.saml.messages import Entity, LogoutRequest, NameId
from proxy.authn.saml.response import (
    SUCCESS,
    Expected,
    check_answers,
    check_destination,
    check_issuer,
    status_of,
)
from proxy.authn.saml.strict_xml import (
    SAML,
    SAMLP,
    Element,
    XmlRefused,
    check_unique_ids,
    children,
    decode_base64,
    id_of,
    parse,
    tag,
    text_of,
)

FRESH = 300.0  # seconds for which a message without an end of its own counts
_PARTIAL = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
_MAX_INDEXES = 100


def request(
    entity: Entity, name: NameId, session_index: str, *, identifier: str, destination: str, now: float
) -> Element:
    """An unsigned LogoutRequest for one login."""
    root = message("LogoutRequest", entity, identifier, destination, now)
    told = {
        "Format": name.format,
        "NameQualifier": name.name_qualifier,
        "SPNameQualifier": name.sp_name_qualifier,
    }
    element = etree.SubElement(root, tag(SAML, "NameID"), {key: value for key, value in told.items() if value})
    element.text = name.value
    if session_index:
        etree.SubElement(root, tag(SAMLP, "SessionIndex")).text = session_index
    return root


def answer(
    entity: Entity, *, identifier: str, in_response_to: str, destination: str, complete: bool, now: float
) -> Element:
    """An unsigned LogoutResponse. `complete` is false when a session here could not be ended."""
    root = message("LogoutResponse", entity, identifier, destination, now)
    root.set("InResponseTo", in_response_to)
    status = etree.SubElement(root, tag(SAMLP, "Status"))
    code = etree.SubElement(status, tag(SAMLP, "StatusCode"), {"Value": SUCCESS})
    if not complete:
        etree.SubElement(code, tag(SAMLP, "StatusCode"), {"Value": _PARTIAL})
    return root


def arrived(
    parameter: redirect.Parameter,
    query: str,
    form: Mapping[str, str] | None,
    certificates: Sequence[x509.Certificate],
) -> tuple[Element, str]:
    """The verified root of a message and its relay state, by whichever binding it came.

    `query` is the raw query string, `form` the posted fields (then `query` is not looked at).
    Raises `CallbackInvalid` or `signature.SignatureRefused`.
    """
    if form is None:
        carried = redirect.read(query, parameter, certificates)
        root = parse(carried.document)
        signature.check_places(root, [])  # the signature is in the query
        return root, carried.relay_state
    if parameter not in form:
        raise CallbackInvalid(f"the form has no {parameter}")
    root = parse(decode_base64(form[parameter]))
    check_unique_ids(root)
    signature.check_places(root, [root])
    if not signature.is_signed(root):
        raise signature.SignatureRefused("the message is not signed")
    return signature.verified(root, certificates), form.get("RelayState", "")


def read_request(
    root: Element, relay_state: str, expected: Expected, keys: Sequence[rsa.RSAPrivateKey], provider: str
) -> LogoutRequest:
    """Check a verified LogoutRequest. Raises `LoginRefused` or `XmlRefused`."""
    until = _check_message(root, "LogoutRequest", expected)
    name = name_id_of(root, keys)
    indexes = tuple(text_of(each) for each in children(root, SAMLP, "SessionIndex"))
    if len(indexes) > _MAX_INDEXES:
        raise XmlRefused("the logout request names too many sessions")
    identifier = id_of(root)
    return LogoutRequest(
        id=identifier,
        name_id=name,
        session_indexes=indexes,
        sessions=_sessions(name, indexes, subject_is_name_id=expected.subject_is_name_id),
        relay_state=relay_state,
        key=f"saml:{provider}:logout:{identifier}",
        expires=until + SKEW,
    )


def read_answer(root: Element, expected: Expected) -> bool:
    """Check a verified LogoutResponse. True when everything was ended. Raises `LoginRefused` or `XmlRefused`."""
    _check_message(root, "LogoutResponse", expected)
    check_answers(root.get("InResponseTo"), expected.request_id, "the logout response")
    code, words = status_of(root)
    return code == SUCCESS and "PartialLogout" not in words


def _check_message(root: Element, name: str, expected: Expected) -> float:
    """Returns until when the message counts."""
    if root.tag != tag(SAMLP, name) or root.get("Version") != "2.0":
        raise XmlRefused(f"the message is not a {name} of SAML 2.0")
    check_issuer(root, expected.idp, required=True)
    check_destination(root, expected.entity.slo_url, required=True)
    issued = required_instant(root, "IssueInstant")
    if issued > expected.now + SKEW:
        raise LoginRefused(f"the {name} was issued in the future: is a clock wrong?")
    end = instant_of(root, "NotOnOrAfter")
    until = issued + FRESH if end is None else min(end, issued + 12 * FRESH)
    if expected.now >= until + SKEW:
        raise LoginRefused(f"the {name} has expired")
    return until


def _sessions(name: NameId, indexes: tuple[str, ...], *, subject_is_name_id: bool) -> tuple[tuple[str, str], ...]:
    """Which sessions are meant, as (subject, provider_sid), "" being any. Without an index: all of that person."""
    if not subject_is_name_id:
        return (("", name.reference("")),)
    if not indexes:
        return ((name.value, ""),)
    return tuple((name.value, name.reference(index)) for index in indexes)
