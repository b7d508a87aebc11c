"""Logging in against somebody's will, or as somebody else: what is sent, and that it opens nothing."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from web_stage import GRAFANA, LOGIN, NAVIGATE, WIKI, Browser, login_url, staged

from proxy.web.attempts import digest
from proxy.web.endpoints import ATTEMPT_COOKIE, BIND_COOKIE, SESSION_COOKIE

CALLBACK = f"{LOGIN}/.ostiary/oidc/corp/callback"


def changed(url: str, **changes: str | None) -> str:
    """The same URL with other parameters; None removes one."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | changes
    return parts._replace(query=urlencode({k: v for k, v in query.items() if v is not None})).geturl()


def hosts_with_a_session(browser: Browser) -> set[str]:
    return {host for host, cookies in browser.jar.items() if SESSION_COOKIE in cookies}


async def test_a_callback_made_by_an_attacker_does_not_log_a_victim_in_as_the_attacker() -> None:
    async with staged() as stage:
        attacker, victim = Browser(stage), Browser(stage)
        link = await attacker.until(login_url("/x"), "/callback?")

        answer = await victim.fetch(link, headers=NAVIGATE)

        onward = answer.onward()
        assert onward is not None
        there = urlsplit(onward[0])
        assert f"{there.scheme}://{there.netloc}{there.path}" == f"{LOGIN}/.ostiary/login", "the victim's own login"
        assert dict(parse_qsl(there.query))["return"] == f"{WIKI}/x"
        assert not hosts_with_a_session(victim)
        assert not stage.events_called("login")


async def test_a_victim_who_brings_an_attempt_of_its_own_is_not_confused_either() -> None:
    async with staged() as stage:
        attacker, victim = Browser(stage), Browser(stage)
        link = await attacker.until(login_url("/x"), "/callback?")
        await victim.until(login_url("/y"), "/callback?")

        answer = await victim.fetch(link)

        assert answer.status == 303
        assert not hosts_with_a_session(victim)


async def test_the_attackers_attempt_cookie_under_the_victims_name_is_refused() -> None:
    async with staged() as stage:
        attacker, victim = Browser(stage), Browser(stage)
        await attacker.until(login_url("/x"), "/callback?")
        link = await victim.until(login_url("/x"), "/callback?")
        planted = next(v for k, v in attacker.jar["login.apps.test"].items() if k.startswith(ATTEMPT_COOKIE))
        name = next(k for k in victim.jar["login.apps.test"] if k.startswith(ATTEMPT_COOKIE))
        victim.jar["login.apps.test"][name] = planted

        assert (await victim.fetch(link)).status == 303
        assert not hosts_with_a_session(victim)


async def test_a_callback_works_once() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        link = await browser.until(login_url("/x"), "/callback?")
        cookies = dict(browser.jar["login.apps.test"])
        assert (await browser.fetch(link)).location.startswith(f"{WIKI}/.ostiary/session?")
        browser.jar["login.apps.test"] = cookies  # as if the answer had been lost: same cookie, same code

        again = await browser.fetch(link)

        assert again.status == 303
        assert again.location.startswith(f"{LOGIN}/.ostiary/login?")
        assert len(stage.events_called("login")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"state": None},
        {"state": "x"},
        {"state": ""},
        {"code": None},
        {"code": ""},
        {"error": "access_denied"},
    ],
    ids=str,
)
async def test_a_callback_no_provider_sends_is_a_page_and_no_session(changes: dict[str, str | None]) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        link = changed(await browser.until(login_url("/x"), "/callback?"), **changes)

        answer = await browser.fetch(link, headers=NAVIGATE)

        assert answer.status == 400
        assert "The login could not be completed" in answer.text
        assert not hosts_with_a_session(browser)


@pytest.mark.parametrize("name", ["state", "code", "iss"])
async def test_a_repeated_parameter_is_refused(name: str) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        link = await browser.until(login_url("/x"), "/callback?")
        value = dict(parse_qsl(urlsplit(link).query))[name]

        assert (await browser.fetch(f"{link}&{urlencode({name: value})}")).status == 400
        assert not hosts_with_a_session(browser)


@pytest.mark.parametrize("iss", [None, "https://evil.test"])
async def test_a_missing_or_foreign_issuer_is_refused(iss: str | None) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        link = changed(await browser.until(login_url("/x"), "/callback?"), iss=iss)

        assert (await browser.fetch(link)).status == 403
        assert not hosts_with_a_session(browser)


async def test_a_code_of_another_login_is_refused_by_pkce() -> None:
    async with staged() as stage:
        attacker, victim = Browser(stage), Browser(stage)
        stolen = dict(parse_qsl(urlsplit(await victim.until(login_url("/x"), "/callback?")).query))["code"]
        link = changed(await attacker.until(login_url("/x"), "/callback?"), code=stolen)

        assert (await attacker.fetch(link)).status == 403
        assert not hosts_with_a_session(attacker)


async def test_an_answer_of_one_provider_at_the_callback_of_another_is_refused() -> None:
    async with staged("corp", "partner") as stage:
        browser = Browser(stage)
        link = await browser.until(login_url("/x", provider="corp"), "/callback?")

        answer = await browser.fetch(link.replace("/oidc/corp/", "/oidc/partner/"), headers=NAVIGATE)

        assert answer.status == 400
        assert "another identity provider" in answer.text
        assert not hosts_with_a_session(browser)


async def test_a_callback_on_an_app_host_or_of_an_unknown_provider_is_nothing() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        link = await browser.until(login_url("/x"), "/callback?")

        assert (await browser.fetch(link.replace(LOGIN, WIKI))).status == 404
        assert (await browser.fetch(link.replace("/corp/", "/nobody/"))).status == 404


async def test_looking_at_a_link_before_the_person_does_spends_nothing() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        link = await browser.until(login_url("/x"), "/callback?")
        assert (await browser.fetch(link, "HEAD")).status == 405
        ticket = (await browser.fetch(link)).location
        assert (await browser.fetch(ticket, "HEAD")).status == 405
        assert (await browser.fetch(ticket)).location == f"{WIKI}/x"


async def test_a_ticket_is_good_once_for_one_host_in_one_browser() -> None:
    async with staged() as stage:
        attacker, victim = Browser(stage), Browser(stage)
        ticket = await attacker.until(login_url("/x"), "/.ostiary/session?")
        await victim.fetch(login_url("/y"))  # has a bind cookie of its own

        for thief, url in (
            (victim, ticket),
            (Browser(stage), ticket),
            (attacker, ticket.replace(WIKI, GRAFANA)),
            (attacker, changed(ticket, ticket="x")),
            (attacker, changed(ticket, ticket=None)),
        ):
            answer = await thief.fetch(url)
            assert answer.status == 303
            assert "/.ostiary/login?" in answer.location, "the thief's own login begins instead"
            assert not {"wiki.apps.test", "grafana.apps.test"} & hosts_with_a_session(thief)

        assert (await attacker.fetch(ticket)).location == f"{WIKI}/x"
        attacker.jar["wiki.apps.test"].pop(SESSION_COOKIE)
        assert "/.ostiary/login?" in (await attacker.fetch(ticket)).location, "used"
        assert "wiki.apps.test" not in hosts_with_a_session(attacker)


async def test_a_ticket_is_late_after_a_minute() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        ticket = await browser.until(login_url("/x"), "/.ostiary/session?")
        stage.clock.ahead += 61

        answer = await browser.fetch(ticket)

        assert "/.ostiary/login?" in answer.location
        assert (await browser.open(answer.location)).url == f"{WIKI}/x", "and the new one is not"


async def test_a_ticket_bound_to_the_digest_of_nothing_fits_no_browser() -> None:
    """Login CSRF: a bind that every browser without a cookie would have."""
    async with staged() as stage:
        attacker = Browser(stage)
        await attacker.open(login_url("/"))
        link = f"{LOGIN}/.ostiary/login?{urlencode({'return': f'{WIKI}/x', 'bind': digest('')})}"
        ticket = (await attacker.fetch(link)).location
        assert ticket.startswith(f"{WIKI}/.ostiary/session?")

        victim = Browser(stage)
        assert "/.ostiary/login?" in (await victim.fetch(ticket)).location
        assert not hosts_with_a_session(victim)


async def test_a_ticket_of_an_ended_session_gives_none() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        ticket = await browser.until(login_url("/x"), "/.ostiary/session?")
        session = await stage.session_of(browser, LOGIN)
        assert session is not None
        await stage.sessions.end(session.sid)

        assert "/.ostiary/login?" in (await browser.fetch(ticket)).location
        assert "wiki.apps.test" not in hosts_with_a_session(browser)


async def test_a_bind_that_is_not_one_goes_back_to_the_app_host_for_one() -> None:
    async with staged() as stage:
        for bind in ("", "x", "<script>", "a" * 44):
            link = f"{LOGIN}/.ostiary/login?{urlencode({'return': f'{WIKI}/x', 'bind': bind})}"
            answer = await Browser(stage).fetch(link)
            assert answer.location.startswith(f"{WIKI}/.ostiary/login?")
            assert answer.query["return"] == "/x"


async def test_a_planted_session_cookie_is_not_kept_through_a_login() -> None:
    async with staged() as stage:
        attacker, victim = Browser(stage), Browser(stage)
        await attacker.open(login_url("/"), person="bob")
        planted = attacker.jar["login.apps.test"][SESSION_COOKIE]
        victim.jar["login.apps.test"] = {SESSION_COOKIE: planted}

        await victim.open(login_url("/", prompt="login"), person="alice")

        session = await stage.session_of(victim, WIKI)
        assert session is not None
        assert session.identity.subject == "alice"
        assert victim.jar["login.apps.test"][SESSION_COOKIE] != planted
        assert await stage.session_of(attacker, LOGIN) is None


@pytest.mark.parametrize(
    ("error", "status"),
    [("access_denied", 403), ("server_error", 503), ("temporarily_unavailable", 503), ("made_up", 400)],
)
async def test_an_error_of_the_provider_is_a_page(error: str, status: int) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        link = await browser.until(login_url("/x"), "/callback?")
        words = "<script>alert(1)</script>" + "long" * 500

        answer = await browser.fetch(changed(link, code=None, error=error, error_description=words), headers=NAVIGATE)

        assert answer.status == status
        assert "<script>alert" not in answer.text
        assert "longlonglong" * 30 not in answer.text
        assert not hosts_with_a_session(browser)


async def test_words_put_in_a_link_by_a_stranger_are_not_shown() -> None:
    async with staged() as stage:
        stranger, victim = Browser(stage), Browser(stage)
        link = await stranger.until(login_url("/x"), "/callback?")

        for state in (dict(parse_qsl(urlsplit(link).query))["state"], "nonsense"):
            query = {"state": state, "error": "access_denied", "error_description": "Call 555-1234 to unlock"}
            answer = await victim.fetch(f"{CALLBACK}?{urlencode(query)}", headers=NAVIGATE)
            assert "555" not in answer.text


async def test_cancelling_at_the_provider_is_a_page_with_a_way_back() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        page = await browser.fetch(await browser.until(login_url("/x"), "/authorize?"))
        back = (await browser.answer_provider(page, "alice", "cancel")).location

        answer = await browser.fetch(back, headers=NAVIGATE)

        assert answer.status == 403
        assert "the person cancelled" in answer.text
        assert "Try again" in answer.text


async def test_methods_and_doubled_parameters() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        answer = await browser.fetch(login_url("/x"), "POST")
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET"
        assert (await browser.fetch(login_url("/x") + "&return=/y")).status == 400
        assert (await browser.fetch(f"{WIKI}/.ostiary/nothing")).status == 404
        assert (await browser.fetch(f"{WIKI}/")).status == 404, "the portal is on the login host only"


async def test_the_bind_cookie_is_not_replaced_while_it_is_there() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.fetch(login_url("/x"))
        first = browser.jar["wiki.apps.test"][BIND_COOKIE]
        await browser.fetch(login_url("/y"))
        assert browser.jar["wiki.apps.test"][BIND_COOKIE] == first
