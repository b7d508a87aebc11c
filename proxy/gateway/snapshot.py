"""The whole configuration, prepared and immutable: a request reads one of these from beginning to end.

A reload builds a new snapshot completely and then replaces the old one in a single assignment, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from proxy.authn.mtls import CertificateVerifier
from proxy.gateway.plan import RoutePlan
from proxy.routing import RouteTable
from proxy.settings.schema import Settings
from proxy.web import endpoints
from proxy.wire.host import parse

_HOSTS: Final = 4096
_SEAL: Final = 16 * 1024  # bytes around a sealed form
_DEFAULT_PORT = {"https": 443, "http": 80}


class Snapshot:
    """`plans` are the routes; `control` answers our own paths on every host, and all paths of the login host that no
    route covers. `verifiers` maps a listener's address to the judge of its client certificates."""

    def __init__(
        self,
        settings: Settings,
        plans: Iterable[RoutePlan],
        control: RoutePlan,
        verifiers: Mapping[str, CertificateVerifier],
    ) -> None:
        self.settings = settings
        self.revision = settings.revision
        self.control = control
        self.verifiers = verifiers
        self.certificate_required = frozenset(
            one.address
            for one in settings.configuration.listeners
            if one.tls is not None and one.tls.client_certificate == "required"
        )
        self.plans = tuple(plans)
        self.table = RouteTable((plan.route.source, plan) for plan in self.plans)
        self.login_host = control.source.host
        self.login_origin = control.source.origin
        self.largest_form = settings.configuration.login.interrupted_post
        # Our own pages once more, for forms that must wait for a login: they may be larger than what else is read, and
        # come back sealed.
        most = 2 * self.largest_form + _SEAL
        self.forms = RoutePlan(control.route, control.policy, control.target, control=True, body_limit=most)
        self._ports = _ports([*self.plans, control])
        self._some = {plan.source.host: plan for plan in [*self.plans, control]}
        self._hosts: dict[bytes, str] = {}

    def __repr__(self) -> str:
        return f"<Snapshot {self.revision} routes={len(self.plans)}>"

    def host(self, value: bytes) -> str:
        """The canonical host of a Host value that we serve, "" when we do not. Raises HostRefused."""
        known = self._hosts.get(value)
        if known is None:
            known = self._look_up(value)
            if len(self._hosts) >= _HOSTS:
                self._hosts.clear()
            self._hosts[value] = known
        return known

    def _look_up(self, value: bytes) -> str:
        host, port = parse(value)
        for pattern in (host, "*." + host.partition(".")[2]):
            for scheme, expected in self._ports.get(pattern, ()):
                if (port or _DEFAULT_PORT[scheme]) == expected:
                    return host
        return ""

    def plan(self, host: str, path: str) -> RoutePlan | None:
        """The route for a canonical host (that we serve) and path; None when there is none."""
        if path.startswith("/.") and (path.startswith(endpoints.PREFIX) or path == endpoints.JWKS):
            return self.forms if path == endpoints.RESUME else self.control
        found = self.table.match(host, path)
        if found is None and host == self.login_host:
            return self.control
        return found

    def any_plan(self, host: str) -> RoutePlan | None:
        """Some route of a host, to know its scheme and port."""
        for pattern in (host, "*." + host.partition(".")[2]):
            found = self._some.get(pattern)
            if found is not None:
                return found
        return None


def _ports(plans: Iterable[RoutePlan]) -> dict[str, frozenset[tuple[str, int]]]:
    """Host pattern → the (scheme, port) pairs its routes are reached at."""
    ports: dict[str, set[tuple[str, int]]] = {}
    for plan in plans:
        source = plan.source
        port = source.port or _DEFAULT_PORT[source.scheme]
        ports.setdefault(source.host, set()).add((source.scheme, port))
    return {host: frozenset(pairs) for host, pairs in ports.items()}
