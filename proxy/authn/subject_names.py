"""The names a client certificate gives its holder. Pure. RFC 5280 §4.2.1.6, SPIFFE X.509-SVID.

Only URI and DNS subject alternative names count; the common name is never read. One name that is not exactly what it
should be (a NUL byte, a wildcard, a second SPIFFE ID) refuses the whole certificate: a CA that signs such a name did
not look, or was tricked.
"""

from __future__ import annotations

import re

from cryptography import x509

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+")
_MAX_URI = 2048


class NameRefused(ValueError):
    """A subject alternative name that must not be trusted to mean anything."""


def subject_names(extension: object) -> tuple[str, ...]:
    """URI names as presented, then DNS names in lower case. Raises `NameRefused`; empty when there are none."""
    if not isinstance(extension, x509.SubjectAlternativeName):
        return ()
    uris = tuple(_uri(value) for value in extension.get_values_for_type(x509.UniformResourceIdentifier))
    if any(_claims_spiffe(uri) for uri in uris):
        if len(uris) != 1:
            raise NameRefused("a SPIFFE certificate must have exactly one URI name")
        if not is_spiffe_id(uris[0]):
            raise NameRefused("the SPIFFE ID is malformed")
    return uris + tuple(_dns(value) for value in extension.get_values_for_type(x509.DNSName))


def is_spiffe_id(name: str) -> bool:
    """Whether `name` is the SPIFFE ID of a workload: lower-case trust domain, a path without `.` and `..` segments."""
    if len(name) > _MAX_URI or not _SPIFFE.fullmatch(name):
        return False
    return not any(segment in (".", "..") for segment in name.split("/")[3:])


def service_name(names: tuple[str, ...]) -> str | None:
    """The name a service goes by: its SPIFFE ID, else its first DNS name, else None."""
    spiffe = (name for name in names if is_spiffe_id(name))
    dns = (name for name in names if ":" not in name)
    return next(spiffe, None) or next(dns, None)


def _claims_spiffe(uri: str) -> bool:
    return uri.lower().startswith("spiffe:")


def _uri(value: str) -> str:
    if len(value) > _MAX_URI or not _URI.fullmatch(value):
        raise NameRefused("a URI name has characters that do not belong there")
    return value


def _dns(value: str) -> str:
    name = value.lower() if value.isascii() else value
    if len(name) > 253 or not _DNS.fullmatch(name):
        raise NameRefused("a DNS name is a wildcard or has characters that do not belong there")
    return name
