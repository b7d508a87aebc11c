"""A page wants more than the login: what the provider is asked, and what becomes of the session."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from strength_stage import TWO, provided, two_by_acr
from web_stage import GRAFANA, LOGIN, WIKI, Browser, Stage, login_url, staged

from proxy.sessions.live import LiveSession
from proxy.settings import schema
from proxy.web.endpoints import SESSION_COOKIE


def asked_of_provider(browser: Browser) -> dict[str, list[str]]:
    """The query of the last journey's authorization request."""
    return parse_qs(urlsplit(next(url for url in browser.visited if "/authorize?" in url)).query)


async def seen_with(stage: Stage, handle: str, origin: str = WIKI) -> LiveSession | None:
    host = urlsplit(origin).hostname or ""
    found = await stage.sessions.load(handle.encode(), host)
    return found if isinstance(found, LiveSession) else None


async def test_somebody_with_one_factor_is_asked_for_two_and_comes_back_stronger_in_the_same_session() -> None:
    async with staged() as stage:
        two_by_acr(stage)
        browser = Browser(stage)
        await browser.open(login_url("/"))
        before = await stage.session_of(browser, WIKI)
        assert before is not None
        assert before.identity.mfa is False

        browser.factors = "two"
        end = await browser.open(login_url("/pay?bill=7", mfa="1") + "#line-3")

        assert end.url == f"{WIKI}/pay?bill=7#line-3"
        assert asked_of_provider(browser)["acr_values"] == [TWO]
        after = await stage.session_of(browser, WIKI)
        assert after is not None
        assert after.sid == before.sid, "what other tabs have open goes on"
        assert after.identity.mfa is True
        assert after.identity.acr == TWO
        assert [event["session"] for event in stage.events_called("step-up")] == [before.sid]


async def test_every_handle_from_before_stops_working_on_every_host() -> None:
    async with staged() as stage:
        two_by_acr(stage)
        browser = Browser(stage)
        await browser.open(login_url("/"))
        await browser.open(login_url("/dash/", GRAFANA))
        stolen = {host: jar[SESSION_COOKIE] for host, jar in browser.jar.items() if SESSION_COOKIE in jar}
        assert len(stolen) == 3

        browser.factors = "two"
        await browser.open(login_url("/", mfa="1"))

        for host, handle in stolen.items():
            assert await seen_with(stage, handle, f"https://{host}") is None, host
        assert await stage.session_of(browser, WIKI) is not None
        assert await stage.session_of(browser, LOGIN) is not None
        await browser.open(login_url("/dash/", GRAFANA))
        assert not any("/authorize" in url for url in browser.visited), "the other app needs no second login"
        assert await stage.session_of(browser, GRAFANA) is not None


async def test_who_is_strong_enough_already_is_not_asked_again() -> None:
    async with staged() as stage:
        two_by_acr(stage)
        browser = Browser(stage, factors="two")
        await browser.open(login_url("/"))

        await browser.open(login_url("/pay", mfa="1"))
        assert not any("/authorize" in url for url in browser.visited)
        await browser.open(login_url("/pay", acr=f"phr {TWO}"))
        assert not any("/authorize" in url for url in browser.visited)


async def test_a_kind_of_login_is_asked_for_by_its_name() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))
        browser.factors = "two"

        end = await browser.open(login_url("/x", acr=f"{TWO} urn:better"))

        assert end.url == f"{WIKI}/x"
        assert asked_of_provider(browser)["acr_values"] == [f"{TWO} urn:better"]


async def test_a_provider_that_cannot_be_asked_by_name_is_asked_to_log_in_anew() -> None:
    async with staged() as stage:  # the default `mfa` setting knows an amr only
        browser = Browser(stage)
        await browser.open(login_url("/"))
        browser.factors = "two"

        end = await browser.open(login_url("/x", mfa="1"))

        assert end.url == f"{WIKI}/x"
        assert asked_of_provider(browser)["prompt"] == ["login"]
        assert "acr_values" not in asked_of_provider(browser)


async def test_a_provider_that_does_not_deliver_is_refused_once_and_the_session_stays_as_it_was() -> None:
    async with staged() as stage:
        two_by_acr(stage)
        browser = Browser(stage)
        await browser.open(login_url("/"))

        end = await browser.open(login_url("/pay", mfa="1"))  # and the person chooses one factor again

        assert end.status == 403
        assert "This asks for several factors, and “Corporate login” was asked for that." in end.text
        assert "kind of login: urn:ostiary:demo:one-factor; methods: pwd" in end.text
        assert len([url for url in browser.visited if "/authorize?" in url]) == 1, "no loop"
        session = await stage.session_of(browser, WIKI)
        assert session is not None
        assert session.identity.mfa is False
        failed = stage.events_called("login-failed")
        assert [event["why"] for event in failed] == [
            "asked for several factors; kind of login: urn:ostiary:demo:one-factor; methods: pwd"
        ]


async def test_nobody_gets_a_session_from_a_login_that_is_weaker_than_was_asked() -> None:
    async with staged() as stage:
        two_by_acr(stage)
        browser = Browser(stage)

        end = await browser.open(login_url("/pay", acr="urn:never"))

        assert end.status == 403
        assert "a login of the kind urn:never" in end.text
        assert await stage.session_of(browser, LOGIN) is None


async def test_another_person_at_the_step_up_gets_a_session_of_their_own() -> None:
    async with staged() as stage:
        two_by_acr(stage)
        browser = Browser(stage)
        await browser.open(login_url("/"))
        before = await stage.session_of(browser, WIKI)
        assert before is not None

        browser.factors = "two"
        await browser.open(login_url("/pay", mfa="1"), person="bob")

        after = await stage.session_of(browser, WIKI)
        assert after is not None
        assert after.sid != before.sid
        assert after.identity.email == "bob@example.com"
        assert before.ended is not None, "the first one has ended"


async def test_a_link_without_the_wish_does_not_undo_what_the_page_needs() -> None:
    """A link can only ask for more: without `mfa` one comes back as weak as before, to a page that asks again."""
    async with staged() as stage:
        two_by_acr(stage)
        browser = Browser(stage)
        await browser.open(login_url("/"))

        await browser.open(login_url("/pay"))

        session = await stage.session_of(browser, WIKI)
        assert session is not None
        assert session.identity.mfa is False


async def test_a_second_factor_of_ours_outlives_a_step_up_at_the_provider() -> None:
    import msgspec

    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))
        session = await stage.session_of(browser, WIKI)
        assert session is not None
        now = stage.clock()
        strong = msgspec.structs.replace(session.identity, second_factor=("otp",), second_factor_at=now)
        await stage.sessions.amend(session.sid, lambda record: msgspec.structs.replace(record, identity=strong))

        await browser.open(login_url("/", prompt="login"))

        record = await stage.store.get(session.sid)
        assert record is not None
        assert (record.identity.second_factor, record.identity.second_factor_at) == (("otp",), now)


@pytest.mark.parametrize(
    "acr", ["a" * 201, "ü", "a\tb", "\x00", " ".join(f"v{n}" for n in range(40)), '"><script>', "%0d%0aX: y"]
)
async def test_a_wish_that_is_not_well_formed_is_bounded_and_hurts_nobody(acr: str) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        location = await browser.until(login_url("/x", acr=acr), "/authorize?")

        values = parse_qs(urlsplit(location).query).get("acr_values", [""])[0].split(" ")
        assert len(values) <= 8
        assert all(len(value) <= 200 and value.isprintable() and value.isascii() for value in values)


async def test_wishes_may_be_combined_and_all_must_be_met() -> None:
    async with staged() as stage:
        provided(stage, mfa=schema.Mfa(acr=(TWO,)))
        browser = Browser(stage, factors="two")
        await browser.open(login_url("/"))
        stage.clock.ahead += 1200

        end = await browser.open(login_url("/x", mfa="1", max_age="600"))

        assert end.url == f"{WIKI}/x"
        assert asked_of_provider(browser)["max_age"] == ["600"]
        session = await stage.session_of(browser, WIKI)
        assert session is not None
        assert stage.clock() - (session.identity.auth_time or 0) < 60
