"""Paths in a configuration, made absolute: relative ones count from the folder of the file that names them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from proxy.settings.schema import (
    AnyProvider,
    Configuration,
    Devices,
    Provider,
    Route,
    SecretRef,
    UpstreamTls,
    WeightedUpstream,
    Workloads,
)

S = TypeVar("S", bound=msgspec.Struct)


def _absolute(folder: Path, name: str) -> str:
    return os.path.normpath(folder / name)


def _with_files(folder: Path, struct: S, *names: str) -> S:
    """A copy with these fields (a path, a tuple of paths, or None) made absolute."""
    changed: dict[str, object] = {}
    for name in names:
        value = getattr(struct, name)
        if isinstance(value, tuple):
            changed[name] = tuple(_absolute(folder, item) for item in value)
        elif isinstance(value, SecretRef):
            changed[name] = _with_files(folder, value, "file")
        elif value:
            changed[name] = _absolute(folder, value)
    return replace(struct, **changed) if changed else struct


def resolve_configuration(configuration: Configuration, folder: Path) -> Configuration:
    """The configuration with every path absolute. `folder` is absolute."""
    listeners = []
    for listener in configuration.listeners:
        tls = listener.tls
        if tls is not None:
            pairs = tuple(_with_files(folder, pair, "cert", "key") for pair in tls.certificates)
            tls = replace(_with_files(folder, tls, "client_ca", "client_crl"), certificates=pairs)
        listeners.append(replace(listener, tls=tls))
    providers = tuple(_resolve_provider(folder, provider) for provider in configuration.login.providers)
    state = configuration.state
    if state.startswith("sqlite:"):
        state = "sqlite:" + _absolute(folder, state.removeprefix("sqlite:"))
    routes = configuration.routes if isinstance(configuration.routes, tuple) else (configuration.routes,)
    return replace(
        configuration,
        listeners=tuple(listeners),
        login=replace(configuration.login, providers=providers),
        sessions=_with_files(folder, configuration.sessions, "key"),
        devices=_resolve_devices(folder, configuration.devices),
        workloads=_resolve_workloads(folder, configuration.workloads),
        assertion=_with_files(folder, configuration.assertion, "key", "previous"),
        audit=_with_files(folder, configuration.audit, "file"),
        state=state,
        routes=tuple(_absolute(folder, name) for name in routes),
    )


def _resolve_provider(folder: Path, provider: AnyProvider) -> AnyProvider:
    if isinstance(provider, Provider):
        return _with_files(folder, provider, "ca", "client_secret")
    names = ["ca", "metadata_certificate", "key", "certificate", "previous_key"]
    return _with_files(folder, provider, *names, *([] if is_url(provider.metadata) else ["metadata"]))


def _resolve_devices(folder: Path, devices: Devices) -> Devices:
    secrets = ("secret", "previous_secret", "client_secret", "token")
    management = tuple(
        _with_files(folder, one, "ca", *(name for name in secrets if name in one.__struct_fields__))
        for one in devices.management
    )
    return replace(_with_files(folder, devices, "tpm_authorities"), management=management)


def _resolve_workloads(folder: Path, workloads: Workloads) -> Workloads:
    domains = tuple(_with_files(folder, one, "bundle") for one in workloads.trust_domains)
    issuers = tuple(
        _with_files(folder, one, "ca", *(() if one.jwks is None or is_url(one.jwks) else ("jwks",)))
        for one in workloads.issuers
    )
    return replace(workloads, trust_domains=domains, issuers=issuers)


def is_url(text: str) -> bool:
    """Whether this is meant as an address to fetch rather than as a file."""
    return "://" in text


_NO_UPSTREAM_TLS = UpstreamTls()


def resolve_route(route: Route, folder: Path) -> Route:
    """The route with every path absolute; most routes name none and are returned as they are."""
    if route.upstream_tls != _NO_UPSTREAM_TLS:
        route = replace(route, upstream_tls=_with_files(folder, route.upstream_tls, "ca", "cert", "key"))
    to = route.to
    if isinstance(to, str):
        return replace(route, to=_socket(folder, to)) if to.startswith("unix:") else route
    if to is None:
        return route
    items = tuple(
        replace(item, url=_socket(folder, item.url)) if isinstance(item, WeightedUpstream) else _socket(folder, item)
        for item in to
    )
    return replace(route, to=items)


def _socket(folder: Path, url: str) -> str:
    if not url.startswith("unix:"):
        return url
    return "unix:" + _absolute(folder, url.removeprefix("unix:").removeprefix("//"))
