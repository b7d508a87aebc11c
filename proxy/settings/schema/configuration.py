"""The files as a whole."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from proxy.settings.schema.base import NonEmpty, Strict
from proxy.settings.schema.devices import Devices
from proxy.settings.schema.listeners import Listener
from proxy.settings.schema.login import Login
from proxy.settings.schema.operation import Admin, Assertion, Audit, Limits, Sessions
from proxy.settings.schema.routes import Baseline, Route
from proxy.settings.schema.workloads import Workloads


class RouteFile(Strict, frozen=True, kw_only=True):
    """One file of the routes folder."""

    routes: tuple[Route, ...]


class Configuration(Strict, frozen=True, kw_only=True):
    """`ostiary.yaml`."""

    listeners: Annotated[tuple[Listener, ...], Meta(min_length=1)]
    login: Login
    assertion: Assertion
    routes: str | NonEmpty = "routes/"
    sessions: Sessions = Sessions()
    devices: Devices = Devices()
    workloads: Workloads = Workloads()
    baselines: tuple[Baseline, ...] = ()
    state: str = "sqlite:var/state.db"
    audit: Audit = Audit()
    admin: Admin = Admin()
    limits: Limits = Limits()
    workers: Annotated[int, Meta(ge=1, le=256)] | None = None  # default: one per core


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration and its routes, checked as a whole. Relative paths are already resolved against the
    configuration file's folder. `revision` is a short hash of the names and bytes
    of the YAML files, the same on every machine that has the same files."""

    configuration: Configuration
    routes: tuple[Route, ...]
    revision: str
    files: tuple[str, ...]  # every file whose change should lead to a reload (YAML, certificates, keys, CRLs)
