"""Where a browser may be sent: our own hosts, and nowhere else. Pure.

A return URL is never passed on. It is taken apart by the same readers that judge requests, its origin must be one
we are configured for, and a new URL is built from that origin and the canonical path. Whatever does not fit, in any
spelling, becomes the front page of our own host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from proxy.routing import Source, parse_source
from proxy.settings.schema import Settings
from proxy.web.endpoints import FACTORS, PREFIX, RESUME
from proxy.wire.host import Host, HostRefused, parse
from proxy.wire.path import PathRefused, canonical

MAX_RETURN: Final = 4096  # characters; it travels sealed in `state`, inside what providers accept as a URL
_DEFAULT_PORT: Final = {"https": 443, "http": 80}
_ABSOLUTE: Final = re.compile(r"(https?)://([^/?#\\]+)(.*)", re.IGNORECASE | re.DOTALL)
_RETURNABLE: Final = frozenset((FACTORS, RESUME))  # pages that act only on a click, or on what a script of ours kept
_NOWHERE: Final = Host("", None)


class Place(NamedTuple):
    """Somewhere on one of our hosts. `url` is the whole of it."""

    origin: str  # scheme://host[:port]
    host: str  # canonical, without port
    path: str  # canonical raw path and query

    @property
    def url(self) -> str:
        """The absolute URL, ASCII."""
        return self.origin + self.path


def read_host(value: str) -> Host:
    """A Host header in canonical form; an empty host when it names none."""
    try:
        return parse(value.encode("latin-1"))
    except (HostRefused, UnicodeEncodeError):
        return _NOWHERE


class Origins:
    """The origins we answer for: those of the routes and the login host, from one configuration snapshot."""

    def __init__(self, login_url: str, sources: Iterable[str]) -> None:
        login = parse_source(login_url.rstrip("/"))
        self.login: str = login.origin
        self.login_host: str = login.host
        self._doors: dict[str, list[Source]] = {login.host: [login]}
        for source in sources:
            door = parse_source(source)
            known = self._doors.setdefault(door.host, [])
            if door.origin not in (each.origin for each in known):
                known.append(door)

    @classmethod
    def of(cls, settings: Settings) -> Origins:
        """The origins of a configuration."""
        return cls(settings.configuration.login.url, (route.source for route in settings.routes))

    def own(self, host: Host) -> str | None:
        """The configured origin that a host means: that of its port if there is one, else the host's first."""
        doors = self._doors_of(host.host)
        for door in doors:
            default = _DEFAULT_PORT[door.scheme]
            if (door.port or default) == (host.port or default):
                return _at(door, host.host)
        return _at(doors[0], host.host) if doors else None

    def resolve(self, target: str, host: Host) -> Place:
        """`target`, a path with query or an absolute URL, as a place on one of our hosts.

        A path belongs to `host`. Anything foreign or malformed becomes the front page of that host; when that host is
        not ours either, of the login host.
        """
        own = self.own(host)
        origin, name = (own, host.host) if own else (self.login, self.login_host)
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            return Place(origin, name, safe_path(target))
        there = self._exactly(match[1].lower(), match[2])
        if there is None:
            return Place(origin, name, "/")
        return Place(*there, safe_path(match[3] if match[3].startswith("/") else "/" + match[3]))

    def _exactly(self, scheme: str, authority: str) -> tuple[str, str] | None:
        """Origin and host, when scheme, host and port are all those of one of our doors."""
        host = read_host(authority)
        default = _DEFAULT_PORT[scheme]
        for door in self._doors_of(host.host):
            if door.scheme == scheme and (door.port or default) == (host.port or default):
                return _at(door, host.host), host.host
        return None

    def _doors_of(self, host: str) -> list[Source]:
        label, dot, parent = host.partition(".")
        return self._doors.get(host) or (self._doors.get(f"*.{parent}") if label and dot else None) or []


def _at(door: Source, host: str) -> str:
    """The origin of a door for a host it stands for: a wildcard's is that of the host asked for."""
    return door._replace(host=host).origin


def local(target: str) -> str:
    """`target` as a path and query that a browser cannot read as anything else; "/" when it is not one."""
    target = target.partition("#")[0]
    if len(target) > MAX_RETURN:
        return "/"
    try:
        return canonical(target.encode("ascii")).forward.decode("ascii")
    except (PathRefused, UnicodeEncodeError):
        return "/"


def safe_path(target: str) -> str:
    """`local`, and no endpoint of our own but those made to return to, so that no link can chain the others."""
    path = local(target)
    name = path.partition("?")[0]
    return "/" if (name + "/").startswith(PREFIX) and name not in _RETURNABLE else path
