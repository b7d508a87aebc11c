"""A real browser asks the agent, from a page that it holds for one of the internet: only with its person's permission
(Local Network Access), and only from the login page."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from proxy.agent.answerer import Answerer
from proxy.agent.home import Home
from proxy.agent.keys import FileKey

pytestmark = pytest.mark.browser

ASK = """async ([agent, aud]) => {
  try {
    const answer = await fetch(agent, {
      method: "POST", mode: "cors", credentials: "omit", targetAddressSpace: "loopback",
      headers: {"Content-Type": "application/json"}, body: JSON.stringify({challenge: "c", aud})});
    return [answer.status, Object.keys(await answer.json()).join()];
  } catch (error) { return [0, error.name]; }
}"""


@contextlib.asynccontextmanager
async def page_server(certificates: Path) -> AsyncIterator[int]:
    """An empty page over https; its port."""

    async def empty(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>login</title>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", empty)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates / "proxy.crt", certificates / "proxy.key")
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("page", "permitted", "answer"),
    [
        ("login", True, [200, "jws"]),
        ("login", False, [0, "TypeError"]),  # without a window to ask the person in, Chromium says no
        ("another", True, [0, "TypeError"]),
    ],
)
async def test_a_page_asks_the_agent(
    page: str, permitted: bool, answer: list[object], recorder_certificates: Path, tmp_path: Path, chromium_program: str
) -> None:
    from playwright.async_api import async_playwright  # not at the top: the browser group may not be installed

    async with page_server(recorder_certificates) as port, async_playwright() as playwright:
        login = f"https://localhost:{port}" if page == "login" else "https://login.apps.test"
        key = FileKey.create(Home(tmp_path / "state"))
        answerer = Answerer("d", login, key, clock=time.time, ticks=time.monotonic)
        done = asyncio.Event()
        task = asyncio.create_task(answerer.serve(done.wait(), 0))
        await answerer.ready.wait()
        public = f"--ip-address-space-overrides=127.0.0.1:{port}=public"
        browser = await playwright.chromium.launch(executable_path=chromium_program, args=["--no-sandbox", public])
        try:
            context = await browser.new_context(ignore_https_errors=True)
            if permitted:
                await context.grant_permissions(["local-network-access"])
            tab = await context.new_page()
            await tab.goto(f"https://localhost:{port}/")
            agent = f"http://127.0.0.1:{answerer.port}/prove"
            assert await tab.evaluate(ASK, [agent, login]) == answer
        finally:
            await browser.close()
            done.set()
            await task
