"""Logging in, as a conversation between a browser, our pages and a real provider."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from web_stage import GRAFANA, LOGIN, NAVIGATE, TEAM, WIKI, Answer, Browser, login_url, staged

from proxy.web.attempts import LIFETIME, MAX_ATTEMPTS
from proxy.web.endpoints import ATTEMPT_COOKIE, SESSION_COOKIE


async def test_a_person_logs_in_and_comes_back_to_the_very_address_with_query_and_fragment() -> None:
    async with staged() as stage:
        browser = Browser(stage)

        end = await browser.open(login_url("/page/7?a=1&b=%2B") + "#part-3")

        assert end.url == f"{WIKI}/page/7?a=1&b=%2B#part-3"
        session = await stage.session_of(browser, WIKI)
        assert session is not None
        assert session.identity.email == "alice@example.com"
        assert not any("part-3" in url for url in browser.visited if "127.0.0.1" in url), "the provider saw it"
        assert [fields["session"] for fields in stage.events_called("login")] == [session.sid]


async def test_a_program_without_fetch_metadata_is_redirected_plainly() -> None:
    async with staged() as stage:
        browser = Browser(stage)

        ticket = await browser.until(login_url("/x"), "/.ostiary/session?")

        assert ticket.startswith(f"{WIKI}/.ostiary/session?ticket=")
        assert (await browser.fetch(ticket)).location == f"{WIKI}/x"


async def test_another_app_needs_no_second_login() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))

        end = await browser.open(login_url("/dash/1", GRAFANA))

        assert end.url == f"{GRAFANA}/dash/1"
        assert not any("127.0.0.1" in url for url in browser.visited)
        wiki, grafana = await stage.session_of(browser, WIKI), await stage.session_of(browser, GRAFANA)
        assert wiki is not None
        assert wiki is grafana
        hosts = ("wiki.apps.test", "grafana.apps.test", "login.apps.test")
        assert len({browser.jar[host][SESSION_COOKIE] for host in hosts}) == 3, "one handle per host"


async def test_a_wildcard_host_is_one_of_ours() -> None:
    async with staged() as stage:
        end = await Browser(stage).open(login_url("/board", TEAM))

        assert end.url == f"{TEAM}/board"


async def test_ten_tabs_at_once_on_no_session_all_arrive() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        tabs = [browser.open(login_url(f"/tab/{n}", WIKI if n % 2 else GRAFANA)) for n in range(10)]

        ends = await asyncio.gather(*tabs)

        assert sorted(urlsplit(end.url).path for end in ends) == [f"/tab/{n}" for n in range(10)]
        assert await stage.session_of(browser, WIKI) is not None
        assert await stage.session_of(browser, GRAFANA) is not None


class Forgetful(Browser):
    """Loses the cookies of its attempts, once, on the way back: too many tabs did the same."""

    lost: tuple[str, ...] = ()

    async def fetch(self, url: str, *args: Any, **more: Any) -> Answer:
        if "/callback?" in url and not self.lost:
            cookies = self.jar["login.apps.test"]
            self.lost = tuple(cookies.pop(name) for name in list(cookies) if name.startswith(ATTEMPT_COOKIE))
        return await super().fetch(url, *args, **more)


async def test_a_login_that_had_to_start_again_keeps_the_fragment() -> None:
    async with staged() as stage:
        browser = Forgetful(stage)

        end = await browser.open(login_url("/page") + "#part-3")

        assert browser.lost
        assert end.url == f"{WIKI}/page#part-3"


async def test_a_tab_that_returns_late_does_not_end_the_session_another_tab_made_meanwhile() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        slow = await browser.until(login_url("/slow"), "/callback?")
        await browser.open(login_url("/fast"))
        before = await stage.session_of(browser, WIKI)

        end = await browser.open(slow)

        assert end.url == f"{WIKI}/slow"
        assert await stage.session_of(browser, WIKI) is before
        assert len(stage.events_called("login")) == 1


async def test_a_new_login_ends_the_old_session_of_this_browser() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))
        alice = await stage.session_of(browser, WIKI)
        assert alice is not None

        end = await browser.open(login_url("/again", prompt="select_account"), person="bob")

        assert end.url == f"{WIKI}/again"
        bob = await stage.session_of(browser, WIKI)
        assert bob is not None
        assert bob.identity.email == "bob@example.com"
        assert bob.sid != alice.sid
        assert alice.ended is not None
        stored = await stage.store.get(alice.sid)
        assert stored is not None
        assert stored.ended is not None


async def test_max_age_asks_for_a_fresh_login_only_when_the_login_is_too_old() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))
        first = await stage.session_of(browser, WIKI)
        handle = browser.jar["wiki.apps.test"][SESSION_COOKIE]

        await browser.open(login_url("/pay", max_age="600"))
        assert await stage.session_of(browser, WIKI) is first, "just logged in is fresh enough"

        stage.clock.ahead += 1200
        end = await browser.open(login_url("/pay", max_age="600"))

        assert end.url == f"{WIKI}/pay"
        asked = next(url for url in browser.visited if "/authorize?" in url)
        assert parse_qs(urlsplit(asked).query)["max_age"] == ["600"]
        second = await stage.session_of(browser, WIKI)
        assert first is not None
        assert second is not None
        assert second.sid == first.sid, "the same person again: what is open in other tabs goes on"
        assert browser.jar["wiki.apps.test"][SESSION_COOKIE] != handle
        assert second.identity.auth_time is not None
        assert stage.clock() - second.identity.auth_time < 60


async def test_prompt_login_asks_the_person_again() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))

        await browser.open(login_url("/x", prompt="login"))

        assert any("prompt=login" in url for url in browser.visited)
        assert len(stage.events_called("login")) == 1
        assert len(stage.events_called("step-up")) == 1


async def test_what_is_sent_to_the_provider() -> None:
    async with staged() as stage:
        authorize = await Browser(stage).until(login_url("/x"), "/authorize?")

        sent = dict(parse_qsl(urlsplit(authorize).query))
        assert sent["redirect_uri"] == f"{LOGIN}/.ostiary/oidc/corp/callback"
        assert sent["code_challenge_method"] == "S256"
        assert len(sent["code_challenge"]) == 43
        assert sent["response_type"] == "code"
        assert sent["nonce"]
        assert "wiki" not in authorize, "where one goes afterwards is nobody else's business"


async def test_an_xhr_is_told_where_to_log_in_and_not_redirected() -> None:
    async with staged() as stage:
        answer = await Browser(stage).fetch(login_url("/x"), headers={"Sec-Fetch-Mode": "cors", "Accept": "*/*"})

        assert answer.status == 401
        assert answer.headers["Content-Type"] == "application/json"
        assert '"login_url":"https://wiki.apps.test:8443/.ostiary/login' in answer.text


async def test_at_most_eight_attempts_are_kept_in_a_browser() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        for n in range(12):
            stage.clock.ahead += 1
            await browser.until(login_url(f"/{n}"), "/authorize?")

        kept = [name for name in browser.jar["login.apps.test"] if name.startswith(ATTEMPT_COOKIE)]
        assert len(kept) == MAX_ATTEMPTS


async def test_somebody_who_took_too_long_at_the_provider_starts_again_by_itself_and_arrives() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        late = await browser.until(login_url("/late"), "/callback?")
        stage.clock.ahead += LIFETIME + 5

        end = await browser.open(late)

        assert end.url == f"{WIKI}/late"


async def test_a_browser_without_cookies_gets_a_page_instead_of_a_loop() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        url, journey = login_url("/x"), 0
        while True:
            answer = await browser.fetch(url, headers=dict(NAVIGATE))
            browser.jar = {"127.0.0.1": browser.jar.get("127.0.0.1", {})}
            if onward := answer.onward():
                url = onward[0]
            elif 'name="interaction"' in answer.text:
                url = (await browser.answer_provider(answer, "alice")).location
            elif answer.status == 303:
                url = answer.location
            else:
                break
            journey += 1
            assert journey < 40, "a loop"

        assert answer.status == 400
        assert "cookies" in answer.text


@pytest.mark.parametrize("state", ["memory:", "sqlite"])
async def test_both_stores_carry_a_login(state: str, tmp_path) -> None:
    async with staged(state="memory:" if state == "memory:" else f"sqlite:{tmp_path / 'state.db'}") as stage:
        browser = Browser(stage)

        assert (await browser.open(login_url("/ok"))).url == f"{WIKI}/ok"
        assert await stage.session_of(browser, WIKI) is not None
