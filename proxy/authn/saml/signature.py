"""XML signatures: what one may look like, whether a trusted key made it, and which bytes it speaks about. No I/O.

`signxml` verifies; this module decides what it is given. It never sees an algorithm, transform or reference off the
lists below, nor KeyInfo, which is cut out: a document does not choose the key it is checked with. The element is taken
out of its document first, so that the reference can resolve to nothing else.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidDigest, SignXMLException
from signxml.exceptions import InvalidSignature as WrongSignature
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from proxy.authn.errors import LoginRefused
from proxy.authn.saml.keypair import PrivateKey
from proxy.authn.saml.strict_xml import (
    DS,
    MAX_BYTES,
    MAX_ELEMENTS,
    Element,
    children,
    id_of,
    local_name,
    only_child,
    parse,
    tag,
    to_bytes,
)

logging.getLogger("signxml").setLevel(logging.INFO)  # at DEBUG it writes down who logs in

EXCLUSIVE_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"  # without comments
_ENVELOPED: Final = f"{DS}enveloped-signature"
_RSA: Final = {f"http://www.w3.org/2001/04/xmldsig-more#rsa-sha{bits}" for bits in (256, 384, 512)}
_ECDSA: Final = {f"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha{bits}" for bits in (256, 384, 512)}
_DIGESTS: Final = {
    "http://www.w3.org/2001/04/xmlenc#sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512",
}
_PREFIXES = re.compile(r"(?:#default|[A-Za-z_][\w.-]{0,63})(?: (?:#default|[A-Za-z_][\w.-]{0,63})){0,31}", re.ASCII)
_CONFIGURATION = {
    "location": "./",  # a direct child of what it signs
    "signature_methods": frozenset(SignatureMethod(name) for name in (*_RSA, *_ECDSA)),
    "digest_algorithms": frozenset(DigestAlgorithm(name) for name in _DIGESTS),
}


class SignatureRefused(LoginRefused):
    """A signature is missing, not of a form we verify, or wrong."""


class UnknownSigner(SignatureRefused):
    """No certificate we trust made this signature: it is forged, or the provider has a new key."""


def is_signed(element: Element) -> bool:
    """Whether a signature is a direct child, where SAML puts it."""
    return bool(children(element, DS, "Signature"))


def check_places(root: Element, allowed: Iterable[Element]) -> None:
    """Refuse a document with a signature anywhere but once as a direct child of each of `allowed`."""
    parents = list(allowed)
    found = [element for element in root.iter() if isinstance(element.tag, str) and _is_signature(element)]
    for element in found:
        if element.tag != tag(DS, "Signature") or not any(element.getparent() is parent for parent in parents):
            raise SignatureRefused("there is a signature where none belongs")
    for parent in parents:
        if len(children(parent, DS, "Signature")) > 1:
            raise SignatureRefused("an element has several signatures")


def verified(
    element: Element,
    certificates: Sequence[x509.Certificate],
    limit: int = MAX_BYTES,
    elements: int = MAX_ELEMENTS,
) -> Element:
    """What the signature inside `element` speaks about, parsed from the very bytes its digest was made of: all of the
    element but the signature.

    `certificates` are tried one after the other. `limit` and `elements` are those of `strict_xml.parse`.
    Raises `UnknownSigner`, or `SignatureRefused`.
    """
    alone = parse(to_bytes(element), limit, elements)
    signature = only_child(alone, DS, "Signature")
    method = _check_form(signature, id_of(alone))
    for key_info in children(signature, DS, "KeyInfo"):
        signature.remove(key_info)
    data = to_bytes(alone)
    for certificate in certificates:
        if _fits(certificate, method):
            signed = _signed_by(certificate, data)
            if signed is not None:
                # canonical XML repeats namespaces and is longer: thousands of typed values each declare theirs
                return parse(signed, 4 * limit, elements)
    raise UnknownSigner("no certificate of the provider's metadata fits the signature")


def sign(element: Element, key: PrivateKey, *, after: str | None) -> Element:
    """A signed copy. The signature follows the first child of the qualified name `after`, or comes first: the schema of
    SAML says where."""
    signed = copy.deepcopy(element)
    place = etree.Element(tag(DS, "Signature"), {"Id": "placeholder"}, nsmap={"ds": DS})
    before = signed.find(after) if after else None
    signed.insert(0 if before is None else signed.index(before) + 1, place)
    algorithm = "rsa-sha256" if isinstance(key, rsa.RSAPrivateKey) else "ecdsa-sha256"
    signer = XMLSigner(signature_algorithm=algorithm, c14n_algorithm=EXCLUSIVE_C14N)
    # an empty KeyInfo is not allowed and ours is known from our metadata, so it is cut out again
    result: Element = signer.sign(signed, key=key, reference_uri=f"#{id_of(element)}", id_attribute="ID")
    signature = only_child(result, DS, "Signature")
    for key_info in children(signature, DS, "KeyInfo"):
        signature.remove(key_info)
    return result


def _is_signature(element: Element) -> bool:
    return local_name(element) == "Signature"


def _check_form(signature: Element, identifier: str) -> str:
    """The structure, element by element: nothing optional is let through. Returns the signature algorithm."""
    names = [str(child.tag) for child in signature]
    wanted = [tag(DS, "SignedInfo"), tag(DS, "SignatureValue")]
    if names not in (wanted, [*wanted, tag(DS, "KeyInfo")]):
        raise SignatureRefused("the signature has parts that are not accepted")
    info = signature[0]
    if [str(child.tag) for child in info] != [
        tag(DS, name) for name in ("CanonicalizationMethod", "SignatureMethod", "Reference")
    ]:
        raise SignatureRefused("the signature must have exactly one reference")
    canonicalization, method, reference = info
    _check_algorithm(canonicalization, {EXCLUSIVE_C14N}, "canonicalisation")
    _check_algorithm(method, _RSA | _ECDSA, "signature")
    _check_reference(reference, identifier)
    return str(method.get("Algorithm"))


def _check_reference(reference: Element, identifier: str) -> None:
    if reference.get("URI") != f"#{identifier}" or set(reference.attrib) - {"URI", "Id"}:
        raise SignatureRefused("the signature refers to something else than the element it is in")
    if [str(child.tag) for child in reference] != [
        tag(DS, name) for name in ("Transforms", "DigestMethod", "DigestValue")
    ]:
        raise SignatureRefused("the signature's reference has parts that are not accepted")
    transforms, digest, _value = reference
    if [str(child.tag) for child in transforms] != [tag(DS, "Transform")] * 2:
        raise SignatureRefused("the signature must have exactly two transforms")
    _check_algorithm(transforms[0], {_ENVELOPED}, "transform")
    _check_algorithm(transforms[1], {EXCLUSIVE_C14N}, "transform")
    _check_algorithm(digest, _DIGESTS, "digest")


def _check_algorithm(element: Element, allowed: set[str], what: str) -> None:
    if element.get("Algorithm") not in allowed:
        raise SignatureRefused(f"the {what} algorithm {str(element.get('Algorithm'))[:100]!r} is not accepted")
    parameters = list(element)
    if not parameters:
        return
    inclusive = parameters[0]
    if (
        element.get("Algorithm") != EXCLUSIVE_C14N
        or len(parameters) > 1
        or inclusive.tag != tag(EXCLUSIVE_C14N, "InclusiveNamespaces")
        or len(inclusive)
        or not _PREFIXES.fullmatch(str(inclusive.get("PrefixList", "")))
    ):
        raise SignatureRefused(f"the {what} algorithm has parameters that are not accepted")


def _fits(certificate: x509.Certificate, method: str) -> bool:
    """A key is used only with an algorithm of its own kind."""
    kind = rsa.RSAPublicKey if method in _RSA else ec.EllipticCurvePublicKey
    return isinstance(certificate.public_key(), kind)


def _signed_by(certificate: x509.Certificate, data: bytes) -> bytes | None:
    """None when this certificate's key did not make the signature. Raises `SignatureRefused` for anything else."""
    # In metadata a certificate only carries a key (metadata interoperability profile, section 2.6.1): its dates mean
    # nothing, the metadata's do. `signxml` insists on comparing them, so it is told a time at which they hold.
    configuration = SignatureConfiguration(
        **_CONFIGURATION,  # type: ignore[arg-type]  # a table of differently typed settings
        verification_time=certificate.not_valid_before_utc,
    )
    try:
        result = XMLVerifier().verify(data, x509_cert=certificate, id_attribute="ID", expect_config=configuration)
    except InvalidDigest:
        raise SignatureRefused("what was signed has been changed") from None
    except (WrongSignature, InvalidSignature):
        return None
    except (SignXMLException, etree.LxmlError, ValueError, TypeError, AttributeError, KeyError):
        raise SignatureRefused("the signature cannot be read") from None
    if isinstance(result, list):
        raise SignatureRefused("the signature must have exactly one reference")
    return result.signed_data
