"""A provider's metadata, reduced to what we use and checked. No I/O. SAML metadata, sections 2.3 and 2.4."""

from __future__ import annotations

import base64
import binascii
import logging
from typing import Final

import msgspec
from cryptography import x509

from proxy.authn.errors import LoginRefused, ProviderMisconfigured
from proxy.authn.fetch import is_secure
from proxy.authn.saml import keypair, signature
from proxy.authn.saml.instants import duration, instant_of
from proxy.authn.saml.strict_xml import (
    DS,
    MD,
    SAMLP,
    Element,
    XmlRefused,
    check_unique_ids,
    children,
    parse_lenient,
    tag,
    text_of,
)

LOG = logging.getLogger(__name__)
MAX_BYTES: Final = 4 * 1024 * 1024  # one provider has 10 KiB, a small federation some megabytes
_MAX_ELEMENTS: Final = 100_000
_MAX_CERTIFICATES: Final = 16
_BINDINGS: Final = {
    "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect": "redirect",
    "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST": "post",
}


class Endpoint(msgspec.Struct, frozen=True):
    """Where to send messages by one binding, and answers, when those go elsewhere."""

    url: str
    response_url: str


class IdpMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What we know of a provider. `sso` and `slo` are by binding: `redirect`, `post`."""

    entity_id: str
    certificates: tuple[x509.Certificate, ...]  # each may sign: several while a provider changes its key
    sso: dict[str, Endpoint]
    slo: dict[str, Endpoint]
    valid_until: float | None  # seconds since the epoch
    cache_duration: float | None  # seconds

    def __repr__(self) -> str:
        return f"IdpMetadata({self.entity_id!r}, {len(self.certificates)} certificates)"


def read_metadata(document: bytes, idp: str | None, signer: x509.Certificate | None) -> IdpMetadata:
    """Read an EntityDescriptor, or the one of `idp` in an EntitiesDescriptor.

    With `signer` the document must be signed with its key. Raises `ProviderMisconfigured` with what to change.
    """
    try:
        root = parse_lenient(document, MAX_BYTES, _MAX_ELEMENTS)
        if signer is not None:
            root = _signed_root(root, signer)
        path = _path_to(root, idp)
        return _read(path)
    except LoginRefused as error:
        raise ProviderMisconfigured(f"the SAML metadata cannot be used: {error}") from None


def _signed_root(root: Element, signer: x509.Certificate) -> Element:
    check_unique_ids(root)
    signature.check_places(root, [root, *root.iter(tag(MD, "EntityDescriptor"), tag(MD, "EntitiesDescriptor"))])
    if not signature.is_signed(root):
        raise XmlRefused("it is not signed, and metadata_certificate asks for it")
    return signature.verified(root, [signer], MAX_BYTES, _MAX_ELEMENTS)


def _path_to(root: Element, idp: str | None) -> list[Element]:
    """From the root to the IDPSSODescriptor: what each says about validity counts."""
    if root.tag not in (tag(MD, "EntityDescriptor"), tag(MD, "EntitiesDescriptor")):
        raise XmlRefused("it is neither an EntityDescriptor nor an EntitiesDescriptor")
    found = []
    for role in root.iter(tag(MD, "IDPSSODescriptor")):
        entity = role.getparent()
        if entity is not None and entity.tag == tag(MD, "EntityDescriptor") and _speaks_saml(role):
            found.append((str(entity.get("entityID", "")), role))
    if idp is not None:
        found = [(name, role) for name, role in found if name == idp]
    if not found:
        raise XmlRefused("it describes no identity provider" + (f" {idp}: check `idp`" if idp else ""))
    if len(found) > 1:
        raise XmlRefused("it describes several identity providers: name one with `idp`")
    role = found[0][1]
    return [role, *role.iterancestors()][::-1]


def _speaks_saml(role: Element) -> bool:
    return SAMLP in str(role.get("protocolSupportEnumeration", "")).split()


def _read(path: list[Element]) -> IdpMetadata:
    entity, role = path[-2], path[-1]
    entity_id = str(entity.get("entityID", ""))
    if not 0 < len(entity_id) <= 1024 or not entity_id.isprintable():
        raise XmlRefused("it has no usable entityID")
    certificates = _certificates(role)
    if not certificates:
        raise XmlRefused("it holds no usable signing certificate")
    sso = _endpoints(role, "SingleSignOnService")
    if not sso:
        raise XmlRefused("it holds no SingleSignOnService by HTTP-Redirect or HTTP-POST with an https address")
    untils = [until for element in path if (until := instant_of(element, "validUntil")) is not None]
    caches = [length for element in path if (length := _cache_duration(element)) is not None]
    return IdpMetadata(
        entity_id=entity_id,
        certificates=certificates,
        sso=sso,
        slo=_endpoints(role, "SingleLogoutService"),
        valid_until=min(untils, default=None),
        cache_duration=min(caches, default=None),
    )


def _cache_duration(element: Element) -> float | None:
    try:
        return duration(str(element.get("cacheDuration"))) if element.get("cacheDuration") is not None else None
    except ValueError:
        return None  # a hint that we do not understand is no hint


def _certificates(role: Element) -> tuple[x509.Certificate, ...]:
    """Those that may sign, each key once. A key of a kind or size we do not use is left out."""
    found: dict[bytes, x509.Certificate] = {}
    for descriptor in children(role, MD, "KeyDescriptor"):
        if descriptor.get("use", "signing") != "signing":
            continue
        for info in children(descriptor, DS, "KeyInfo"):
            for text in info.iterfind(f"{tag(DS, 'X509Data')}/{tag(DS, 'X509Certificate')}"):
                certificate = _certificate(text_of(text))
                if keypair.is_usable(certificate.public_key()):
                    found.setdefault(keypair.public_bytes(certificate.public_key()), certificate)
    if len(found) > _MAX_CERTIFICATES:
        raise XmlRefused(f"it holds more than {_MAX_CERTIFICATES} signing certificates")
    return tuple(found.values())


def _certificate(text: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, binascii.Error):
        raise XmlRefused("it holds a certificate that cannot be read") from None


def _endpoints(role: Element, name: str) -> dict[str, Endpoint]:
    found: dict[str, Endpoint] = {}
    for service in children(role, MD, name):
        binding = _BINDINGS.get(str(service.get("Binding", "")))
        location = str(service.get("Location", ""))
        answer = str(service.get("ResponseLocation", location))
        if binding and is_secure(location) and is_secure(answer):
            found.setdefault(binding, Endpoint(location, answer))
    return found
