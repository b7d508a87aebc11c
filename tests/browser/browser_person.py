"""Somebody at a browser: logs in, opens pages, and notices everything that is wrong with them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from browser_product import Product

ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    # Whatever else the browser would like to reach, it cannot: every name but ours fails.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
]
_OWN = ("127.0.0.1", "localhost")


def trusting(authority: Path, home: Path) -> Path | None:
    """A home whose browsers trust `authority`; None where `certutil` is not installed."""
    certutil = shutil.which("certutil")
    if certutil is None:
        return None
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    at = ["-d", f"sql:{store}"]
    subprocess.run([certutil, *at, "-N", "--empty-password"], check=True, capture_output=True)
    words = ["-A", "-n", "ostiary", "-t", "C,,", "-i", str(authority)]
    subprocess.run([certutil, *at, *words], check=True, capture_output=True)
    return home


class Person:
    """One browser profile. `complaints` collects console errors, violated policies and requests to strangers;
    `requested` is every address asked for."""

    def __init__(self, context: Any, product: Product) -> None:
        self.context = context
        self.product = product
        self.complaints: list[str] = []
        self.expected: list[str] = []
        self.requested: list[str] = []

    @classmethod
    async def at(cls, browser: Any, product: Product, **options: Any) -> Self:
        """Open a fresh profile."""
        options.setdefault("viewport", {"width": 1280, "height": 800})
        options.setdefault("ignore_https_errors", shutil.which("certutil") is None)
        one = cls(await browser.new_context(**options), product)
        one.context.set_default_timeout(15_000)
        one.context.on("console", one._console)
        one.context.on("weberror", lambda error: one.complaints.append(f"script: {error.error}"))
        one.context.on("request", one._request)
        return one

    def expects(self, *parts: str) -> None:
        """From now on, console lines with one of these are no complaints: the story provokes them."""
        self.expected += parts

    def _console(self, message: Any) -> None:
        url = message.location.get("url", "")
        if message.type in ("error", "warning") and not url.endswith("/favicon.ico"):  # a JSON API has no icon
            self.complaints.append(f"console: {message.text} ({url})")

    def _request(self, request: Any) -> None:
        self.requested.append(request.url)
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and not f".{url.hostname}".endswith(tuple(f".{own}" for own in _OWN)):
            self.complaints.append(f"request to a stranger: {request.url}")

    async def tab(self, url: str = "") -> Any:
        """A new tab, perhaps already somewhere."""
        page = await self.context.new_page()
        if url:
            await page.goto(url)
        return page

    async def answer(self, tab: Any, name: str) -> None:
        """On the provider's page: be `name`."""
        way, who = tab.get_by_role("link", name="Demo login"), tab.get_by_role("radio", name=name)
        await way.or_(who).first.wait_for()
        if await way.count():  # there are several providers: choose
            await way.click()
        await who.check()
        await tab.get_by_role("button", name="Log in").click()

    async def log_in(self, name: str, app: str = "headers", path: str = "/") -> Any:
        """A tab at `app` after logging in."""
        wanted = self.product.url(app, path)
        tab = await self.tab(wanted)
        await self.answer(tab, name)
        await tab.wait_for_url(wanted)
        return tab

    async def leave(self) -> None:
        """Close the profile; fail for whatever was complained about and not expected."""
        await self.context.close()
        left = [line for line in self.complaints if not any(part in line for part in self.expected)]
        assert not left, "\n".join(left)


REFUSED = "the server responded with a status of"  # what Chromium logs about a page that is a refusal


async def text(tab: Any, selector: str, wanted: str, within: float = 5000) -> None:
    """Wait until an element says `wanted` somewhere; `within` in milliseconds."""
    await tab.locator(selector).filter(has_text=wanted).wait_for(timeout=within)


async def streaming(person: Person, name: str) -> Any:
    """A tab of “Live data” with both streams running; `name` is "" for somebody who is logged in."""
    tab = await (person.log_in(name, "live") if name else person.tab(person.product.url("live")))
    await text(tab, "#ws-state", "open")
    await text(tab, "#sse-state", "open")
    return tab
