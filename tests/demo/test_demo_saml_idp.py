"""The partner's provider of the demo, spoken to by the service provider that the product is."""

from __future__ import annotations

import html
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from proxy.authn.errors import LoginRefused
from proxy.authn.saml import Entity, Keys, SamlLogin, SamlProvider, make_key
from proxy.demo.saml_idp.provider import SamlProvider as Demo
from proxy.demo.saml_idp.server import make_application
from proxy.settings import schema

LOGIN = "https://login.apps.localhost:8443/.ostiary/saml/partner"
MFA = "https://refeds.org/profile/mfa"


class Stage:
    """Both sides, and a browser between them."""

    def __init__(self, demo: Demo, http: aiohttp.ClientSession) -> None:
        entity = Entity(entity_id=f"{LOGIN}/metadata", acs_url=f"{LOGIN}/acs", slo_url=f"{LOGIN}/slo")
        settings = schema.SamlProvider(
            name="partner",
            metadata=f"{demo.origin}/metadata",
            domains=("partner.example",),
            mfa=schema.Mfa(acr=(MFA,)),
        )
        key, certificate = make_key("test", time.time())
        self.demo, self.http = demo, http
        self.us = SamlProvider(settings, entity, Keys(key=key, certificate=certificate), http, time.time)
        self.told: list[dict[str, str]] = []

    async def open(self, **asked: Any) -> str:
        """Ask for a login; the page that is shown."""
        outgoing = await self.us.login(relay_state="back", request_id="_asked", **asked)
        async with self.http.get(aiohttp.typedefs.URL(outgoing.url, encoded=True)) as response:
            assert response.status == 200, await response.text()
            return await response.text()

    async def choose(self, page: str, person: str = "p-2041", factors: str = "one", answer: str = "login") -> str:
        interaction = re.search(r'name="interaction" value="([^"]+)"', page)
        assert interaction, page
        form = {"interaction": interaction[1], "person": person, "factors": factors, "answer": answer}
        async with self.http.post(f"{self.demo.origin}/login", data=form) as response:
            return await response.text()

    async def accept(self, page: str) -> SamlLogin:
        fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
        assert f'action="{LOGIN}/acs"' in page
        assert fields["RelayState"] == "back"
        return await self.us.accept(fields["SAMLResponse"], request_id="_asked", now=time.time())


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def fetch() -> bytes:
        return one.us.metadata()

    async def tell(url: str, fields: dict[str, str]) -> int:
        assert url == f"{LOGIN}/slo"
        one.told.append(fields)
        return 303

    demo = Demo(f"http://127.0.0.1:{port}", time.time, fetch, tell)
    runner = web.AppRunner(make_application(demo), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        one = Stage(demo, http)
        yield one
    await runner.cleanup()


async def test_an_employee_of_the_partner_logs_in(stage: Stage) -> None:
    login = await stage.accept(await stage.choose(await stage.open()))
    assert (login.identity.subject, login.identity.email) == ("p-2041", "erin@partner.example")
    assert login.identity.groups == {"partners", "partner-engineers"}
    assert login.identity.mfa is False
    again = await stage.accept(await stage.open())
    assert again.session_index == login.session_index, "a second app asks for nothing"


async def test_a_mail_address_of_another_company_is_not_believed(stage: Stage) -> None:
    login = await stage.accept(await stage.choose(await stage.open(), "p-0007"))
    assert login.identity.email == ""


async def test_a_stronger_or_a_fresh_login_is_asked_for_again(stage: Stage) -> None:
    await stage.choose(await stage.open())
    assert "Log in again" in await stage.open(force=True)
    page = await stage.open(acr=(MFA,))
    assert 'value="two" checked' in page
    login = await stage.accept(await stage.choose(page, factors="two"))
    assert (login.identity.acr, login.identity.mfa) == (MFA, True)


async def test_who_says_no_is_not_logged_in(stage: Stage) -> None:
    page = await stage.choose(await stage.open(), answer="cancel")
    with pytest.raises(LoginRefused, match="AuthnFailed"):
        await stage.accept(page)


async def test_a_logout_here_is_one_there(stage: Stage) -> None:
    login = await stage.accept(await stage.choose(await stage.open()))
    outgoing = await stage.us.logout_request(login.name_id, login.session_index, request_id="_bye", relay_state="r")
    assert outgoing is not None
    async with stage.http.get(aiohttp.typedefs.URL(outgoing.url, encoded=True), allow_redirects=False) as response:
        location = response.headers["Location"]
    assert location.startswith(f"{LOGIN}/slo?")
    query = urlsplit(location).query
    assert await stage.us.accept_logout_response(query=query, request_id="_bye", now=time.time())
    assert not stage.demo.logins()


async def test_a_logout_there_is_told_here(stage: Stage) -> None:
    login = await stage.accept(await stage.choose(await stage.open()))
    async with stage.http.get(stage.demo.origin) as response:
        assert "Erin Eng" in await response.text()
    async with stage.http.post(f"{stage.demo.origin}/end", data={"index": login.session_index}) as response:
        assert "Nobody." in await response.text()
    [form] = stage.told
    asked = await stage.us.accept_logout(form=form, now=time.time())
    assert asked.sessions == ((login.identity.subject, login.provider_sid),)


async def test_only_the_proxy_and_its_own_pages_are_answered(stage: Stage) -> None:
    outgoing = await stage.us.login(relay_state="back", request_id="_asked")
    forged = outgoing.url.replace("RelayState=back", "RelayState=elsewhere")
    for url in (forged, f"{stage.demo.origin}/sso", f"{stage.demo.origin}/slo?SAMLRequest=x"):
        async with stage.http.get(aiohttp.typedefs.URL(url, encoded=True)) as response:
            assert response.status == 400, await response.text()
    headers = {"Origin": "https://evil.test"}
    async with stage.http.post(f"{stage.demo.origin}/end", data={"index": "x"}, headers=headers) as response:
        assert response.status == 403
    async with stage.http.get(stage.demo.origin, headers={"Host": "evil.test"}) as response:
        assert response.status == 421
