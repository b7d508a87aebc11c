"""Checks of everything together: the same name or place twice, routes nobody can reach, features nobody provides."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.settings import forms
from proxy.settings.checks.baselines import check_baselines
from proxy.settings.checks.configuration import serves
from proxy.settings.checks.device_sources import check_device_sources
from proxy.settings.checks.placed import Placed
from proxy.settings.checks.routes import read_source
from proxy.settings.checks.rules import OF_PEOPLE
from proxy.settings.document import Document
from proxy.settings.schema import Configuration, Rule


def check_routes_together(placed: Sequence[Placed]) -> None:
    """Names and places are given once, over all files."""
    names: dict[str, Placed] = {}
    sources: dict[tuple[str, str], Placed] = {}
    for one in placed:
        first = names.setdefault(one.route.name, one)
        if first is not one:
            one.error(
                ("name",),
                f'route "{one.route.name}" is defined twice; the first is at {first.at(("name",))}',
                "each route needs a name of its own",
            )
        source = read_source(one.route)
        if source is None:
            continue
        first = sources.setdefault((source.host, source.prefix), one)
        if first is not one:
            one.error(
                ("from",),
                f'routes "{first.route.name}" and "{one.route.name}" have the same host and path prefix; '
                f"the first is at {first.at(('from',))}",
                "merge them, or give one another prefix (ports make no difference)",
            )


def check_against_configuration(document: Document, placed: Sequence[Placed], configuration: Configuration) -> None:
    """Each route must fit the listeners, the login host, the providers and the baselines; `document` is the file of
    the configuration."""
    surroundings = _Surroundings(configuration)
    check_baselines(document, placed, configuration)
    check_device_sources(document, placed, configuration)
    for one in placed:
        surroundings.source(one)
        surroundings.certificates(one)
        surroundings.reachable(one)
        surroundings.workloads(one)


class _Surroundings:
    """What routes depend on, worked out once."""

    def __init__(self, configuration: Configuration) -> None:
        workloads = configuration.workloads
        self.issuers = frozenset(one.name for one in workloads.issuers)
        self.trust_domains = frozenset(domain.name for domain in workloads.trust_domains)
        self.client_ca = bool(workloads.trust_domains) or any(
            listener.tls and listener.tls.client_ca for listener in configuration.listeners
        )
        self.cleartext = any(listener.cleartext == "proxy" and not listener.tls for listener in configuration.listeners)
        self.providers = bool(configuration.login.providers)
        self.ports = self._ports(configuration)
        try:
            self.login_host = forms.origin(configuration.login.url).host
        except forms.Malformed:
            self.login_host = ""

    def _ports(self, configuration: Configuration) -> frozenset[int]:
        """Ports at which routes are served; empty when that cannot be known (a proxy in front, a free port)."""
        ports = set()
        for listener in configuration.listeners:
            try:
                address = forms.host_port(listener.address)
            except forms.Malformed:
                return frozenset()
            if serves(listener):
                ports.add(address.port)
        return frozenset() if self.cleartext or 0 in ports else frozenset(ports)

    def source(self, one: Placed) -> None:
        source = read_source(one.route)
        if source is None:
            return
        if source.scheme == "http" and not self.cleartext:
            one.error(("from",), "people reach routes by https only", f"write {source._replace(scheme='https').text}")
        elif self.ports and source.port not in self.ports:
            served = ", ".join(str(port) for port in sorted(self.ports))
            one.warn(
                ("from",),
                f"no listener serves port {source.port} (served: {served})",
                f"write {source._replace(port=min(self.ports)).text}, unless something in front maps the port",
            )
        if source.host == self.login_host and not source.prefix:
            one.error(
                ("from",), "this is the host of our own pages (login.url)", "use another host, or a path prefix on it"
            )

    def certificates(self, one: Placed) -> None:
        if one.route.client_certificate == "required" and not self.client_ca:
            one.error(
                ("client_certificate",), "no listener asks for client certificates", "give a listener tls.client_ca"
            )

    def workloads(self, one: Placed) -> None:
        """Names by token need their issuer, an upstream's SPIFFE ID its trust domain."""
        for list_name, rules in (("allow", one.route.allow), ("deny", one.route.deny)):
            for index, rule in enumerate(rules):
                for position, name in enumerate(rule.services or ()):
                    issuer, colon, _ = name.partition(":")
                    if colon and "://" not in name and issuer not in self.issuers:
                        known = ", ".join(sorted(self.issuers)) or "none"
                        place = (list_name, index, "services", position)
                        one.error(place, f'"{issuer}" is no issuer of workloads', f"workloads.issuers has: {known}")
        spiffe_id = one.route.upstream_tls.spiffe_id
        if spiffe_id is not None and spiffe_id.removeprefix("spiffe://").partition("/")[0] not in self.trust_domains:
            one.error(
                ("upstream_tls", "spiffe_id"),
                f"the trust domain of {spiffe_id} has no bundle",
                "name it under workloads.trust_domains",
            )

    def reachable(self, one: Placed) -> None:
        """Warn of a route that refuses everybody."""
        route = one.route
        if not route.public and not route.allow:
            hint = "add allow: […], or public: true for everybody"
            one.warn(("name",), f'nobody can use route "{route.name}": it has no allow rule', hint)
            return
        why = [self.unusable(rule) for rule in route.allow]
        if not route.public and all(why):
            one.warn(
                ("name",), f'nobody can use route "{route.name}": {why[0]}', "see login.providers and tls.client_ca"
            )
        if any(_closes(rule) for rule in route.deny):
            one.warn(("name",), f'nobody can use route "{route.name}": a deny rule refuses everybody', "is that meant?")

    def unusable(self, rule: Rule) -> str:
        """Why a rule can never hold here, or ""."""
        if rule.services is not None and not self.client_ca and not self.issuers:
            return f'rule "{rule.name}" wants a service, but no listener asks for client certificates'
        people = [name for name in OF_PEOPLE if getattr(rule, name) is not None]
        if people and not self.providers:
            return f'rule "{rule.name}" wants a person, but there is no login provider'
        if rule.authenticated and not self.providers and not self.client_ca and not self.issuers:
            return f'rule "{rule.name}" wants a login, but there is no login provider'
        return ""


def _closes(rule: Rule) -> bool:
    narrowing = (rule.methods, rule.paths, rule.networks, rule.hours, rule.device, rule.not_)
    return bool(rule.anyone) and all(condition is None for condition in narrowing)
