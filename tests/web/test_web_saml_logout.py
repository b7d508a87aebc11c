"""Single logout: the provider ends sessions here, we ask it to end them there; nobody else's word ends anything."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import pytest
from saml_idp import POST_BINDING, SLO, SSO
from web_saml_stage import (
    LOGIN,
    Partners,
    by_post,
    by_redirect,
    foreign_post,
    inflated,
    logged_in,
    partnered,
    slo,
)
from web_stage import NAVIGATE, WIKI, Browser

from proxy.web.endpoints import PROOF_COOKIE

SAML_NS = "{urn:oasis:names:tc:SAML:2.0:assertion}"


async def is_in(partners: Partners, browser: Browser) -> bool:
    return await partners.stage.session_of(browser, WIKI) is not None


async def log_out(browser: Browser) -> str:
    """Log out at the wiki; the address on the login host that goes on to the provider."""
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "application/json", "X-Requested-With": "XMLHttpRequest"}
    answer = await browser.fetch(f"{WIKI}/.ostiary/logout", "POST", headers)
    found = re.search(r'"continue":"([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


# --- the provider's word ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", ["redirect", "post"])
async def test_the_provider_ends_one_session_of_several(tmp_path: Path, binding: str) -> None:
    async with partnered(tmp_path) as partners:
        laptop, phone = Browser(partners.stage), Browser(partners.stage)
        await logged_in(partners, laptop, session_index="laptop")
        await logged_in(partners, phone, session_index="phone")
        request = partners.logout_request("alice@partner.example", "laptop")
        if binding == "redirect":
            answer = await laptop.fetch(f"{slo()}?{by_redirect(request, state='theirs')}", headers=NAVIGATE)
        else:
            answer = await foreign_post(laptop, slo(), by_post(request, state="theirs"))
        assert answer.status == 303
        response, relay_state = inflated(answer.location, "SAMLResponse")
        assert (response.get("InResponseTo"), relay_state) == (request.get("ID"), "theirs")
        assert answer.location.startswith(SLO)
        assert not await is_in(partners, laptop)
        assert await is_in(partners, phone)
        [event] = partners.stage.events_called("backchannel-logout")
        assert (event["provider"], event["ended"], event["identity"].email) == ("partner", 1, "alice@partner.example")


async def test_without_an_index_all_of_a_person_ends_and_nobody_else(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        laptop, phone, bob = (Browser(partners.stage) for _ in range(3))
        await logged_in(partners, laptop, session_index="laptop")
        await logged_in(partners, phone, session_index="phone")
        await logged_in(partners, bob, name_id="bob", session_index="desk")
        request = partners.logout_request("alice@partner.example")
        assert (await bob.fetch(f"{slo()}?{by_redirect(request)}")).status == 303
        assert [await is_in(partners, one) for one in (laptop, phone, bob)] == [False, False, True]


async def test_it_is_answered_by_form_where_the_provider_wants_one(tmp_path: Path) -> None:
    services = (
        f'<md:SingleLogoutService Binding="{POST_BINDING}" Location="{SLO}"/>'
        f'<md:SingleSignOnService Binding="{POST_BINDING}" Location="{SSO}"/>'
    )
    async with partnered(tmp_path, services=services) as partners:
        answer = await foreign_post(Browser(partners.stage), slo(), by_post(partners.logout_request(), state='a"b'))
        assert answer.status == 200
        assert f'action="{SLO}"' in answer.text
        assert html.escape('value="a&#34;b"', quote=False).replace("&amp;", "&") in answer.text
        assert "form-action https://idp.partner.example https:" in answer.headers["Content-Security-Policy"]


async def test_unsigned_and_forged_requests_end_nothing(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        partners.add("rival")
        browser = Browser(partners.stage)
        await logged_in(partners, browser)
        tampered = partners.logout_request("bob@partner.example")
        form = by_post(tampered)
        tampered[-1].text = "alice@partner.example"
        queries = [
            by_redirect(partners.logout_request(), signed=False),
            by_redirect(partners.logout_request(), key="rival"),
            by_redirect(partners.logout_request()).replace("RelayState", "x") + "&RelayState=added",
            by_redirect(partners.logout_request(), state="a").replace("RelayState=a", "RelayState=b"),
            by_redirect(partners.logout_request(issuer="https://idp.rival.example/metadata")),
            by_redirect(partners.logout_request(to="https://elsewhere.example/slo")),
            by_redirect(partners.logout_request()) + "&" + by_redirect(partners.logout_request()),
            "SAMLRequest=x",
            "",
        ]
        for query in queries:
            answer = await browser.fetch(f"{slo()}?{query}", headers=NAVIGATE)
            assert answer.status == 400, query
        for fields in (
            by_post(partners.logout_request(), signed=False),
            {**form, "SAMLRequest": _changed(form["SAMLRequest"])},
            {"RelayState": "x"},
        ):
            assert (await foreign_post(browser, slo(), fields)).status == 400
        # a good signature of one provider says nothing about the people of another
        other = partners.logout_request(issuer="https://idp.rival.example/metadata", to=slo("rival"))
        assert (await browser.fetch(f"{slo('rival')}?{by_redirect(other, key='rival')}")).status == 303
        assert await is_in(partners, browser)


def _changed(message: str) -> str:
    return base64.b64encode(base64.b64decode(message).replace(b"bob@", b"eve@")).decode()


async def test_a_request_counts_once(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        query = by_redirect(partners.logout_request("alice@partner.example"))
        assert (await browser.fetch(f"{slo()}?{query}")).status == 303
        await logged_in(partners, browser)
        assert (await browser.fetch(f"{slo()}?{query}")).status == 400
        assert await is_in(partners, browser)


# --- our word --------------------------------------------------------------------------------------------------------


async def test_logging_out_here_goes_on_to_the_provider_and_back(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        await logged_in(partners, browser, session_index="laptop")
        location = (await browser.fetch(await log_out(browser), headers=NAVIGATE)).location
        assert location.startswith(SLO)
        request, relay_state = inflated(location)
        assert request.findtext(f"{SAML_NS}NameID") == "alice@partner.example"
        assert request[-1].text == "laptop"
        assert len(relay_state) <= 80
        assert not await is_in(partners, browser)
        response = partners.logout_response(str(request.get("ID")))
        query = by_redirect(response, "SAMLResponse", relay_state)
        back = await browser.open(f"{slo()}?{query}")
        assert back.url.startswith(f"{LOGIN}/.ostiary/logged-out")
        assert "here and at Partner Ltd" in back.text


@pytest.mark.parametrize("status", ["PartialLogout", "Responder"])
async def test_a_logout_that_was_not_complete_is_not_called_complete(tmp_path: Path, status: str) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        await logged_in(partners, browser)
        request, relay_state = inflated((await browser.fetch(await log_out(browser), headers=NAVIGATE)).location)
        response = partners.logout_response(str(request.get("ID")), status)
        back = await browser.open(f"{slo()}?{by_redirect(response, 'SAMLResponse', relay_state)}")
        assert "Partner Ltd" not in back.text
        assert "You may still be logged in" in back.text


async def test_whoever_gets_hold_of_the_reference_does_not_learn_the_name(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser, thief = Browser(partners.stage), Browser(partners.stage)
        await logged_in(partners, browser)
        stolen = await log_out(browser)
        answer = await thief.fetch(stolen, headers=NAVIGATE)
        assert answer.location == f"{LOGIN}/.ostiary/logged-out"
        assert PROOF_COOKIE in browser.jar["login.apps.test"]


async def test_an_answer_to_another_logout_is_refused(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        response = partners.logout_response("_" + "0" * 32)
        for query in (
            by_redirect(response, "SAMLResponse", "1" * 32),
            by_redirect(response, "SAMLResponse"),
            by_redirect(response, "SAMLResponse", "0" * 32, signed=False),
            by_redirect(response, "SAMLResponse", "0" * 32, key="rival"),
        ):
            assert (await browser.fetch(f"{slo()}?{query}", headers=NAVIGATE)).status == 400


async def test_a_provider_without_logout_leaves_it_at_ours(tmp_path: Path) -> None:
    services = f'<md:SingleSignOnService Binding="{POST_BINDING}" Location="{SSO}"/>'
    async with partnered(tmp_path, services=services) as partners:
        answer = await foreign_post(Browser(partners.stage), slo(), by_post(partners.logout_request()))
        assert answer.location == f"{LOGIN}/.ostiary/logged-out"
