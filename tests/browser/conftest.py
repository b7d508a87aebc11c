"""One Chromium and one running product for all stories of this folder; a browser profile of its own for each person.

Without Chromium the stories are skipped aloud, and fail where CI=true says they must run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser_person import ARGUMENTS, Person, trusting
from browser_product import Branch, Product, branch, demo


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright(chromium_program: str) -> AsyncIterator[Any]:
    """Playwright's driver."""
    from playwright.async_api import async_playwright  # not at the top: the browser group may not be installed

    async with async_playwright() as one:
        yield one


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def product(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    """`ostiary demo`, running."""
    async with demo(tmp_path_factory.mktemp("demo")) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def company(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Branch]:
    """The company with two identity providers, running; what a story stops it starts again."""
    async with branch(tmp_path_factory.mktemp("branch")) as one:
        yield one


Launch = Callable[[Path], Any]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browsers(
    playwright: Any, chromium_program: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Launch]:
    """A browser that trusts one development authority; the same one for the same authority."""
    running: dict[Path, Any] = {}
    async with contextlib.AsyncExitStack() as stack:

        async def launch(authority: Path) -> Any:
            if authority not in running:
                home = trusting(authority, tmp_path_factory.mktemp("home"))
                running[authority] = await playwright.chromium.launch(
                    executable_path=chromium_program,
                    args=ARGUMENTS,
                    env={**os.environ, "HOME": str(home)} if home else None,
                )
                stack.push_async_callback(running[authority].close)
            return running[authority]

        yield launch


Opens = Callable[..., Any]


@pytest_asyncio.fixture(loop_scope="session")
async def person(browsers: Launch, request: pytest.FixtureRequest) -> AsyncIterator[Opens]:
    """`await person(product, **context_options)`: somebody with a fresh profile. In the end nothing bad was seen."""
    people: list[Person] = []

    async def opens(product: Product, **options: Any) -> Person:
        browser = await browsers(product.layout.trust)
        people.append(await Person.at(browser, product, **options))
        return people[-1]

    yield opens
    for one in people:
        await one.leave()
