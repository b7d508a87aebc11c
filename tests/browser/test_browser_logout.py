"""The way out: here, at the provider, and what every other tab notices of it."""

from __future__ import annotations

from typing import Any

import pytest
from browser_person import REFUSED, streaming, text
from browser_product import Product

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CUT = 1500  # milliseconds; see test_browser_live


async def asked_to_log_in(tab: Any, product: Product, url: str) -> None:
    """Going to `url` ends at the provider's login page, which asks."""
    await tab.goto(url)
    await tab.wait_for_url(f"{product.layout.issuer}/authorize?**")
    await tab.get_by_role("heading", name="Log in", exact=True).wait_for()


async def test_logging_out_here_logs_out_of_every_app_and_at_the_provider(product: Product, person: Any):
    alice = await person(product)
    alice.expects("WebSocket connection to", "net::ERR", REFUSED)
    live = await streaming(alice, "Alice")
    tabs = [await alice.tab(product.url(name)) for name in ("headers", "api")]
    portal = await alice.tab(product.url("login"))
    await portal.get_by_role("button", name="Log out").click()
    await portal.wait_for_url(f"{product.url('login')}.ostiary/logged-out?**")
    assert await portal.title() == "You are logged out · Ostiary"
    assert "here and at Demo login" in await portal.inner_text("main")
    await text(live, "#ws-state", "closed", CUT)
    for tab, name in zip(tabs, ("headers", "api"), strict=True):
        await asked_to_log_in(tab, product, product.url(name, "/after"))
    await portal.get_by_role("link", name="Log in again").click()
    await alice.answer(portal, "Bob")
    await portal.wait_for_url(product.url("login"))
    assert "bob@example.com" in await portal.inner_text("main"), "somebody else now"


async def test_logging_out_from_an_app_asks_first(product: Product, person: Any):
    alice = await person(product)
    tab = await alice.log_in("Alice")
    await tab.goto(product.url("headers", "/.ostiary/logout"))
    assert await tab.title() == "Log out? · Ostiary"
    await tab.get_by_role("link", name="Stay logged in").click()
    await tab.wait_for_url(product.url("login"))
    await tab.goto(product.url("headers", "/.ostiary/logout"))
    await tab.get_by_role("button", name="Log out").click()
    await tab.wait_for_url(f"{product.url('login')}.ostiary/logged-out?**")
    await asked_to_log_in(tab, product, product.url("live"))


async def test_logging_out_at_the_provider_counts_here_at_the_next_click(product: Product, person: Any):
    alice = await person(product)
    tab = await alice.log_in("Alice")
    provider = await alice.tab(product.layout.issuer)
    await provider.get_by_role("listitem").filter(has_text="this browser").get_by_role("button").click()
    await provider.wait_for_load_state()
    await asked_to_log_in(tab, product, product.url("headers", "/next"))


async def test_another_site_cannot_log_anybody_out(product: Product, person: Any):
    alice = await person(product)
    alice.expects(REFUSED)
    tab = await alice.log_in("Alice")
    evil = await alice.tab(product.url("api", "/health"))
    await evil.evaluate(
        """url => { const form = document.createElement('form'); form.method = 'post'; form.action = url;
            document.body.append(form); form.submit() }""",
        product.url("headers", "/.ostiary/logout"),
    )
    await evil.wait_for_url(product.url("headers", "/.ostiary/logout"))
    assert await evil.title() == "Another site tried to open this connection · Ostiary"
    await tab.goto(product.url("headers", "/still"))
    assert await tab.inner_text("#caller") == "alice"
