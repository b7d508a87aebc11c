"""Logging in through a SAML provider as people do, and how it ends."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import pytest
from lxml import etree
from saml_idp import NOW, POST_BINDING, SLO, SSO
from web_html import Page
from web_saml_stage import (
    LOGIN,
    OWN,
    at,
    begun,
    delivered,
    finish,
    foreign_post,
    logged_in,
    partnered,
    sessions_of,
)
from web_stage import NAVIGATE, WIKI, Browser, login_url

from proxy.web.endpoints import ATTEMPT_COOKIE, SAML_METADATA

LONG = "q=" + "%20".join(f"word{number}" for number in range(300))


async def test_a_login_leads_to_where_one_wanted_to_go(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        page = await logged_in(partners, browser, "/reports?q=1")
        assert page.url == f"{WIKI}/reports?q=1"
        live = await partners.stage.session_of(browser, WIKI)
        assert live is not None
        assert (live.identity.email, live.identity.groups) == ("alice@partner.example", {"sre", "staff"})
        assert live.record.refresh_at == float("inf")
        [event] = partners.stage.events_called("login")
        assert (event["provider"], event["session"]) == ("partner", live.sid)
        assert not [name for name in browser.jar["login.apps.test"] if name.startswith(ATTEMPT_COOKIE)]


async def test_the_relay_state_obeys_the_standard(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        request = await begun(Browser(partners.stage), f"/x?{LONG}")
        assert len(request.relay_state.encode()) <= 80
        assert "wiki" not in request.relay_state


async def test_a_long_address_is_come_back_to(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        assert (await logged_in(partners, browser, f"/x?{LONG}")).url == f"{WIKI}/x?{LONG}"


async def test_many_attempts_at_once_never_fill_a_requests_head(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        for number in range(12):
            noise = base64.urlsafe_b64encode(bytes((number * 7 + i * i * 31) % 256 for i in range(2000))).decode()
            request = await begun(browser, f"/{number}?{noise}")
            cookies = browser.jar["login.apps.test"]
            assert sum(len(name) + len(value) for name, value in cookies.items()) < 16 * 1024
            assert all(len(name) + len(value) <= 4096 for name, value in cookies.items())
        answer = await delivered(browser, partners.response(request), request.relay_state)
        assert answer.onward() is not None


async def test_the_session_ends_when_the_provider_says(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        await logged_in(partners, browser, session_until=600)
        live = await partners.stage.session_of(browser, WIKI)
        assert live is not None
        assert NOW + 595 < live.expires_at < NOW + 605
        partners.stage.clock.ahead += 601
        assert await partners.stage.session_of(browser, WIKI) is None


async def test_somebody_in_a_thousand_groups_comes_in(tmp_path: Path) -> None:
    groups = [f"{base64.b32encode(number.to_bytes(20, 'big')).decode()}-{number * 7919}" for number in range(1000)]
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        attributes = {"email": ["alice@partner.example"], "groups": groups}
        await logged_in(partners, browser, attributes=attributes)
        live = await partners.stage.session_of(browser, WIKI)
        assert live is not None
        assert live.identity.groups == set(groups)


async def test_what_the_provider_says_about_the_device_is_kept_with_the_session(tmp_path: Path) -> None:
    async with partnered(tmp_path, device={"managed": "device_managed"}) as partners:
        browser = Browser(partners.stage)
        attributes = {"email": ["alice@partner.example"], "device_managed": ["true"]}
        await logged_in(partners, browser, attributes=attributes)
        live = await partners.stage.session_of(browser, WIKI)
        assert live is not None
        assert live.record.device is not None
        assert live.record.device.claims["managed"].value is True


async def test_a_fresh_login_is_forced(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        assert (await begun(browser)).xml.get("ForceAuthn") is None
        assert (await begun(browser, max_age="60")).xml.get("ForceAuthn") == "true"
        request = await begun(browser, prompt="login")
        assert request.xml.get("ForceAuthn") == "true"
        old = await delivered(browser, partners.response(request, authenticated=-600), request.relay_state)
        onward = old.onward()
        assert onward is not None
        assert "prompt=login" in onward[0], "it is asked for again"
        assert not sessions_of(browser)


async def test_a_provider_without_redirect_gets_a_form(tmp_path: Path) -> None:
    services = f'<md:SingleSignOnService Binding="{POST_BINDING}" Location="{SSO}?tenant=1&amp;x=&quot;"/>'
    async with partnered(tmp_path, services=services) as partners:
        browser = Browser(partners.stage)
        url = login_url("/x")
        for _ in range(4):
            answer = await browser.fetch(url, headers=NAVIGATE)
            if answer.status != 303:
                break
            url = answer.location
        policy = answer.headers["Content-Security-Policy"]
        assert "form-action https://idp.partner.example https:;" in policy
        assert "default-src 'none'" in policy
        assert Page(answer.text).problems == []
        action = re.search(r'action="([^"]+)" method="post"', answer.text)
        assert action
        assert html.unescape(action[1]) == f'{SSO}?tenant=1&x="'
        sent = re.search(r'name="SAMLRequest" value="([^"]+)"', answer.text)
        relay = re.search(r'name="RelayState" value="([^"]+)"', answer.text)
        assert sent
        assert relay
        root = etree.fromstring(base64.b64decode(html.unescape(sent[1])))
        assert root.find("{http://www.w3.org/2000/09/xmldsig#}Signature") is not None
        attempt = re.search(r'data-step="out" data-attempt="([^"]+)"', answer.text)
        assert attempt
        assert attempt[1] == relay[1]


async def test_metadata_is_public_and_cacheable(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        answer = await Browser(partners.stage).fetch(at(SAML_METADATA))
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/samlmetadata+xml"
        root = etree.fromstring(answer.body)
        assert root.get("entityID") == at(SAML_METADATA)
        elsewhere = await Browser(partners.stage).fetch(at(SAML_METADATA).replace(LOGIN, WIKI))
        assert elsewhere.status == 404


@pytest.mark.parametrize("path", ["metadata", "acs", "finish", "slo"])
async def test_an_unknown_provider_is_nowhere(tmp_path: Path, path: str) -> None:
    async with partnered(tmp_path) as partners:
        method = "POST" if path == "acs" else "GET"
        answer = await Browser(partners.stage).fetch(f"{LOGIN}/.ostiary/saml/nobody/{path}", method)
        assert answer.status == 404


# --- logins that the provider begins -----------------------------------------------------------------------------


async def test_an_answer_nobody_asked_for_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        answer = await delivered(browser, partners.response(None))
        assert answer.status == 403
        assert "Open the app you want" in answer.text
        assert not sessions_of(browser)
        assert partners.stage.events_called("login-failed")


async def test_where_it_is_allowed_the_person_is_asked_first(tmp_path: Path) -> None:
    async with partnered(tmp_path, idp_initiated=True) as partners:
        browser = Browser(partners.stage)
        page = await delivered(browser, partners.response(None), f"{WIKI}/deep?a=1")
        assert page.status == 200
        assert Page(page.text).problems == []
        assert "Alice (alice@partner.example)" in page.text
        assert not sessions_of(browser), "nothing has happened yet"
        result = re.search(r'name="result" value="([^"]+)"', page.text)
        assert result
        form = {"result": result[1], "confirmed": "yes"}
        answer = await browser.fetch(finish(), "POST", dict(OWN), data=form)
        onward = answer.onward()
        assert onward is not None
        assert (await browser.open(onward[0])).url == f"{WIKI}/deep?a=1"
        assert "wiki.apps.test" in sessions_of(browser)
        again = await browser.fetch(finish(), "POST", dict(OWN), data=form)
        assert again.status == 400, "the yes counts once"


async def test_another_site_cannot_say_yes_for_somebody(tmp_path: Path) -> None:
    """Login CSRF: an attacker's own assertion, sent by the victim's browser, with the confirmation already in it."""
    async with partnered(tmp_path, idp_initiated=True) as partners:
        attacker, victim = Browser(partners.stage), Browser(partners.stage)
        page = await delivered(attacker, partners.response(None))
        result = re.search(r'name="result" value="([^"]+)"', page.text)
        assert result
        form = {"result": result[1], "confirmed": "yes"}
        assert (await foreign_post(victim, finish(), form)).status == 403
        asked = await victim.fetch(f"{finish()}?result={result[1]}&confirmed=yes", headers=NAVIGATE)
        assert "Log in here?" in asked.text
        assert not sessions_of(victim)


async def test_who_is_logged_in_as_somebody_else_is_told(tmp_path: Path) -> None:
    async with partnered(tmp_path, idp_initiated=True) as partners:
        browser = Browser(partners.stage)
        await logged_in(partners, browser, name_id="bob", attributes={"name": ["Bob <b>"], "groups": []})
        page = await delivered(browser, partners.response(None))
        assert "You are logged in as Bob &lt;b&gt; now" in page.text


# --- what the provider says instead of a name ---------------------------------------------------------------------


async def test_a_refusal_of_the_provider_is_told_to_who_asked(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        request = await begun(browser, "/x")
        status = ["urn:oasis:names:tc:SAML:2.0:status:Responder", "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"]
        answer = await delivered(browser, partners.response(request, status=status), request.relay_state)
        assert answer.status == 403
        assert "AuthnFailed" in answer.text
        assert html.escape("/.ostiary/login?return=") in answer.text
        assert "wiki.apps.test" in answer.text, "trying again leads to the same place"
        assert not sessions_of(browser)


async def test_slo_is_where_the_metadata_says(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        await logged_in(partners, browser)
        location = await _left(browser)
        assert location.startswith(SLO)


async def _left(browser: Browser) -> str:
    """Log out at the wiki; where the login host sends the browser."""
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "application/json", "X-Requested-With": "XMLHttpRequest"}
    answer = await browser.fetch(f"{WIKI}/.ostiary/logout", "POST", headers)
    found = re.search(r'"continue":"([^"]+)"', answer.text)
    assert found, answer.text
    return (await browser.fetch(found[1], headers=NAVIGATE)).location
