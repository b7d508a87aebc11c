"""Logging out: here, at the provider, and by the provider."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from web_stage import GRAFANA, LOGIN, NAVIGATE, WIKI, Browser, Stage, login_url, staged

from proxy.authn.errors import ProviderUnavailable
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.store import StoreUnavailable
from proxy.web.endpoints import SESSION_COOKIE, backchannel

SAME = NAVIGATE | {"Sec-Fetch-Site": "same-origin"}
BACKCHANNEL = LOGIN + backchannel("corp")


async def logged_in(stage: Stage, person: str = "alice") -> Browser:
    browser = Browser(stage)
    await browser.open(login_url("/"), person)
    await browser.open(login_url("/dash", GRAFANA))
    return browser


async def test_a_get_only_asks() -> None:
    async with staged() as stage:
        browser = await logged_in(stage)

        answer = await browser.fetch(f"{WIKI}/.ostiary/logout", headers=NAVIGATE | {"Sec-Fetch-Site": "cross-site"})

        assert answer.status == 200
        assert '<form action="/.ostiary/logout" method="post">' in answer.text
        assert "alice@example.com" in answer.text
        assert await stage.session_of(browser, WIKI) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"},
        {"Sec-Fetch-Site": "same-site", "Origin": GRAFANA},
        {"Sec-Fetch-Site": "cross-site", "Origin": WIKI},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": GRAFANA},
        {},
    ],
    ids=str,
)
async def test_no_other_site_logs_anybody_out(headers: dict[str, str]) -> None:
    async with staged() as stage:
        browser = await logged_in(stage)

        answer = await browser.fetch(f"{WIKI}/.ostiary/logout", "POST", {"Accept": "text/html"} | headers)

        assert answer.status == 403
        assert await stage.session_of(browser, WIKI) is not None


@pytest.mark.parametrize("headers", [SAME, {"Origin": WIKI, "Accept": "text/html"}], ids=["fetch-metadata", "origin"])
async def test_logging_out_ends_the_session_on_all_hosts_and_at_the_provider(headers: dict[str, str]) -> None:
    async with staged() as stage:
        browser = await logged_in(stage)

        answer = await browser.fetch(f"{WIKI}/.ostiary/logout", "POST", headers)

        onward = answer.onward()
        location = onward[0] if onward else answer.location
        assert (answer.status, bool(onward)) == ((200, True) if headers is SAME else (303, False))
        assert location.startswith(f"{LOGIN}/.ostiary/logout/provider?reference=")
        assert SESSION_COOKIE not in browser.jar["wiki.apps.test"]
        for origin in (WIKI, GRAFANA, LOGIN):
            assert await stage.session_of(browser, origin) is None
        end = await browser.open(location)
        assert urlsplit(end.url).path == "/.ostiary/logged-out"
        assert any(url.startswith(f"{stage.idps['corp'].issuer}/logout?") for url in browser.visited)
        assert any("id_token_hint=" in url for url in browser.visited), "the provider knows whom to log out"
        assert "here and at Corporate login" in end.text
        assert not stage.idps["corp"].ledger.logins()
        assert len(stage.events_called("logout")) == 1
        page = await browser.fetch(await browser.until(login_url("/"), "/authorize?"))
        assert 'name="interaction"' in page.text, "the next login asks who one is"


async def test_a_provider_that_does_not_answer_does_not_keep_anybody_logged_in(monkeypatch) -> None:
    async with staged() as stage:
        browser = await logged_in(stage)

        async def down(**_: object) -> str:
            raise ProviderUnavailable("gone")

        monkeypatch.setattr(stage.providers["corp"], "logout_url", down)
        answer = await browser.fetch(f"{WIKI}/.ostiary/logout", "POST", SAME)

        onward = answer.onward()
        assert onward
        assert await stage.session_of(browser, WIKI) is None
        end = await browser.open(onward[0])
        assert end.url == f"{LOGIN}/.ostiary/logged-out"
        assert "You may still be logged in at your identity provider" in end.text


SCRIPT = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


async def test_a_script_of_the_app_gets_json() -> None:
    async with staged() as stage:
        browser = await logged_in(stage)

        answer = await browser.fetch(f"{WIKI}/.ostiary/logout", "POST", SCRIPT)

        told = json.loads(answer.body)
        assert told["logged_out"] is True
        assert told["continue"].startswith(f"{LOGIN}/.ostiary/logout/provider?")


async def test_logout_without_a_session_and_the_page_with_one() -> None:
    async with staged() as stage:
        nobody, browser = Browser(stage), await logged_in(stage)
        for method in ("GET", "POST"):
            answer = await nobody.open(f"{WIKI}/.ostiary/logout") if method == "GET" else None
            if answer is None:
                answer = await nobody.fetch(f"{WIKI}/.ostiary/logout", "POST", SAME)
                onward = answer.onward()
                assert onward
                assert onward[0] == f"{LOGIN}/.ostiary/logged-out"
            else:
                assert "You are logged out" in answer.text
        assert "You are still logged in" in (await browser.open(f"{WIKI}/.ostiary/logged-out")).text


async def test_a_forged_state_does_not_make_the_page_say_more() -> None:
    async with staged() as stage:
        answer = await Browser(stage).open(f"{LOGIN}/.ostiary/logged-out?state=%3Cscript%3E")

        assert "here and at" not in answer.text
        assert "<script>%3C" not in answer.text


async def test_the_provider_ends_the_session_by_back_channel() -> None:
    async with staged() as stage:
        alice, bob = await logged_in(stage), await logged_in(stage, "bob")
        idp = stage.idps["corp"]
        login = next(login for login in idp.ledger.logins() if login.sub == "alice")
        live = await stage.session_of(alice, WIKI)
        assert live is not None
        ended = live.sid

        await idp.end(login.sid)

        assert await stage.session_of(alice, WIKI) is None
        assert await stage.session_of(bob, WIKI) is not None
        (line,) = stage.events_called("backchannel-logout")
        assert (line["ended"], line["identity"].subject, line["session"]) == (1, "alice", ended)


async def test_many_sessions_that_end_at_once_are_fifty_lines_and_a_count() -> None:
    async with staged() as stage:
        person = Identity(kind="person", subject="alice", provider="corp", email="alice@example.com")
        await logged_in(stage)
        idp = stage.idps["corp"]
        (login,) = idp.ledger.logins()
        for _ in range(53):
            await stage.sessions.create(person, "corp", b"", login.sid, stage.clock())
        token = idp.signer.logout_token(login, stage.clock())

        answer = await Browser(stage).fetch(BACKCHANNEL, "POST", data={"logout_token": token})

        assert answer.status == 200
        lines = stage.events_called("backchannel-logout")
        assert len(lines) == 51
        assert len({line["session"] for line in lines[:50]}) == 50
        assert all(line["identity"].subject == "alice" for line in lines[:50])
        assert (lines[50]["unlisted"], lines[50]["ended"]) == (4, 54)


async def test_a_logout_token_works_once() -> None:
    async with staged() as stage:
        await logged_in(stage)
        idp = stage.idps["corp"]
        token = idp.signer.logout_token(idp.ledger.logins()[0], stage.clock())
        browser = Browser(stage)

        first = await browser.fetch(BACKCHANNEL, "POST", data={"logout_token": token})
        second = await browser.fetch(BACKCHANNEL, "POST", data={"logout_token": token})

        assert (first.status, second.status) == (200, 400)
        assert first.headers["Cache-Control"] == "no-store"
        assert json.loads(second.body)["error_description"] == "this logout token was used before"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, b""),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"logout_token="),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"logout_token=a&logout_token=b"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"logout_token=a.b.c"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"logout_token=%ff%fe"),
        ({"Content-Type": "application/json"}, b'{"logout_token": "x"}'),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--"),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=utf-7"}, b"logout_token=+AHg-"),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}, b"logout_token=x"),
    ],
    ids=str,
)
async def test_what_is_no_logout_token_is_400_and_never_cached(headers: dict[str, str], body: bytes) -> None:
    async with staged() as stage:
        browser = await logged_in(stage)

        answer = await Browser(stage).fetch(BACKCHANNEL, "POST", headers, data=body)

        assert answer.status == 400
        assert answer.headers["Cache-Control"] == "no-store"
        assert await stage.session_of(browser, WIKI) is not None


async def test_a_body_without_end_is_not_read() -> None:
    async with staged() as stage:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await Browser(stage).fetch(BACKCHANNEL, "POST", form, data=b"logout_token=" + b"x" * 200_000)

        assert answer.status == 413


async def test_an_id_token_is_no_logout_token_and_a_foreign_provider_ends_nothing() -> None:
    async with staged("corp", "partner") as stage:
        browser = Browser(stage)
        await browser.open(login_url("/", provider="corp"))
        corp = stage.idps["corp"]
        token = corp.signer.logout_token(corp.ledger.logins()[0], stage.clock())

        there = await browser.fetch(LOGIN + backchannel("partner"), "POST", data={"logout_token": token})
        app = await browser.fetch(BACKCHANNEL.replace(LOGIN, WIKI), "POST", data={"logout_token": token})

        assert (there.status, app.status) == (400, 404)
        assert await stage.session_of(browser, WIKI) is not None


async def test_when_the_store_is_gone_nobody_is_let_in_and_everybody_is_told(monkeypatch) -> None:
    async with staged() as stage:
        browser = await logged_in(stage)
        link = await browser.until(login_url("/x", prompt="login"), "/callback?")
        ticket = await browser.until(login_url("/x"), "/.ostiary/session?")

        async def gone(*_: object, **__: object) -> None:
            raise StoreUnavailable("the disk is full")

        for name in ("get", "consume", "create", "add_handle", "revoke_many"):
            monkeypatch.setattr(stage.store, name, gone)
        for url in (link, ticket, f"{LOGIN}/", f"{WIKI}/.ostiary/whoami", f"{WIKI}/.ostiary/logout"):
            answer = await browser.fetch(url, headers=NAVIGATE)
            assert answer.status == 503, url
            assert answer.headers["Retry-After"]
            assert "Set-Cookie" not in answer.headers
            assert "disk" not in answer.text


async def test_a_dead_provider_is_a_page_and_the_other_one_works() -> None:
    async with staged("corp", "dead") as stage:
        browser = Browser(stage)

        down = await browser.open(login_url("/x", provider="dead"))

        assert down.status == 503
        (line,) = stage.events_called("login-failed")
        assert (line["provider"], line["reason"]) == ("dead", Reason.PROVIDER_UNAVAILABLE)
        assert "“Closed office” cannot be reached" in down.text
        retry = f"{LOGIN}/.ostiary/login?"
        assert dict(parse_qsl(urlsplit(retry).query)) == {}
        chooser = await browser.open(f"{WIKI}/.ostiary/login?{urlencode({'return': '/x'})}")
        assert "Corporate login" in chooser.text
        assert (await browser.open(login_url("/x", provider="corp"))).url == f"{WIKI}/x"
