"""Answers of SAML providers in the wrong hands, the wrong browser, the wrong place: what is sent opens nothing."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from saml_signer import rsa_key
from web_saml_stage import (
    FOREIGN,
    LOGIN,
    OWN,
    Partners,
    acs,
    begun,
    delivered,
    finish,
    foreign_post,
    logged_in,
    partnered,
    sessions_of,
)
from web_stage import NAVIGATE, WIKI, Answer, Browser

from proxy.web.endpoints import ATTEMPT_COOKIE

RETURNS = yaml.safe_load((Path(__file__).parent / "return_urls.yaml").read_text())


async def refused(answer: Answer, *browsers: Browser) -> None:
    """A page of ours that opens nothing."""
    assert answer.status in (400, 403, 404), answer.text
    assert not any(map(sessions_of, browsers))


async def test_login_csrf_an_attackers_answer_does_not_log_a_victim_in(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        attacker, victim = Browser(partners.stage), Browser(partners.stage)
        request = await begun(attacker)
        await refused(await delivered(victim, partners.response(request), request.relay_state), victim)
        assert not partners.stage.events_called("login")


async def test_a_victim_with_an_attempt_of_its_own_is_not_confused_either(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        attacker, victim = Browser(partners.stage), Browser(partners.stage)
        theirs, own = await begun(attacker), await begun(victim)
        for relay_state in (theirs.relay_state, own.relay_state):
            await refused(await delivered(victim, partners.response(theirs), relay_state), victim)


async def test_the_sealed_answer_in_a_link_is_no_login_either(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        attacker, victim = Browser(partners.stage), Browser(partners.stage)
        request = await begun(attacker)
        form = {"SAMLResponse": partners.response(request), "RelayState": request.relay_state}
        link = (await foreign_post(attacker, acs(), form)).location
        await refused(await victim.fetch(link, headers=NAVIGATE), victim)
        assert (await attacker.fetch(link, headers=NAVIGATE)).onward() is not None, "only where it began"


async def test_a_planted_cookie_of_the_attackers_attempt_is_refused_under_another_name(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        attacker, victim = Browser(partners.stage), Browser(partners.stage)
        theirs, own = await begun(attacker), await begun(victim)
        names = [f"{ATTEMPT_COOKIE}{request.relay_state}" for request in (theirs, own)]
        victim.jar["login.apps.test"][names[1]] = attacker.jar["login.apps.test"][names[0]]
        await refused(await delivered(victim, partners.response(own), own.relay_state), victim)


async def test_an_answer_counts_once(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        request = await begun(browser)
        cookies = dict(browser.jar["login.apps.test"])
        response = partners.response(request)
        assert (await delivered(browser, response, request.relay_state)).onward() is not None
        browser.jar["login.apps.test"] = dict(cookies)  # as if our answer had been lost
        again = await delivered(browser, response, request.relay_state)
        assert again.status != 200 or "login?" in (again.onward() or ("",))[0]
        assert len(partners.stage.events_called("login")) == 1
        assert partners.stage.events_called("login-failed")[-1]["why"] == "the assertion was used before"


async def test_an_attempt_counts_once_whatever_the_provider_says(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        request = await begun(browser)
        cookies = dict(browser.jar["login.apps.test"])
        await delivered(browser, partners.response(request), request.relay_state)
        browser.jar["login.apps.test"] = dict(cookies)
        again = await delivered(browser, partners.response(request), request.relay_state)
        onward = again.onward()
        assert onward is not None
        assert "/.ostiary/login?" in onward[0], "the login starts anew"
        assert len(partners.stage.events_called("login")) == 1


async def test_a_sealed_answer_is_good_for_two_minutes(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        request = await begun(browser)
        form = {"SAMLResponse": partners.response(request), "RelayState": request.relay_state}
        link = (await foreign_post(browser, acs(), form)).location
        partners.stage.clock.ahead += 121
        await refused(await browser.fetch(link, headers=NAVIGATE), browser)


async def test_an_attempt_is_over_after_a_quarter_of_an_hour(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        request = await begun(browser)
        partners.stage.clock.ahead += 901
        told = {"issued": 901, "assertion_issued": 901, "until": 1200, "confirmed_until": 1200, "authenticated": 900}
        await refused(await delivered(browser, partners.response(request, **told), request.relay_state), browser)


@pytest.mark.parametrize("relay_state", ["", None, "x", "../../etc", "68e778b8AAAAAAAAAAAAAAAA", "a" * 80, "\0", "é"])
async def test_a_relay_state_of_somebody_elses_choice_leads_nowhere_else(
    tmp_path: Path, relay_state: str | None
) -> None:
    """The attempt is found by what is signed; a RelayState that names another one is a contradiction."""
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        request = await begun(browser, "/x")
        answer = await delivered(browser, partners.response(request), relay_state)
        if answer.onward() is not None:
            assert (await browser.open(answer.onward()[0])).url == f"{WIKI}/x"
        else:
            await refused(answer, browser)


async def test_an_answer_to_another_request_of_the_same_browser(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        first, second = await begun(browser), await begun(browser)
        await refused(await delivered(browser, partners.response(first), second.relay_state), browser)


async def test_an_answer_to_a_request_that_was_never_made(tmp_path: Path) -> None:
    async with partnered(tmp_path, idp_initiated=True) as partners:
        browser = Browser(partners.stage)
        for made_up in ("_" + "0" * 24, "_x", "id-1"):
            response = partners.response(None, in_response_to=made_up, confirmed_for=made_up)
            await refused(await delivered(browser, response), browser)


async def test_one_provider_cannot_answer_for_another(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        partners.add("rival")
        browser = Browser(partners.stage)
        request = await begun(browser, provider="partner")
        # at its own address: signed, addressed and answering as it should be, for an attempt that another was asked in
        honest = partners.response(request, "rival")
        await refused(await delivered(browser, honest, request.relay_state, "rival"), browser)
        # at the other's address
        await refused(await delivered(browser, honest, request.relay_state), browser)
        # as the other, with its own key
        posing = partners.response(request, key=rsa_key("rival"))
        await refused(await delivered(browser, posing, request.relay_state), browser)
        assert not partners.stage.events_called("login")


async def test_a_sealed_answer_does_not_move_to_another_provider(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        partners.add("rival")
        browser = Browser(partners.stage)
        request = await begun(browser, provider="partner")
        form = {"SAMLResponse": partners.response(request), "RelayState": request.relay_state}
        link = (await foreign_post(browser, acs(), form)).location
        moved = link.replace("/partner/", "/rival/")
        await refused(await browser.fetch(moved, headers=NAVIGATE), browser)


@pytest.mark.parametrize("target", [*RETURNS["foreign"], "https:evil.test", "data:text/html,x", "/.ostiary/logout"])
async def test_an_open_redirect_by_relay_state(tmp_path: Path, target: str) -> None:
    """Where the provider wants people to go is followed on our own hosts only, whatever it says."""
    async with partnered(tmp_path, idp_initiated=True) as partners:
        await _lands_at_home(partners, target)


async def _lands_at_home(partners: Partners, target: str) -> None:
    browser = Browser(partners.stage)
    page = await delivered(browser, partners.response(None), target)
    result = re.search(r'name="result" value="([^"]+)"', page.text)
    assert result, page.text
    answer = await browser.fetch(finish(), "POST", dict(OWN), data={"result": result[1], "confirmed": "yes"})
    onward = answer.onward()
    assert onward is not None
    there = urlsplit(onward[0])
    assert f"{there.scheme}://{there.netloc}" in (LOGIN, WIKI)
    assert not there.path.startswith("/.ostiary/logout")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"SAMLResponse=",
        b"SAMLResponse=%00",
        b"SAMLResponse=PHg%2BPC94Pg%3D%3D&SAMLResponse=PHg%2BPC94Pg%3D%3D",
        b"SAMLResponse=PHg+PC94Pg==",
        b"RelayState=x",
        b"SAMLResponse=" + b"A" * 400_000,
        b"&".join(b"a%d=1" % number for number in range(100)),
        b"SAMLResponse=\xff",
    ],
    ids=range(9),
)
async def test_what_is_no_answer_is_refused(tmp_path: Path, body: bytes) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        headers = {**FOREIGN, "Content-Type": "application/x-www-form-urlencoded"}
        await refused(await browser.fetch(acs(), "POST", headers, data=body), browser)


async def test_a_form_beyond_measure_is_not_read(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        headers = {**FOREIGN, "Content-Type": "application/x-www-form-urlencoded"}
        answer = await Browser(partners.stage).fetch(acs(), "POST", headers, data=b"SAMLResponse=" + b"A" * 500_000)
        assert answer.status == 413


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", "text/xml"])
async def test_only_a_form_is_an_answer(tmp_path: Path, kind: str) -> None:
    async with partnered(tmp_path) as partners:
        headers = {**FOREIGN, "Content-Type": kind}
        answer = await Browser(partners.stage).fetch(acs(), "POST", headers, data=b"SAMLResponse=x")
        assert answer.status == 400


async def test_words_of_an_unsigned_refusal_are_shown_to_nobody_who_did_not_ask(tmp_path: Path) -> None:
    """An error response need not be signed: anybody could write a sentence onto our page with it."""
    text = "urn:oasis:names:tc:SAML:2.0:status:Responder", "urn:x:Call 555 0100 and tell them your password"
    async with partnered(tmp_path, idp_initiated=True) as partners:
        browser = Browser(partners.stage)
        answer = await delivered(browser, partners.response(None, status=list(text), signed="none"))
        assert answer.status == 403
        assert "555" not in answer.text
        own = await begun(browser)
        answer = await delivered(Browser(partners.stage), partners.response(own, status=list(text)), own.relay_state)
        assert "555" not in answer.text


async def test_hostile_text_of_an_assertion_is_text(tmp_path: Path) -> None:
    hostile = "\"'><script>alert(1)</script>{{7*7}}"
    async with partnered(tmp_path, idp_initiated=True) as partners:
        browser = Browser(partners.stage)
        page = await delivered(browser, partners.response(None, attributes={"name": [hostile]}))
        assert "<script>alert" not in page.text
        assert html.escape(hostile, quote=False).replace("&gt;", "&gt;")[:4] in page.text or "&#34;" in page.text


async def test_a_script_cannot_fetch_an_answer_of_another_site(tmp_path: Path) -> None:
    async with partnered(tmp_path) as partners:
        browser = Browser(partners.stage)
        await logged_in(partners, browser)
        answer = await browser.fetch(f"{finish()}?result=x", headers={"Sec-Fetch-Mode": "cors"})
        assert answer.status == 400
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert (await browser.fetch(f"{finish()}?result=a&result=b", headers=NAVIGATE)).status == 400
        assert (await browser.fetch(f"{WIKI}/.ostiary/saml/partner/finish?result=x", headers=NAVIGATE)).status == 404
        assert (await browser.fetch(acs(), headers=NAVIGATE)).status == 405
