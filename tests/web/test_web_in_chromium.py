"""What only a browser can show: fragments, cookies and policies at work, keys on the portal. `make test-browser`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from web_front import fronted
from web_stage import LOGIN, WIKI, Stage, route, staged

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("chromium_program")]


@contextlib.asynccontextmanager
async def chromium(stage: Stage, folder: Path) -> AsyncIterator[Any]:
    """A fresh browser whose names all lead to the stage. Fails the test on any violation of our policy."""
    from playwright.async_api import async_playwright  # not at the top: the browser group may not be installed
    from screenshots import ARGUMENTS, CHROMIUM

    said: list[str] = []
    async with fronted(stage, folder) as port, async_playwright() as runner:
        arguments = [*ARGUMENTS, f"--host-resolver-rules=MAP *.apps.test 127.0.0.1:{port}"]
        browser = await runner.chromium.launch(executable_path=CHROMIUM, args=arguments)
        context = await browser.new_context(ignore_https_errors=True)
        context.on("console", lambda message: said.append(message.text))
        context.on("weberror", lambda error: said.append(str(error.error)))
        yield context
        await browser.close()
    assert not [line for line in said if "Content Security Policy" in line or "Error" in line], said


async def log_in(tab: Any, person: str) -> None:
    await tab.get_by_role("radio", name=person).check()
    await tab.get_by_role("button", name="Log in").click()


async def test_a_fragment_survives_the_login_and_the_provider_never_sees_it(tmp_path: Path) -> None:
    async with staged() as stage, chromium(stage, tmp_path) as context:
        tab = await context.new_page()
        await tab.goto(f"{WIKI}/page?x=1#part-3")
        assert tab.url.startswith(stage.idps["corp"].issuer)
        assert "part-3" not in tab.url
        await log_in(tab, "Alice")
        await tab.wait_for_url("**/page?x=1*")
        assert tab.url == f"{WIKI}/page?x=1#part-3"

        other = await context.new_page()
        await other.goto("https://grafana.apps.test:8443/dash#panel")
        assert other.url == "https://grafana.apps.test:8443/dash#panel", "no second login"


async def test_a_fragment_survives_the_chooser_by_mail_and_by_link(tmp_path: Path) -> None:
    async with staged("corp", "partner") as stage:
        async with chromium(stage, tmp_path) as context:
            tab = await context.new_page()
            await tab.goto(f"{WIKI}/a#one")
            await tab.get_by_label("Work e-mail").fill("alice@partner.example")
            await tab.keyboard.press("Enter")
            await tab.wait_for_url(f"{stage.idps['partner'].issuer}/**")
            await log_in(tab, "Alice")
            await tab.wait_for_url(f"{WIKI}/a#one")
        async with chromium(stage, tmp_path) as context:
            tab = await context.new_page()
            await tab.goto(f"{WIKI}/a#two")
            await tab.get_by_role("link", name="Corporate login").click()
            await tab.wait_for_url(f"{stage.idps['corp'].issuer}/**")
            await log_in(tab, "Bob")
            await tab.wait_for_url(f"{WIKI}/a#two")


async def test_the_portal_by_keyboard_and_the_way_out(tmp_path: Path) -> None:
    async with staged() as stage, chromium(stage, tmp_path) as context:
        stage.visible = [
            route("wiki", WIKI, title="Wiki"),
            *(route(f"r{n}", f"https://r{n}.apps.test:8443", title=f"App {n}") for n in range(6)),
        ]
        tab = await context.new_page()
        await tab.goto(LOGIN)
        await log_in(tab, "Carol")
        await tab.wait_for_url(f"{LOGIN}/")

        await tab.keyboard.press("/")
        await tab.keyboard.type("wik")
        assert await tab.get_by_role("status").inner_text() == "1 app"
        assert await tab.locator(".apps a:visible").all_inner_texts() == ["W\nWiki\nwiki.apps.test"]
        await tab.keyboard.press("Escape")
        await tab.keyboard.press("ArrowDown")
        for _ in range(6):
            await tab.keyboard.press("ArrowRight")
        assert await tab.evaluate("document.activeElement.querySelector('b').textContent") == "Wiki"
        await tab.keyboard.press("Enter")
        await tab.wait_for_url(f"{WIKI}/")

        await tab.goto(f"{WIKI}/.ostiary/logout")
        await tab.get_by_role("button", name="Log out").click()
        await tab.wait_for_url(f"{LOGIN}/.ostiary/logged-out*")
        assert "here and at Corporate login" in await tab.inner_text("main")
        await tab.goto(f"{WIKI}/again")
        assert tab.url.startswith(stage.idps["corp"].issuer), "logged out here and there"


async def test_ten_tabs_at_once(tmp_path: Path) -> None:
    async with staged() as stage, chromium(stage, tmp_path) as context:
        first = await context.new_page()
        await first.goto(f"{WIKI}/first")
        await log_in(first, "Alice")
        await first.wait_for_url(f"{WIKI}/first")
        await context.clear_cookies(domain="wiki.apps.test")
        await context.clear_cookies(domain="login.apps.test")

        tabs = [await context.new_page() for _ in range(10)]
        for n, tab in enumerate(tabs):
            await tab.evaluate(f"void (location.href = '{WIKI}/tab/{n}')")
        for n, tab in enumerate(tabs):
            await tab.wait_for_url(f"{WIKI}/tab/{n}")
