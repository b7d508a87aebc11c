"""From the document a browser brought to the one assertion in it that a trusted key signed. No I/O, no clock.

SAML core, section 3.4; profiles, section 4.1.4. Every way of wrapping a signed part into an unsigned whole needs a
second assertion, a second response, a signature in a strange place or an ID twice: each is refused before any signature
is looked at, and what is read afterwards is read from signed bytes only.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.authn.errors import LoginRefused
from proxy.authn.saml import encryption, signature
from proxy.authn.saml.instants import SKEW, required_instant
from proxy.authn.saml.messages import Entity
from proxy.authn.saml.strict_xml import (
    SAML,
    SAMLP,
    Element,
    XmlRefused,
    check_unique_ids,
    children,
    id_of,
    local_name,
    only_child,
    parse,
    tag,
    text_of,
)

SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_ENTITY_FORMAT = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
_STATUS = "urn:oasis:names:tc:SAML:2.0:status:"


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer must fit. `request_id` is None when nobody here asked; times are seconds since the epoch."""

    idp: str  # entity ID
    entity: Entity
    request_id: str | None
    now: float
    authenticated_since: float | None = None  # a fresh login was asked for then
    require_encryption: bool = False
    name_id_format: str = ""  # the one we asked for; "" is any
    subject_is_name_id: bool = True


class Trusted(msgspec.Struct, frozen=True):
    """The provider's certificates and our decryption keys."""

    certificates: Sequence[x509.Certificate]
    keys: Sequence[rsa.RSAPrivateKey]


def verified_assertion(document: bytes, trusted: Trusted, expected: Expected) -> Element:
    """The root of the one assertion, parsed from the bytes its signature, or the response's, speaks about.

    Raises `XmlRefused` (a document no honest provider sends), `signature.UnknownSigner` (perhaps a new key), or another
    `LoginRefused`.
    """
    root = parse(document)
    if root.tag != tag(SAMLP, "Response"):
        raise XmlRefused("the message is not a SAML response")
    check_unique_ids(root)
    _check_single(root, responses=1)
    plain = children(root, SAML, "Assertion")
    signature.check_places(root, [root, *plain])
    signed = signature.is_signed(root)
    response = signature.verified(root, trusted.certificates) if signed else root
    _check_envelope(response, expected, signed=signed)
    found = [*children(response, SAML, "Assertion"), *children(response, SAML, "EncryptedAssertion")]
    if len(found) != 1:
        raise XmlRefused(f"the response must have exactly one assertion, it has {len(found)}")
    if plain:
        if expected.require_encryption:
            raise LoginRefused("the assertion is not encrypted, and require_encryption asks for it")
        # its own signature was made over it as it arrived: canonicalising the response may have cut namespaces
        return _signed_part(plain[0], found[0], trusted, signed=signed)
    opened = encryption.opened(found[0], trusted.keys, cbc=signed)
    if opened.tag != tag(SAML, "Assertion"):
        raise XmlRefused("what is encrypted is not an assertion")
    check_unique_ids(root, opened)
    _check_single(opened, responses=0)
    signature.check_places(opened, [opened])
    return _signed_part(opened, opened, trusted, signed=signed)


def _signed_part(arrived: Element, inside: Element, trusted: Trusted, *, signed: bool) -> Element:
    """The assertion from under its own signature, else from under the response's."""
    if signature.is_signed(arrived):
        return signature.verified(arrived, trusted.certificates)
    if not signed:
        raise signature.SignatureRefused("neither the response nor the assertion is signed")
    return inside


def _check_single(root: Element, *, responses: int) -> None:
    """One assertion at most in the whole document, at any depth and in any namespace, and so many responses."""
    names = [local_name(element) for element in root.iter()]
    assertions = names.count("Assertion") + names.count("EncryptedAssertion")
    if assertions > 1 or names.count("Response") != responses:
        raise XmlRefused("the document holds more than one assertion or response")


def _check_envelope(response: Element, expected: Expected, *, signed: bool) -> None:
    """What the response says besides its assertion. Unsigned, it can refuse a login but not help one."""
    if response.get("Version") != "2.0":
        raise XmlRefused("the response is not of SAML 2.0")
    id_of(response)
    if required_instant(response, "IssueInstant") > expected.now + SKEW:
        raise LoginRefused("the response was issued in the future: is a clock wrong?")
    check_issuer(response, expected.idp, required=signed)
    check_destination(response, expected.entity.acs_url, required=signed)
    check_answers(response.get("InResponseTo"), expected.request_id, "the response")
    code, words = status_of(response)
    if code != SUCCESS:
        raise LoginRefused(f"the provider refused the login: {words}")


def check_issuer(element: Element, idp: str, *, required: bool) -> None:
    """The issuer is the provider, compared character by character. Raises `LoginRefused`."""
    found = children(element, SAML, "Issuer")
    if not found and not required:
        return
    issuer = only_child(element, SAML, "Issuer")
    if text_of(issuer) != idp or issuer.get("Format", _ENTITY_FORMAT) != _ENTITY_FORMAT:
        raise LoginRefused(f"{local_name(element)} comes from another provider (Issuer)")


def check_destination(element: Element, url: str, *, required: bool) -> None:
    """The message is for this address of ours. Raises `LoginRefused`."""
    destination = str(element.get("Destination", ""))
    if destination != url and (destination or required):
        raise LoginRefused(f"{local_name(element)} is for another address (Destination)")


def check_answers(in_response_to: str | None, request_id: str | None, what: str) -> None:
    """The message answers our request; or no request at all, when we made none. Raises `LoginRefused`."""
    if in_response_to != request_id:
        raise LoginRefused(f"{what} does not answer the login that was begun here (InResponseTo)")


def status_of(message: Element) -> tuple[str, str]:
    """The status code, and all codes with the message in words for the log. SAML core, section 3.2.2."""
    status = only_child(message, SAMLP, "Status")
    codes = [str(code.get("Value", "")) for code in status.iter(tag(SAMLP, "StatusCode"))]
    if not codes or not children(status, SAMLP, "StatusCode"):
        raise XmlRefused("the response has no status")
    said = [text_of(each) for each in children(status, SAMLP, "StatusMessage")]
    words = ", ".join([*(code.removeprefix(_STATUS) for code in codes), *said])
    return codes[0], "".join(letter if letter.isprintable() else " " for letter in words)[:300]
