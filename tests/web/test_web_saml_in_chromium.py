"""SAML in a real browser: another site's form comes without our cookies, and people are logged in all the same."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from saml_idp import POST_BINDING
from test_web_in_chromium import chromium
from web_saml_stage import LOGIN, Partners, acs, partnered
from web_stage import WIKI

from proxy.demo.saml_idp.provider import SamlProvider as Demo
from proxy.demo.saml_idp.server import make_application

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("chromium_program")]


@contextlib.asynccontextmanager
async def partner(partners: Partners) -> AsyncIterator[str]:
    """The demo's SAML provider on a site of its own, as `partner`; its origin."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    await runner.cleanup()
    stage = partners.stage

    async def fetch() -> bytes:
        return stage.saml["partner"].metadata()

    async def tell(url: str, fields: dict[str, str]) -> int:
        raise AssertionError("not in these stories")

    origin = f"http://127.0.0.1:{port}"
    served = web.AppRunner(make_application(Demo(origin, stage.clock, fetch, tell)), shutdown_timeout=0.1)
    await served.setup()
    await web.TCPSite(served, "127.0.0.1", port).start()
    partners.add(metadata=f"{origin}/metadata")
    yield origin
    await served.cleanup()


async def choose(tab: Any, person: str) -> None:
    await tab.get_by_role("radio", name=person).check()
    await tab.get_by_role("button", name="Log in").click()


async def test_a_login_with_a_fragment_and_the_way_out(tmp_path: Path) -> None:
    async with (
        partnered(tmp_path) as partners,
        partner(partners) as origin,
        chromium(partners.stage, tmp_path) as context,
    ):
        tab = await context.new_page()
        arrived: list[Any] = []
        tab.on("request", lambda request: arrived.append(request) if request.url == acs() else None)
        await tab.goto(f"{WIKI}/page?x=1#part-3")
        assert tab.url.startswith(origin)
        await choose(tab, "Erin")
        await tab.wait_for_url(f"{WIKI}/page?x=1#part-3")
        assert len(arrived) == 1
        sent = await arrived[0].all_headers()
        assert "sec-fetch-site" in sent, "these are all that were sent"
        assert "cookie" not in sent
        [event] = partners.stage.events_called("login")
        assert event["identity"].email == "erin@partner.example"
        await tab.goto(f"{WIKI}/.ostiary/logout")
        await tab.get_by_role("button", name="Log out").click()
        await tab.wait_for_url(f"{LOGIN}/.ostiary/logged-out*")
        assert "here and at Partner Ltd" in await tab.inner_text("main")
        await tab.goto(f"{WIKI}/")
        assert tab.url.startswith(origin), "the provider asks who it is"


async def test_without_scripts_there_are_buttons(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners, partner(partners), chromium(partners.stage, tmp_path) as context:
        browser = context.browser
        plain = await browser.new_context(ignore_https_errors=True, java_script_enabled=False)
        tab = await plain.new_page()
        await tab.goto(f"{WIKI}/page")
        await tab.wait_for_url("http://127.0.0.1:*/sso*")
        await choose(tab, "Femi")
        await tab.get_by_role("button", name="Continue").click()
        await tab.wait_for_url(f"{WIKI}/page")
        await plain.close()


async def test_a_request_by_form_passes_our_own_policy(tmp_path: Path) -> None:
    posted: list[dict[str, str]] = []

    async def sso(request: web.Request) -> web.Response:
        posted.append({str(name): str(value) for name, value in (await request.post()).items()})
        return web.Response(text="<title>there</title>", content_type="text/html")

    application = web.Application()
    application.router.add_post("/sso", sso)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    where = f"http://127.0.0.1:{runner.addresses[0][1]}/sso"
    services = f'<md:SingleSignOnService Binding="{POST_BINDING}" Location="{where}"/>'
    async with partnered(tmp_path, services=services) as partners, chromium(partners.stage, tmp_path) as context:
        tab = await context.new_page()
        await tab.goto(f"{WIKI}/page#part")
        await tab.wait_for_url(where)
        assert await tab.title() == "there"
    await runner.cleanup()
    assert set(posted[0]) == {"SAMLRequest", "RelayState"}


async def test_a_login_nobody_asked_for_waits_for_a_click(tmp_path: Path) -> None:
    async with partnered(tmp_path, idp_initiated=True) as partners, chromium(partners.stage, tmp_path) as context:
        tab = await context.new_page()
        form = (
            f'<form method="post" action="{acs()}"><input type="hidden" name="SAMLResponse" '
            f'value="{partners.response(None)}"><input name="RelayState" value="{WIKI}/deep"></form>'
            "<script>document.forms[0].submit()</script>"
        )
        await tab.set_content(form)
        await tab.wait_for_url(f"{LOGIN}/.ostiary/saml/partner/finish*")
        assert "Alice (alice@partner.example)" in await tab.inner_text("main")
        assert not partners.stage.events_called("login")
        await tab.get_by_role("button", name="Log in").click()
        await tab.wait_for_url(f"{WIKI}/deep")
        assert len(partners.stage.events_called("login")) == 1
