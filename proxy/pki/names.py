"""The names a certificate may carry, checked before anything is signed.

Pure. DNS names after RFC 1123 and RFC 6125 section 6.4.3 (one wildcard, whole first label); SPIFFE IDs after the
SPIFFE-ID standard, sections 2.1 to 2.4.
"""

from __future__ import annotations

import ipaddress
import re

from proxy.pki.errors import PkiError

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def dns_name(text: str, *, wildcard: bool = False) -> str:
    """Return `text` as a canonical DNS name: ASCII, lower case, no trailing dot.

    With `wildcard`, `*` may be the whole first label, followed by at least one more label.
    Raises PkiError for anything else.
    """
    name = text.lower()
    labels = name.split(".")
    if wildcard and labels[0] == "*" and len(labels) > 1:
        labels = labels[1:]
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        wanted = "a DNS name such as app.example.com" + (" or *.example.com" if wildcard else "")
        raise PkiError(f"{text!r} is not {wanted} (ASCII letters, digits and hyphens; xn-- form for other scripts)")
    return name


def server_name(text: str) -> str | Address:
    """Return `text` as what a server certificate may be for: an IP address, a DNS name or a wildcard name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return dns_name(text, wildcard=True)


def spiffe_id(text: str) -> str:
    """Return `text` if it is a SPIFFE ID that may name a workload (with a path). Raises PkiError otherwise."""
    scheme, _, rest = text.partition("://")
    domain, _, path = rest.partition("/")
    segments = path.split("/")
    fine = (
        scheme == "spiffe"
        and len(text.encode()) <= 2048
        and _TRUST_DOMAIN.fullmatch(domain) is not None
        and all(_SEGMENT.fullmatch(segment) and segment not in {".", ".."} for segment in segments)
    )
    if not fine:
        raise PkiError(
            f"{text!r} is not a SPIFFE ID. It looks like spiffe://example.org/ci/deploy: a lower-case trust domain, "
            "then a path of letters, digits, dots, hyphens and underscores, without a slash at the end"
        )
    return text
