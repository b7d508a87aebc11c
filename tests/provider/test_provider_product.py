"""The whole product, two workers in processes of their own, before the certified provider: the life of a session."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from real_provider import Browser as ProviderBrowser
from real_provider import RealProvider
from scenario_app import App
from scenario_http import Answer, Headers
from scenario_people import FETCH, NAVIGATE, Browser
from scenario_processes import Outside
from scenario_world import CUT, Corp, eventually_so

from proxy.web.endpoints import LOGGED_OUT, LOGOUT, backchannel, callback

pytestmark = pytest.mark.provider
SECRET = "secret with odd: +characters/"
UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@dataclass
class Employee(Browser):
    """A person whose browser also walks through the certified provider's own pages."""

    person: str = "ann"
    issuer: str = ""
    there: ProviderBrowser = field(kw_only=True)

    async def fetch(
        self, url: str, method: str = "GET", headers: Headers = FETCH, data: dict[str, str] | None = None
    ) -> Answer:
        if url.startswith(self.issuer):
            return Answer(303, [("Location", await self.there.visit(url, login=self.person))])
        return await super().fetch(url, method, headers, data)

    async def status(self, url: str) -> int:
        """What a script of hers is answered with."""
        return (await self.fetch(url)).status

    async def reason(self, url: str) -> str:
        return str((await self.fetch(url)).json["reason"])


class Office:
    """The running product with `corp`, the certified provider."""

    def __init__(self, proxy: Outside, app: App) -> None:
        self.proxy = proxy
        proxy.route("wiki", app.url, allow=[{"name": "staff", "groups": ["staff"]}])
        proxy.route("pager", app.url, allow=[{"name": "on-call", "groups": ["sre"]}])
        self.wiki, self.pager, self.login = (proxy.origin(name) for name in ("wiki", "pager", "login"))
        self.corp = RealProvider(self.login + callback("corp"), self.login + LOGGED_OUT, self._tell)
        self.told: list[int] = []
        self._stack = contextlib.AsyncExitStack()

    async def _tell(self, token: str) -> int:
        form = f"logout_token={token}".encode()
        kind = [("Content-Type", "application/x-www-form-urlencoded")]
        answer = await self.proxy.ask("login", backchannel("corp"), method="POST", headers=kind, body=form)
        self.told.append(answer.status)
        return answer.status

    def entry(self) -> dict[str, Any]:
        """The provider, for the configuration."""
        secret = self.proxy.folder / "corp-secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        return {
            "name": "corp",
            "issuer": self.corp.issuer,
            "client_id": "confidential",
            "client_secret": {"file": "corp-secret"},
        }

    async def employee(self, person: str = "ann") -> Employee:
        """Somebody with a fresh browser."""
        there = await self._stack.enter_async_context(ProviderBrowser(self.corp.issuer))
        return Employee(self.proxy, person, issuer=self.corp.issuer, there=there)

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def office(proxy: Outside, app: App) -> AsyncIterator[Office]:
    """Not started yet: `await office.proxy.start()`."""
    one = Office(proxy, app)
    async with one.corp:
        proxy.config["login"]["providers"] = [one.entry()]
        yield one
        await one.close()


async def test_a_login_through_the_real_pages(office: Office, app: App) -> None:
    await office.proxy.start()
    ann = await office.employee()
    page = await ann.open(office.wiki + "/reports?q=a%26b")
    assert (page.status, page.url) == (200, office.wiki + "/reports?q=a%26b")
    assert app.last().header("x-ostiary-email") == "ann@example.com"
    assert app.last().header("x-ostiary-groups") == "sre,staff"
    told = (await ann.fetch(office.wiki + "/.ostiary/whoami")).json
    assert (told["subject"], told["provider"], told["groups"]) == ("ann", "corp", ["sre", "staff"])
    assert (await ann.open(office.pager + "/")).status == 200


async def test_groups_are_read_again_and_tokens_rotate_between_the_workers(office: Office) -> None:
    """The provider takes a refresh token used twice for theft and ends it all: so one worker at a time uses it."""
    office.proxy.config["sessions"] = {"refresh": "1s"}
    await office.proxy.start()
    ann = await office.employee()
    await ann.open(office.wiki + "/")
    await ann.open(office.pager + "/")

    async def crowd(url: str, wanted: int) -> bool:
        return set(await asyncio.gather(*(ann.status(url) for _ in range(6)))) == {wanted}

    for groups, pager in (["staff"], 403), (["staff", "sre"], 200), (["staff"], 403):
        await office.corp.set_groups("ann", groups)
        await eventually_so(lambda pager=pager: crowd(office.pager + "/", pager), f"access as {groups} have it")
        assert await ann.status(office.wiki + "/") == 200, "the session itself goes on"
    assert await ann.reason(office.pager + "/") == "no-rule-allows"


async def test_logging_out_here_logs_out_at_the_provider(office: Office) -> None:
    await office.proxy.start()
    ann = await office.employee()
    await ann.open(office.wiki + "/")
    asked = await ann.open(office.wiki + LOGOUT)
    assert "Log out?" in asked.text
    page = await ann.submit(office.wiki + LOGOUT, {})
    assert page.url.startswith(office.login + LOGGED_OUT)
    assert "here and at corp" in page.text
    assert await ann.status(office.wiki + "/") == 401
    left_for = await ann.there.visit(_authorization_url(await ann.fetch(_login(office), headers=NAVIGATE)), abort=True)
    assert parse_qs(urlsplit(left_for).query)["error"] == ["access_denied"], "the provider asked who she is"


def _login(office: Office) -> str:
    return office.login + "/.ostiary/login?return=/"


def _authorization_url(page: Answer) -> str:
    """Where the page on the way leads."""
    found = re.search(r'id="next" href="([^"]+)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


async def test_logging_out_at_the_provider_ends_the_session_and_its_streams(office: Office) -> None:
    await office.proxy.start()
    ann, twin = await office.employee(), await office.employee()
    await ann.open(office.wiki + "/")
    await twin.open(office.wiki + "/")
    host = office.proxy.host("wiki").partition(":")[0]
    async with await office.proxy.line("wiki") as line:
        cookie = [("Cookie", ann.cookie(host)), ("Origin", office.wiki)]
        line.ask("GET", "/ws", office.proxy.host("wiki"), [*UPGRADE, *cookie])
        assert (await line.head()).status == 101
        await line.until(b"hello.")
        await ann.there.visit(office.corp.issuer + "/session/end")
        await line.closed(CUT)
    assert office.told == [200]
    await office.proxy.recorded(type="revocation", reason="session-revoked")
    assert await ann.reason(office.wiki + "/") == "session-revoked"
    assert await twin.status(office.wiki + "/") == 200, "her other browser is another session there"


async def test_a_closed_account_ends_the_session_at_the_next_renewal(office: Office) -> None:
    office.proxy.config["sessions"] = {"refresh": "1s"}
    await office.proxy.start()
    ann = await office.employee()
    await ann.open(office.wiki + "/")
    host = office.proxy.host("wiki").partition(":")[0]
    async with await office.proxy.line("wiki") as line:
        cookie = [("Cookie", ann.cookie(host)), ("Origin", office.wiki)]
        line.ask("GET", "/ws", office.proxy.host("wiki"), [*UPGRADE, *cookie])
        assert (await line.head()).status == 101
        await office.corp.close_account("ann")
        await line.closed()
    assert await ann.reason(office.wiki + "/") == "session-revoked"
    assert "corp" not in (await office.proxy.ask("wiki", "/")).text, "who is refused learns nothing about the provider"


async def test_two_providers_at_once(office: Office) -> None:
    demo = Corp(office.proxy)
    demo.idp.client = type(demo.idp.client)(
        client_id="ostiary",
        client_secret=demo.idp.client.client_secret,
        redirect_uris=(office.login + callback("demo"),),
    )
    office.proxy.provider(demo.idp, name="demo", title="Demo login", domains=["example.com"])
    office.proxy.config["login"]["providers"].append(office.entry() | {"title": "Head office"})
    office.proxy.routes[0]["allow"] = [{"name": "everybody", "authenticated": True}]
    await demo.start()
    try:
        await office.proxy.start()
        ann, alice = await office.employee(), await office.employee("alice")
        page = await ann.open(office.wiki + "/deep")
        assert "Head office" in page.text
        assert "Demo login" in page.text
        way = re.search(r'class="way" href="([^"]+provider=corp[^"]*)"', page.text)
        assert way
        page = await ann.open(office.login + html.unescape(way[1]))
        assert (page.url, page.status) == (office.wiki + "/deep", 200)
        form = html.unescape((await alice.open(office.wiki + "/deep")).url)
        page = await alice.open(f"{form}&email=alice%40example.com")
        assert (page.url, page.status) == (office.wiki + "/deep", 200)
        told = [(await one.fetch(office.wiki + "/.ostiary/whoami")).json for one in (ann, alice)]
        assert [(one["subject"], one["provider"]) for one in told] == [("ann", "corp"), ("alice", "demo")]
    finally:
        await demo.stop()
