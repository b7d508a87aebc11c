"""Our pages: whole HTML, nothing hostile comes through any field, and a policy that admits exactly our own code."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import msgspec
import pytest
from screenshots import PAGES
from web_html import Page
from web_stage import GRAFANA, LOGIN, NAVIGATE, WIKI, Browser, login_url, route, staged

from proxy.model.device import Bound
from proxy.model.identity import Identity
from proxy.model.reasons import MEANING, Reason
from proxy.model.verdict import Failed
from proxy.sessions.session import SessionRecord
from proxy.settings import schema
from proxy.web.refusals import Refusal, render
from proxy.web.visibility import Visibility

HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(1)</script></style></title>{{7*7}}\x00\u202e\ud800"
BAD_TAGS = {"img", "iframe", "object", "embed", "base"}


def checked(headers: dict[str, str], text: str) -> Page:
    """The page, after all that holds for every page."""
    page = Page(text)
    assert page.problems == []
    assert not BAD_TAGS & page.texts.keys()
    (style,), (script,) = page.texts["style"], page.texts["script"]
    policy = headers["Content-Security-Policy"]
    for kind, code in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    for directive in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert directive in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    return page


def decoded(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_whole_and_admits_only_its_own_code(name: str) -> None:
    _, headers, body = PAGES[name]
    checked(decoded(headers), body.decode())


def test_hostile_text_in_every_field_of_a_refusal_is_text() -> None:
    refusal = Refusal(
        Reason.NO_RULE_ALLOWS,
        rule=HOSTILE,
        failed=(Failed(HOSTILE, HOSTILE, HOSTILE, remedy=HOSTILE), Failed(HOSTILE, HOSTILE, HOSTILE, unknown=True)),
        reference=HOSTILE,
        login_url=HOSTILE,
        route_text=HOSTILE,
        route_link="https://x/" + HOSTILE,
        identity=HOSTILE,
        host=HOSTILE,
        target=HOSTILE,
        detail=HOSTILE,
        portal_url="https://" + HOSTILE,
        prove_url="https://" + HOSTILE,
        acr_values=(HOSTILE,),
        max_age=1.0,
    )
    for reason in Reason:
        _, headers, body = render(refusal._replace(reason=reason), want="html")
        page = checked(decoded(headers), body.decode())
        assert "49" not in page.texts["h1"]
    told = json.loads(render(refusal, want="json")[2])
    assert told["rule"] == HOSTILE
    assert told["failed"][1]["explanation"] == HOSTILE


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "//evil.test", " https://x", "vbscript:x"])
def test_a_route_link_is_a_link_to_a_page_or_none(link: str) -> None:
    _, _, body = render(Refusal(Reason.NO_RULE_ALLOWS, route_link=link, identity="a"), want="html")
    hrefs = Page(body.decode()).links
    assert link not in hrefs or link == "//evil.test"


@pytest.mark.parametrize("target", ["//evil.test", "/\\evil.test", "https://evil.test", "javascript:alert(1)"])
def test_try_again_and_log_in_stay_here(target: str) -> None:
    for reason in (Reason.UPSTREAM_TIMEOUT, Reason.SESSION_EXPIRED, Reason.NO_RULE_ALLOWS):
        _, _, body = render(Refusal(reason, target=target, identity="a"), want="html")
        for href in Page(body.decode()).links:
            assert re.match(r"/(?![/\\])|#", href), href


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_page_and_json_with_its_status(reason: Reason) -> None:
    refusal = Refusal(reason, reference="r-1", host="a.test", target="/x", identity="Ada")
    status, headers, body = render(refusal, want="html")
    fields = decoded(headers)
    assert status == MEANING[reason].status
    assert MEANING[reason].title in Page(body.decode()).texts["h1"][0]
    assert fields["Content-Length"] == str(len(body))
    assert ("WWW-Authenticate" in fields) == (status == 401)
    assert ("Retry-After" in fields) == (status in (429, 503))
    status, headers, body = render(refusal, want="json")
    told = json.loads(body)
    assert (status, told["reason"], told["reference"]) == (MEANING[reason].status, reason.value, "r-1")
    assert told["error"] == MEANING[reason].title


def hostile_record(record: SessionRecord) -> Identity:
    return Identity(
        kind="person",
        subject=HOSTILE[:-1],
        provider="corp",
        email=HOSTILE[:-1],
        name=HOSTILE[:-1],
        groups=frozenset({HOSTILE[:-1], "x"}),
        session=record.sid,
    )


async def test_hostile_identity_and_configuration_on_portal_logout_and_chooser() -> None:
    async with staged("corp", "partner") as stage:
        browser = Browser(stage)
        await browser.open(login_url("/", provider="corp"))
        session = await stage.session_of(browser, LOGIN)
        assert session is not None
        await stage.sessions.renew(session.sid, identity=hostile_record(session.record), tokens=b"", refresh_at=1e18)
        bad = HOSTILE[:-1]
        stage.visible = [route("evil", WIKI, title=bad, description=bad)]

        for url in (f"{LOGIN}/", f"{LOGIN}/.ostiary/logout", f"{LOGIN}/.ostiary/logged-out"):
            answer = await browser.fetch(url, headers=NAVIGATE)
            page = checked(dict(answer.headers), answer.text)
            assert answer.status == 200
            assert "img" not in page.texts
        told = await browser.fetch(f"{WIKI}/.ostiary/whoami", headers=NAVIGATE)
        assert told.headers["Content-Type"] == "application/json"

        page = await Browser(stage).open(login_url("/x", email=bad + "@" + bad))
        checked(dict(page.headers), page.text)


async def test_the_pages_on_the_way_are_whole_too() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        out = await browser.fetch((await browser.fetch(login_url("/x"))).location, headers=NAVIGATE)
        page = await browser.fetch(out.onward()[0])  # type: ignore[index]  # it is such a page, or the test fails
        back = await browser.fetch((await browser.answer_provider(page, "alice")).location, headers=NAVIGATE)
        for answer in (out, back):
            checked(dict(answer.headers), answer.text)
            assert answer.onward()


async def test_chooser_offers_the_providers_and_keeps_where_one_wanted_to_go() -> None:
    async with staged("corp", "partner") as stage:
        browser = Browser(stage)

        page = await browser.open(login_url("/deep?x=1"))

        html = checked(dict(page.headers), page.text)
        assert "Wiki" in page.text
        ways = [link for link in html.links if "provider=" in link]
        assert [way.partition("provider=")[2].partition("&")[0] for way in ways] == ["corp", "partner"]
        assert (await browser.open(LOGIN + ways[1])).url == f"{WIKI}/deep?x=1"
        session = await stage.session_of(browser, WIKI)
        assert session is not None
        assert session.record.provider == "partner"


async def test_a_mail_domain_or_the_route_names_the_provider() -> None:
    async with staged("corp", "partner") as stage:
        by_mail = await Browser(stage).until(login_url("/", email="Ann@Partner.Example"), "/authorize?")
        by_route = await Browser(stage).until(login_url("/dash", GRAFANA), "/authorize?")

        assert by_mail.startswith(stage.idps["partner"].issuer)
        assert "login_hint=Ann%40Partner.Example" in by_mail
        assert by_route.startswith(stage.idps["partner"].issuer)
        nobody = await Browser(stage).open(login_url("/", email="ann@elsewhere.example"))
        assert "No identity provider is set up for elsewhere.example" in nobody.text


async def test_a_route_that_names_a_provider_takes_the_session_of_another_to_policy() -> None:
    async with staged("corp", "partner") as stage:
        browser = Browser(stage)
        await browser.open(login_url("/", provider="corp"))
        before = await stage.session_of(browser, WIKI)

        end = await browser.open(login_url("/dash", GRAFANA, provider="partner"))

        assert end.url == f"{GRAFANA}/dash"
        assert await stage.session_of(browser, GRAFANA) is before


async def test_without_a_provider_there_is_a_page_that_says_so() -> None:
    async with staged() as stage:
        login = schema.Login(url=LOGIN)
        stage.settings = schema.Settings(
            configuration=schema.Configuration(
                listeners=stage.settings.configuration.listeners, login=login, assertion=schema.Assertion(key="x")
            ),
            routes=stage.settings.routes,
            revision="r2",
            files=(),
        )
        answer = await Browser(stage).open(login_url("/"))
        assert answer.status == 400
        assert "No identity provider is configured" in answer.text


async def test_the_portal_lists_what_one_may_open_and_asks_for_login_first() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        answer = await browser.fetch(f"{LOGIN}/", headers=NAVIGATE)
        assert answer.status == 303
        script = await browser.fetch(f"{LOGIN}/", headers={"Accept": "application/json"})
        assert script.status == 401

        page = await browser.open(f"{LOGIN}/")

        assert page.url == f"{LOGIN}/"
        html = checked(dict(page.headers), page.text)
        assert [link for link in html.links if link.startswith("https://")][:2] == [f"{GRAFANA}/dash/", f"{WIKI}/"]
        assert "Alice Adler" in page.text
        assert "How we work &lt;b&gt;and&lt;/b&gt; why" in page.text
        assert (await browser.open(f"{WIKI}/.ostiary/")).url == f"{LOGIN}/"


async def test_whoami_for_somebody_and_nobody() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        nobody = await browser.fetch(f"{WIKI}/.ostiary/whoami")
        assert nobody.status == 401
        assert json.loads(nobody.body)["login_url"] == f"{WIKI}/.ostiary/login?return=/"

        await browser.open(login_url("/"))
        answer = await browser.fetch(f"{WIKI}/.ostiary/whoami")

        told = json.loads(answer.body)
        assert told["email"] == "alice@example.com"
        assert told["groups"] == ["engineering"]
        session = await stage.session_of(browser, WIKI)
        assert session is not None
        assert told["session"]["id"] == session.sid[:8]
        assert session.sid not in answer.text
        assert told["device"] is None
        assert told["amr"] == list(session.identity.amr)
        assert answer.headers["Cache-Control"] == "no-store"


async def test_whoami_says_which_device_the_session_is_tied_to_and_how() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))
        session = await stage.session_of(browser, WIKI)
        assert session is not None
        bound = Bound(binding="provider")  # of a device that only the provider knows
        await stage.sessions.amend(session.sid, lambda old: msgspec.structs.replace(old, device=bound))

        told = json.loads((await browser.fetch(f"{WIKI}/.ostiary/whoami")).body)

        assert told["device"] == {"id": None, "binding": "provider"}


@pytest.mark.parametrize(("unknown", "told"), [(frozenset(), []), (frozenset({"groups"}), None)], ids=["no", "unknown"])
async def test_whoami_and_portal_tell_no_groups_from_unknown_groups(unknown: frozenset[str], told: object) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))
        live = await stage.session_of(browser, WIKI)
        assert live is not None
        who = msgspec.structs.replace(live.identity, groups=frozenset(), unknown=unknown)
        await stage.store.update(msgspec.structs.replace(live.record, identity=who))

        answer = await browser.fetch(f"{WIKI}/.ostiary/whoami")
        portal = await browser.open(f"{LOGIN}/")

        assert json.loads(answer.body)["groups"] == told
        assert ("not known: the provider did not tell" in portal.text) is bool(unknown)


async def test_the_published_keys_and_the_icon() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        keys = await browser.fetch(f"{LOGIN}/.well-known/ostiary/jwks.json")
        (key,) = json.loads(keys.body)["keys"]
        assert key["kty"] == "EC"
        assert "d" not in key
        assert keys.headers["Access-Control-Allow-Origin"] == "*"
        icon = await browser.fetch(f"{WIKI}/.ostiary/icon.svg")
        assert icon.headers["Content-Type"] == "image/svg+xml"


async def test_a_mistake_of_our_own_is_a_page_without_details(monkeypatch) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))

        async def broken(_: str) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(stage.store, "get", broken)
        answer = await browser.fetch(f"{LOGIN}/", headers=NAVIGATE)

        assert answer.status == 500
        assert "secret detail" not in answer.text
        assert "ref-" in answer.text


def test_visibility_is_the_gateways_own_decision() -> None:
    sre = schema.Rule(name="sre", groups=("sre",))
    here = schema.Rule(name="office", authenticated=True, networks=("10.0.0.0/8",))
    fresh = schema.Rule(name="fresh", authenticated=True, auth_age=schema.Duration(600))
    posts = schema.Rule(name="posts", authenticated=True, methods=("POST",))
    everyone = schema.Rule(name="all", authenticated=True)
    configured = schema.Settings(
        configuration=schema.Configuration(
            listeners=(schema.Listener(address="127.0.0.1:1"),),
            login=schema.Login(url=LOGIN),
            assertion=schema.Assertion(key="x"),
        ),
        routes=(
            route("all", "https://all.test"),
            route("sre", "https://sre.test", allow=(sre,)),
            route("office", "https://office.test", allow=(here,)),
            route("fresh", "https://fresh.test", allow=(fresh,)),
            route("posts", "https://posts.test", allow=(posts,)),
            route("hidden", "https://hidden.test", hidden=True),
            route("wild", "https://*.wild.test"),
            route("denied", "https://denied.test", deny=(everyone,)),
            route("open", "https://open.test", allow=(), public=True),
            route("nobody", "https://nobody.test", allow=()),
        ),
        revision="r",
        files=(),
    )
    visible = Visibility(lambda: configured, lambda: 10_000.0)
    ada = Identity(kind="person", subject="ada", groups=frozenset({"dev"}), auth_time=1.0)

    assert [r.name for r in visible(ada, "192.0.2.1")] == ["all", "fresh", "open"]
    assert [r.name for r in visible(ada, "10.1.2.3")] == ["all", "office", "fresh", "open"]
    assert [r.name for r in visible(ada, None)] == ["all", "fresh", "open"]
