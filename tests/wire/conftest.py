"""The loop of production, and one stack per module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import uvloop
from wire_stack import Setup, Stack, running


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The proxy; a module may set `LIMITS` and `ROUTES`, or a whole `SETUP`."""
    usual = Setup(limits=getattr(request.module, "LIMITS", {}), changes=getattr(request.module, "ROUTES", {}))
    setup = getattr(request.module, "SETUP", usual)
    async with running(tmp_path_factory.mktemp("stack"), setup) as started:
        yield started
