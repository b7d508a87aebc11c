"""Checks of `ostiary.yaml`: listeners, login, sessions, state, record, admin address, limits."""

from __future__ import annotations

import msgspec

from proxy.settings import forms
from proxy.settings.checks.devices import check_devices
from proxy.settings.checks.finding import Finding, Findings, form
from proxy.settings.checks.providers import check_provider
from proxy.settings.checks.secret_ref import secret_ref
from proxy.settings.checks.workloads import check_against_login, check_workloads
from proxy.settings.document import Path
from proxy.settings.schema import Configuration, Duration, Listener, Login, Size
from proxy.settings.units import write_duration

LONGEST_ASSERTION = 300.0
"""Seconds: the contract with apps."""


def check_configuration(configuration: Configuration) -> Findings:
    """Everything that can be said about `ostiary.yaml` alone."""
    for index, listener in enumerate(configuration.listeners):
        yield from _listener(("listeners", index), listener, svids=bool(configuration.workloads.trust_domains))
    yield from _listeners_together(configuration)
    yield from _login(configuration)
    yield from check_devices(configuration.devices)
    yield from check_workloads(configuration.workloads)
    yield from check_against_login(configuration.workloads, configuration.login.providers)
    yield from _lifetimes(configuration)
    yield from _state(configuration)
    yield from _admin(configuration)
    yield from _limits(configuration)


# --- listeners ---------------------------------------------------------------------------------------------------


def _listener(at: Path, listener: Listener, *, svids: bool) -> Findings:
    yield from form((*at, "address"), forms.host_port, listener.address)
    for index, cidr in enumerate(listener.trusted_proxies):
        here = (*at, "trusted_proxies", index)
        yield from form(here, forms.network, cidr)
        if cidr in {"0.0.0.0/0", "::/0"}:
            yield Finding(here, f"{cidr} lets anybody forge client addresses", "list the proxies in front of this one")
    if listener.tls is None:
        yield from _cleartext(at, listener)
        return
    if listener.cleartext == "proxy":
        yield Finding((*at, "cleartext"), '"cleartext: proxy" contradicts "tls"', "remove one of the two", key=True)
    if listener.tls.client_ca is None and listener.tls.client_crl:
        yield Finding(
            (*at, "tls", "client_crl"), '"client_crl" has no effect without "client_ca"', "add: client_ca: …", key=True
        )
    if listener.tls.client_ca is None and not svids and listener.tls.client_certificate == "required":
        yield Finding(
            (*at, "tls", "client_certificate"),
            "client certificates are required but no authority is named",
            "add: client_ca: …",
            key=True,
        )


def _cleartext(at: Path, listener: Listener) -> Findings:
    if listener.cleartext == "redirect":
        if listener.trusted_proxies:
            yield Finding(
                (*at, "trusted_proxies"),
                "this listener only redirects: trusted_proxies has no effect",
                "add cleartext: proxy if TLS ends in front of it",
                "warning",
                key=True,
            )
        return
    try:
        loopback = forms.host_port(listener.address).loopback
    except forms.Malformed:
        return
    if not loopback and not listener.trusted_proxies:
        yield Finding(
            (*at, "cleartext"),
            "cleartext: proxy on an address others can reach",
            "listen on 127.0.0.1, or name the proxies in front in trusted_proxies",
            key=True,
        )


def _listeners_together(configuration: Configuration) -> Findings:
    seen: dict[forms.HostPort, int] = {}
    for index, listener in enumerate(configuration.listeners):
        try:
            address = forms.host_port(listener.address)
        except forms.Malformed:
            continue
        if address.port and seen.setdefault(address, index) != index:
            yield Finding(
                ("listeners", index, "address"),
                f"{listener.address} is listener {seen[address] + 1} already",
                "each listener needs an address of its own",
            )
    if not any(serves(listener) for listener in configuration.listeners):
        yield Finding(
            ("listeners",), "no listener serves the routes: all of them only redirect", "give one of them tls", key=True
        )


def serves(listener: Listener) -> bool:
    """Whether routes are reached through it (rather than a redirect to https)."""
    return listener.tls is not None or listener.cleartext == "proxy"


# --- login -------------------------------------------------------------------------------------------------------


def _login(configuration: Configuration) -> Findings:
    login = configuration.login
    in_the_clear = any(listener.cleartext == "proxy" for listener in configuration.listeners)
    schemes = ("https", "http") if in_the_clear else ("https",)
    yield from form(("login", "url"), lambda text: forms.bare_origin(text, schemes=schemes), login.url)
    for index, provider in enumerate(login.providers):
        yield from check_provider(("login", "providers", index), provider)
    yield from _unique_providers(login)


def _unique_providers(login: Login) -> Findings:
    names: dict[str, int] = {}
    domains: dict[str, str] = {}
    for index, provider in enumerate(login.providers):
        at: Path = ("login", "providers", index)
        if names.setdefault(provider.name, index) != index:
            yield Finding(
                (*at, "name"),
                f'provider "{provider.name}" is provider {names[provider.name] + 1} already',
                "each provider needs a name of its own",
            )
        for position, domain in enumerate(provider.domains):
            first = domains.setdefault(domain, provider.name)
            if first != provider.name:
                yield Finding(
                    (*at, "domains", position),
                    f'mail domain "{domain}" belongs to provider "{first}" already',
                    "a mail domain leads to one provider",
                )


# --- the rest ----------------------------------------------------------------------------------------------------


def _lifetimes(configuration: Configuration) -> Findings:
    sessions = configuration.sessions
    for name in ("lifetime", "idle", "refresh"):
        if getattr(sessions, name) <= 0:
            yield Finding(("sessions", name), f'"{name}" must be longer than nothing')
    if sessions.idle > sessions.lifetime:
        yield Finding(
            ("sessions", "idle"),
            f'"idle" ({write_duration(sessions.idle)}) is longer than "lifetime" ({write_duration(sessions.lifetime)})',
            "it then has no effect",
            "warning",
        )
    if 0 < sessions.outage_grace <= sessions.refresh:
        yield Finding(
            ("sessions", "outage_grace"),
            '"outage_grace" is no longer than "refresh": the first renewal that fails ends the session',
            'it counts from the last renewal; make it several times "refresh", or 0s if that is meant',
            "warning",
        )
    if sessions.key is not None:
        yield from secret_ref(("sessions", "key"), sessions.key)
    if not 0 < configuration.assertion.lifetime <= LONGEST_ASSERTION:
        yield Finding(("assertion", "lifetime"), '"lifetime" of an assertion is at most 5m', "apps rely on it")
    if configuration.assertion.key in configuration.assertion.previous:
        yield Finding(
            ("assertion", "previous"), "the signing key is listed as a previous one too", "remove it", key=True
        )


def _state(configuration: Configuration) -> Findings:
    state, workers = configuration.state, configuration.workers
    if state == "memory:":
        if workers != 1:
            where: Path = ("state",) if workers is None else ("workers",)
            yield Finding(
                where,
                "state in memory cannot be shared by several workers",
                "write workers: 1, or state: sqlite:var/state.db",
            )
    elif state.startswith("redis"):
        yield Finding(("state",), "Redis is not supported yet", "write sqlite:var/state.db")
    elif not state.startswith("sqlite:") or not state.removeprefix("sqlite:").strip("/"):
        yield Finding(("state",), f'"{state}" is not a place for state', "write sqlite:var/state.db, or memory:")
    if configuration.audit.rotate < 64 * 1024:
        yield Finding(("audit", "rotate"), '"rotate" is at least 64KiB')
    if not configuration.audit.file:
        yield Finding(("audit", "file"), '"file" is empty', "such as var/audit.jsonl")


def _admin(configuration: Configuration) -> Findings:
    at: Path = ("admin", "address")
    try:
        address = forms.host_port(configuration.admin.address)
    except forms.Malformed as why:
        yield Finding(at, f'"address": {why}', why.hint)
        return
    if not address.loopback and not configuration.admin.allow_remote:
        yield Finding(
            at,
            "the admin address can be reached by others",
            "use 127.0.0.1, or add allow_remote: true if that is meant",
        )
    if any(listener.address == configuration.admin.address for listener in configuration.listeners):
        yield Finding(at, "the admin address is a listener's address too", "give it a port of its own")


_MAY_BE_ZERO = frozenset({"shutdown", "drain_bytes", "body_bytes", "chunk_overhead"})


def _limits(configuration: Configuration) -> Findings:
    limits = configuration.limits
    for name, value in msgspec.structs.asdict(limits).items():
        if isinstance(value, (int, Duration, Size)) and value <= 0 and not (value == 0 and name in _MAY_BE_ZERO):
            yield Finding(("limits", name), f'"{name}" must be more than nothing', "remove the key for the default")
    if not 1024 <= limits.header_bytes <= 1024 * 1024:
        yield Finding(("limits", "header_bytes"), '"header_bytes" is between 1KiB and 1MiB')
