"""Which route a request belongs to: canonical host and path in, whatever was registered for them out.

Owns the reading of a route's `from` and the look-up. The cost of a look-up does not depend on how many routes there
are: one hash look-up for the host, then one per path segment, at most as many as the host's deepest prefix has.

The host is chosen first and alone, as in a virtual host: an exact host hides a wildcard entirely, so a path that no
prefix of the exact host covers has no route, whatever the wildcard would say. Must not know: HTTP, settings, policy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Source(NamedTuple):
    """A route's `from`, read: `https://host[:port][/prefix]`."""

    scheme: str  # https or http
    host: str  # canonical, or `*.` and a canonical name
    port: int | None
    prefix: str  # decoded, no trailing slash; "" is the whole host

    @property
    def origin(self) -> str:
        """`scheme://host[:port]` (RFC 6454 section 6.2, a default port left out)."""
        default = {"https": 443, "http": 80}[self.scheme]
        port = "" if self.port in (None, default) else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+").fullmatch
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*").fullmatch
_SHAPE = re.compile(r"(https?)://([^/?#]*+)([^?#]*+)(.*)", re.DOTALL).fullmatch
_BRACKETED = re.compile(r"\[[0-9A-Fa-f:.]+\](?=:|\Z)").match
_PORT = re.compile(r"[1-9][0-9]{0,4}").fullmatch
_NOT_IN_PREFIX = re.compile(r"[\x00-\x20\x7f-\x9f\\;%]").search


def parse_source(text: str) -> Source:
    """Read a route's `from`. Raises ValueError that says what to write instead."""
    shape = _SHAPE(text)
    if shape is None:
        raise ValueError(
            f"{text!r} is not an origin: write it like https://app.example.com or https://host:8443/prefix"
        )
    scheme, authority, path, rest = shape.groups()
    if rest:
        raise ValueError(f"{text!r} has a query or fragment: a route is chosen by host and path only, so remove it")
    if "@" in authority:
        raise ValueError(f"{text!r} contains user information: remove everything up to the @")
    name, port = _authority(text, authority)
    return Source(scheme, _host(text, name), port, _prefix(text, path))


class RouteTable(Generic[T]):
    """An immutable map from host and path prefix to a T.

    Exact host beats wildcard (`*.a.b` stands for exactly one label); then the longest prefix wins, cut at segment
    boundaries: `/app` covers `/app` and `/app/x`, not `/apple`. The port in `from` plays no part.
    """

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        """`entries`: pairs of a route's `from` and what to return for it.

        Raises ValueError when one cannot be read, or when two are for the same host and prefix.
        """
        prefixes: dict[str, dict[str, T]] = {}
        for text, value in entries:
            source = parse_source(text)
            of_host = prefixes.setdefault(source.host, {})
            if source.prefix in of_host:
                raise ValueError(
                    f"{text!r} is for the same host and prefix as an earlier route: give each its own prefix"
                )
            of_host[source.prefix] = value
        self._exact = {host: _Prefixes(found) for host, found in prefixes.items() if not host.startswith("*.")}
        self._wildcard = {host[2:]: _Prefixes(found) for host, found in prefixes.items() if host.startswith("*.")}
        self.hosts: frozenset[str] = frozenset(prefixes)  # as written in `from`, wildcards included

    def match(self, host: str, path: str) -> T | None:
        """Return what is registered for a canonical host (no port) and canonical decoded path, or None."""
        found = self._exact.get(host) or self._of_wildcard(host)
        if found is None:
            return None
        return found.root if found.depth == 0 else found.longest(path)

    def knows(self, host: str) -> bool:
        """Whether any route is for this canonical host, by name or by wildcard."""
        return host in self._exact or self._of_wildcard(host) is not None

    def _of_wildcard(self, host: str) -> _Prefixes[T] | None:
        label, dot, parent = host.partition(".")
        return self._wildcard.get(parent) if label and dot else None

    def __repr__(self) -> str:
        return f"<RouteTable {len(self._exact)} hosts, {len(self._wildcard)} wildcards>"


class _Prefixes(Generic[T]):
    """The prefixes of one host. `root` is what "" maps to; `depth` the number of segments of the deepest prefix."""

    __slots__ = ("_by_prefix", "depth", "root")

    def __init__(self, by_prefix: dict[str, T]) -> None:
        self._by_prefix = by_prefix
        self.root = by_prefix.get("")
        self.depth = max(prefix.count("/") for prefix in by_prefix)

    def longest(self, path: str) -> T | None:
        best = self.root
        end = 0
        for _ in range(self.depth):
            end = path.find("/", end + 1)
            found = self._by_prefix.get(path if end < 0 else path[:end])
            if found is not None:
                best = found
            if end < 0:
                break
        return best


def _authority(text: str, authority: str) -> tuple[str, int | None]:
    """Split host and port; a bracketed IPv6 address holds colons of its own."""
    bracketed = _BRACKETED(authority)
    if authority.startswith("[") and bracketed is None:
        raise ValueError(f"{text!r} has no IPv6 address between its brackets: write it like https://[::1]:8443")
    end = len(bracketed[0]) if bracketed else 0
    colon = authority.find(":", end)
    if colon < 0:
        return authority, None
    digits = authority[colon + 1 :]
    if _PORT(digits) is None or int(digits) > 65535:
        raise ValueError(f"{text!r} has a bad port: write a number from 1 to 65535 after the colon, or no colon")
    return authority[:colon], int(digits)


def _host(text: str, name: str) -> str:
    if not name:
        raise ValueError(f"{text!r} names no host: write it like https://app.example.com")
    if not name.isascii():
        raise ValueError(f"{text!r} has a host beyond ASCII: write its xn-- form, which is what browsers send")
    host = name.lower().removesuffix(".")
    if host.startswith("["):
        return _ipv6(text, host)
    plain = host.removeprefix("*.")
    if "*" in plain:
        raise ValueError(f"{text!r}: a wildcard stands for the whole first label only, as in https://*.example.com")
    if len(plain) > 253 or _NAME(plain) is None:
        raise ValueError(f"{text!r} has a host that is not a DNS name: use letters, digits, hyphens and dots")
    if _NUMERIC(plain.rpartition(".")[2]):
        _ipv4(text, host)
    return host


def _ipv6(text: str, host: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    except ValueError:
        raise ValueError(
            f"{text!r} has no IPv6 address between its brackets: write it like https://[::1]:8443"
        ) from None


def _ipv4(text: str, host: str) -> None:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"{text!r} has a host that ends in a number but is not an IPv4 address") from None


def _prefix(text: str, path: str) -> str:
    """Return the prefix as it is compared: decoded, without a trailing slash."""
    prefix = path.removesuffix("/")
    if not prefix:
        return ""
    if _NOT_IN_PREFIX(prefix):
        raise ValueError(
            f"{text!r}: a prefix is compared with the decoded path, so write it decoded, "
            "without %, semicolon, backslash or blanks"
        )
    segments = prefix.split("/")[1:]
    if not {"", ".", ".."}.isdisjoint(segments):
        raise ValueError(f"{text!r} has an empty, '.' or '..' segment in its prefix: remove it")
    return prefix
