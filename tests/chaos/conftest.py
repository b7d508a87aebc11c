"""The stage of the stories; see `scenario_world`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop
from scenario_processes import Outside, outside
from scenario_world import App, Inside, make_certificates, opened, serving


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that `ostiary serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


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
async def world(tmp_path: Path, certificates: Path) -> AsyncIterator[Inside]:
    async with opened(tmp_path, certificates) as one:
        yield one


@pytest.fixture
async def proxy(tmp_path: Path, certificates: Path) -> AsyncIterator[Outside]:
    async with outside(tmp_path, certificates) as one:
        yield one
