"""The one canonical form of a Host field value or of a URI's authority (RFC 9110 section 7.2, RFC 3986 section 3.2).

Lower case, no trailing dot, IPv6 in its compressed spelling between brackets. Refused: userinfo, lists, blanks, empty
values, percent-encoding, non-ASCII (internationalised names arrive as ``xn--`` A-labels), labels that are not
letters-digits-hyphens-underscores, numbers that are an IPv4 address to some and a name to others (``127.1``,
``0x7f000001``, ``010.0.0.1``), zone identifiers, and ports that are empty, zero, too large or begin with 0.

Pure, and remembered for the few hosts that real traffic asks for.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple


class HostRefused(ValueError):
    """The value names no host. `why` is one plain sentence; it never repeats what the client sent."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Host(NamedTuple):
    """A host in canonical form: `host` is a DNS name, a dotted IPv4 address or a bracketed IPv6 address."""

    host: str
    port: int | None  # None when the value has none


_LONGEST = 253 + len(".:65535")  # octets; RFC 1035 section 2.3.4 for the name
_SHAPE = re.compile(rb"(\[[0-9A-Fa-f:.]*\]|[A-Za-z0-9._-]+)(?::([1-9][0-9]{0,4}))?").fullmatch
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+").fullmatch
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*").fullmatch


def parse(value: bytes) -> Host:
    """Return the canonical host and port of a Host field value without surrounding blanks, or raise HostRefused."""
    if len(value) > _LONGEST:
        raise HostRefused("The host is too long.")
    return _parse(value)


@lru_cache(maxsize=1024)
def _parse(value: bytes) -> Host:
    shape = _SHAPE(value)
    if shape is None:
        raise HostRefused(_why(value))
    port = int(shape[2]) if shape[2] else None
    if port is not None and port > 65535:
        raise HostRefused("The port is not a number from 1 to 65535.")
    text = shape[1].decode("ascii").lower()
    return Host(_ipv6(text) if text.startswith("[") else _name(text), port)


def _ipv6(text: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(text[1:-1])}]"
    except ValueError:
        raise HostRefused("What is between the brackets is not an IPv6 address.") from None


def _name(text: str) -> str:
    name = text.removesuffix(".")
    if len(name) > 253 or _NAME(name) is None:
        raise HostRefused("The host is not a DNS name.")
    if _NUMERIC(name.rpartition(".")[2]) is None:
        return name
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        raise HostRefused("The host ends in a number but is not an IPv4 address.") from None


def _why(value: bytes) -> str:
    if not value:
        return "The host is empty."
    if b"@" in value:
        return "The host contains user information."
    if b"," in value:
        return "The host is a list."
    if not value.isascii():
        return "The host contains a byte beyond ASCII; internationalised names are sent as xn-- labels."
    if value.startswith(b"[") and b"]" not in value:
        return "The bracket around the IPv6 address is not closed."
    return "The host is not a name or address with an optional port."
