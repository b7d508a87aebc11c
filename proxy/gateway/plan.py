"""A route, prepared: everything about it that does not depend on the request is computed once."""

from __future__ import annotations

from typing import Final

from proxy.policy import Policy
from proxy.routing import Source, parse_source
from proxy.settings.schema import Route
from proxy.upstream.target import Target
from proxy.wire.fields import folded_name
from proxy.wire.path import below

_HOST_LINES: Final = 256


class RoutePlan:
    """One route for the gateway. `control` marks our own pages, which are a route like any other."""

    __slots__ = (
        "_host_lines",
        "audience",
        "body_limit",
        "control",
        "fixed_host",
        "name",
        "policy",
        "remove_from_request",
        "remove_from_response",
        "route",
        "set_on_request",
        "set_on_response",
        "source",
        "stripped",
        "target",
        "timed",
        "total",
        "wildcard",
    )

    def __init__(
        self,
        route: Route,
        policy: Policy,
        target: Target | None,
        *,
        control: bool = False,
        body_limit: int | None = None,
    ) -> None:
        source = parse_source(route.source)
        self.route = route
        self.name = route.name
        self.policy = policy
        self.target = target
        self.control = control
        self.source: Source = source
        self.audience = source.origin
        self.wildcard = source.host.startswith("*.")
        self.stripped = source.prefix if route.strip_prefix else ""
        self.fixed_host = self._fixed_host(route, target)
        self.body_limit = route.body_bytes if route.body_bytes is not None else body_limit
        self.total = route.timeouts.total
        self.timed = policy.timed  # what was allowed may be refused later, though nothing but the time has changed
        self.set_on_request, self.remove_from_request = _edits(route.request_headers.set, route.request_headers.remove)
        self.set_on_response, self.remove_from_response = _edits(
            route.response_headers.set, route.response_headers.remove
        )
        self._host_lines: dict[bytes, bytes] = {}

    @staticmethod
    def _fixed_host(route: Route, target: Target | None) -> bytes:
        """What Host says to the app; b"" keeps the client's (or follows the chosen upstream, see `stamp`)."""
        if route.host in ("preserve", "rewrite") or target is None:
            return b""
        return route.host.encode("ascii")

    def __repr__(self) -> str:
        return f"<RoutePlan {self.name} {self.source.origin}{self.source.prefix}>"

    def host_lines(self, host: bytes, authority: bytes) -> bytes:
        """The Host and X-Forwarded lines for a client's Host value, ending in CRLF; the few forms there are are kept.

        `authority` is the upstream's own name, used when the route says `host: rewrite`.
        """
        key = host if self.route.host != "rewrite" else host + b" " + authority
        lines = self._host_lines.get(key)
        if lines is None:
            sent = self.fixed_host or (authority if self.route.host == "rewrite" else host)
            lines = b"Host: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Proto: %b\r\n" % (
                sent,
                host,
                self.source.scheme.encode(),
            )
            if len(self._host_lines) >= _HOST_LINES:
                self._host_lines.clear()
            self._host_lines[key] = lines
        return lines

    def audience_at(self, host: str) -> str:
        """The origin an assertion for this route is made out to; a wildcard route has one for each host."""
        if not self.wildcard:
            return self.audience
        return self.source._replace(host=host).origin

    def forwarded_path(self, raw_path: bytes) -> bytes:
        """The path the app sees: as decided, or without the route's prefix."""
        return below(raw_path, self.stripped) if self.stripped else raw_path


def _edits(to_set: dict[str, str], to_remove: tuple[str, ...]) -> tuple[tuple[bytes, ...], frozenset[bytes]]:
    lines = tuple(f"{name}: {value}".encode("latin-1") for name, value in to_set.items())
    names = frozenset(folded_name(name.encode()) for name in (*to_set, *to_remove))
    return lines, names


def edited(lines: list[bytes], added: tuple[bytes, ...], removed: frozenset[bytes]) -> list[bytes]:
    """Field lines without those of the `removed` names, under any alias, followed by the `added` ones."""
    return [line for line in lines if folded_name(line.partition(b":")[0]) not in removed] + list(added)
