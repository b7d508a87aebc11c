"""Real providers as counterpart of the whole product: the stage of tests/scenarios, with real processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from keycloak import Keycloak
from scenario_app import App, serving
from scenario_processes import Outside, outside
from scenario_world import make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "certs"
    make_certificates(folder)
    return folder


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with serving(App()) as one:
        yield one


@pytest.fixture
async def proxy(tmp_path: Path, certificates: Path) -> AsyncIterator[Outside]:
    async with outside(tmp_path, certificates) as one:
        yield one


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Keycloak]:
    """One for all: it takes long to start."""
    with Keycloak(tmp_path_factory.mktemp("keycloak"), certificates / "servers-ca.crt") as one:
        yield one
