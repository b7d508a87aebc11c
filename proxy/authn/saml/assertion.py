"""What a verified assertion must say, and what it says. No I/O, no clock.

SAML core, sections 2.3 to 2.7; profiles, sections 4.1.4.2 and 4.1.4.3 (browser single sign-on).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.authn.errors import LoginRefused
from proxy.authn.saml import encryption
from proxy.authn.saml.instants import SKEW, instant_of, required_instant
from proxy.authn.saml.messages import NameId
from proxy.authn.saml.response import Expected, check_answers, check_issuer
from proxy.authn.saml.strict_xml import SAML, Element, XmlRefused, children, id_of, only_child, tag, text_of

LONGEST = 24 * 3600.0  # seconds; an assertion good for longer is refused: its id would have to be remembered as long
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_CONDITIONS = {tag(SAML, name) for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction")}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an assertion says, checked. Times are seconds since the epoch."""

    id: str
    name_id: NameId
    auth_time: float
    acr: str  # AuthnContextClassRef, "" when not told
    session_index: str
    session_expires: float | None
    expires: float  # nothing like it is accepted from then on
    attributes: dict[str, tuple[str, ...] | None]  # None: values that are no text


def read_assertion(assertion: Element, expected: Expected, keys: Sequence[rsa.RSAPrivateKey]) -> Said:
    """Check a verified assertion. Raises `LoginRefused` or `XmlRefused`."""
    if assertion.tag != tag(SAML, "Assertion") or assertion.get("Version") != "2.0":
        raise XmlRefused("it is not an assertion of SAML 2.0")
    if required_instant(assertion, "IssueInstant") > expected.now + SKEW:
        raise LoginRefused("the assertion was issued in the future: is a clock wrong?")
    check_issuer(assertion, expected.idp, required=True)
    until = min(_confirmed(assertion, expected), _conditions(assertion, expected))
    if until > expected.now + LONGEST:
        raise LoginRefused("the assertion is valid for more than a day")
    statement = _authentication(assertion, expected)
    return Said(
        id=id_of(assertion),
        name_id=_subject(assertion, expected, keys),
        auth_time=required_instant(statement, "AuthnInstant"),
        acr=_class_ref(statement),
        session_index=_session_index(statement),
        session_expires=instant_of(statement, "SessionNotOnOrAfter"),
        expires=until + SKEW,
        attributes=_attributes(assertion),
    )


def name_id_of(parent: Element, keys: Sequence[rsa.RSAPrivateKey]) -> NameId:
    """The NameID, or the one inside an EncryptedID, of something verified. Raises `LoginRefused` or `XmlRefused`."""
    hidden = children(parent, SAML, "EncryptedID")
    if hidden and not children(parent, SAML, "NameID"):
        element = encryption.opened(only_child(parent, SAML, "EncryptedID"), keys, cbc=True)
        if element.tag != tag(SAML, "NameID"):
            raise XmlRefused("what is encrypted is not a NameID")
    else:
        element = only_child(parent, SAML, "NameID")
        if hidden:
            raise XmlRefused("the subject has two names")
    value = text_of(element)
    if not 0 < len(value) <= 1024 or not value.isprintable():
        raise LoginRefused("the NameID is empty, too long, or holds what cannot be shown")
    return NameId(
        value=value,
        format=str(element.get("Format", "")),
        name_qualifier=str(element.get("NameQualifier", "")),
        sp_name_qualifier=str(element.get("SPNameQualifier", "")),
    )


def _subject(assertion: Element, expected: Expected, keys: Sequence[rsa.RSAPrivateKey]) -> NameId:
    name = name_id_of(only_child(assertion, SAML, "Subject"), keys)
    if not expected.subject_is_name_id:
        return name
    if expected.name_id_format and name.format != expected.name_id_format:
        raise LoginRefused(f"the NameID has format {name.format[:100]!r}: change it at the provider, or `name_id`")
    # A name is unique within its qualifiers only: two people may have the same under different ones.
    if name.name_qualifier not in ("", expected.idp):
        raise LoginRefused("the NameID is qualified by another provider: set attributes.subject")
    if name.sp_name_qualifier not in ("", expected.entity.entity_id):
        raise LoginRefused("the NameID is qualified for somebody else (SPNameQualifier): set attributes.subject")
    return name


def _confirmed(assertion: Element, expected: Expected) -> float:
    """Until when the assertion may be presented here: one bearer confirmation must hold in all points."""
    why = "it has no bearer confirmation"
    for confirmation in children(only_child(assertion, SAML, "Subject"), SAML, "SubjectConfirmation"):
        if confirmation.get("Method") != _BEARER:
            continue
        data = only_child(confirmation, SAML, "SubjectConfirmationData")
        if data.get("Recipient") != expected.entity.acs_url:
            why = "it is for another address (Recipient)"
            continue
        check_answers(data.get("InResponseTo"), expected.request_id, "the assertion")
        return _within(data, expected.now, "SubjectConfirmationData", required=True)
    raise LoginRefused(f"the assertion was not made to be presented here: {why}")


def _conditions(assertion: Element, expected: Expected) -> float:
    conditions = only_child(assertion, SAML, "Conditions")
    if any(child.tag not in _CONDITIONS for child in conditions):
        raise LoginRefused("the assertion has a condition nobody here understands")
    restrictions = children(conditions, SAML, "AudienceRestriction")
    if not restrictions:
        raise LoginRefused("the assertion names no audience")
    for restriction in restrictions:  # each must hold, by any of its audiences
        if expected.entity.entity_id not in [text_of(each) for each in children(restriction, SAML, "Audience")]:
            raise LoginRefused("the assertion is for somebody else (Audience)")
    return _within(conditions, expected.now, "Conditions", required=False)


def _within(element: Element, now: float, what: str, *, required: bool) -> float:
    """Check NotBefore and NotOnOrAfter; returns the latter, infinity when there is none."""
    begin, end = instant_of(element, "NotBefore"), instant_of(element, "NotOnOrAfter")
    if required and end is None:
        raise LoginRefused(f"{what} has no NotOnOrAfter")
    if begin is not None and now < begin - SKEW:
        raise LoginRefused(f"the assertion is not valid yet ({what} NotBefore): is a clock wrong?")
    if end is not None and now >= end + SKEW:
        raise LoginRefused(f"the assertion has expired ({what} NotOnOrAfter)")
    return float("inf") if end is None else end


def _authentication(assertion: Element, expected: Expected) -> Element:
    statement = only_child(assertion, SAML, "AuthnStatement")
    moment = required_instant(statement, "AuthnInstant")
    if moment > expected.now + SKEW:
        raise LoginRefused("the login happened in the future (AuthnInstant): is a clock wrong?")
    if expected.authenticated_since is not None and moment < expected.authenticated_since - SKEW:
        raise LoginRefused("a fresh login was asked for, and the provider told of an old one (AuthnInstant)")
    end = instant_of(statement, "SessionNotOnOrAfter")
    if end is not None and expected.now >= end + SKEW:
        raise LoginRefused("the provider's session is over (SessionNotOnOrAfter)")
    return statement


def _class_ref(statement: Element) -> str:
    context = only_child(statement, SAML, "AuthnContext")
    found = children(context, SAML, "AuthnContextClassRef")
    value = text_of(only_child(context, SAML, "AuthnContextClassRef")) if found else ""
    if len(value) > 256 or not value.isprintable():
        raise XmlRefused("AuthnContextClassRef is too long or holds what cannot be shown")
    return value


def _session_index(statement: Element) -> str:
    value = str(statement.get("SessionIndex", ""))
    if len(value) > 512:
        raise XmlRefused("SessionIndex is too long")
    return value


def _attributes(assertion: Element) -> dict[str, tuple[str, ...] | None]:
    """Name → values, several attributes of one name taken together. FriendlyName names nothing (core, 2.7.3.1)."""
    found: dict[str, tuple[str, ...] | None] = {}
    for attribute in assertion.iterfind(f"{tag(SAML, 'AttributeStatement')}/{tag(SAML, 'Attribute')}"):
        name = str(attribute.get("Name", ""))
        values = children(attribute, SAML, "AttributeValue")
        known = found.get(name, ())
        if known is None or any(len(value) for value in values):
            found[name] = None
        else:
            found[name] = (*known, *(text_of(value) for value in values))
    found.pop("", None)
    return found
