"""Our own second factor: enrolled by whoever has just logged in, asked for where a page wants it, and nowhere else."""

from __future__ import annotations

import pyotp
import pytest
from strength_stage import (
    SoftPasskey,
    enrol_app,
    enrol_passkey,
    form,
    forms,
    options,
    own_factors,
    provided,
    recovery_codes,
)
from web_stage import GRAFANA, LOGIN, NAVIGATE, WIKI, Answer, Browser, Stage, login_url, staged

from proxy.web.endpoints import FACTORS, PORTAL, SECOND_FACTOR, SESSION_COOKIE

MINUTES = 60.0


async def logged_in(stage: Stage) -> Browser:
    """Somebody whose provider has no second factor."""
    own_factors(stage)
    browser = Browser(stage)
    await browser.open(login_url("/"))
    return browser


async def shown(browser: Browser, path: str = FACTORS) -> Answer:
    return await browser.fetch(LOGIN + path, headers=dict(NAVIGATE))


async def follow(browser: Browser, answer: Answer) -> Answer:
    """Go on where an answer to a form leads."""
    onward = answer.onward()
    return await browser.open(onward[0] if onward else answer.location)


class TestStepUp:
    async def test_a_code_lets_one_through_to_what_one_was_doing(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            app = await enrol_app(browser)
            stage.clock.ahead += 20 * MINUTES
            before = await stage.session_of(browser, LOGIN)
            assert before is not None
            asked_at = stage.clock()

            page = await browser.open(login_url("/pay?bill=7", mfa="1", max_age="600"))

            assert page.url.startswith(LOGIN + SECOND_FACTOR)
            assert "<strong>Wiki</strong> asks for more than your login" in page.text
            assert not any("/authorize" in url for url in browser.visited), "the provider has nothing to do with it"
            where, fields = form(page, way="code")
            answer = await browser.post(where, fields | {"code": app.at(stage.clock())})
            assert (await follow(browser, answer)).url == f"{WIKI}/pay?bill=7"
            after = await stage.session_of(browser, WIKI)
            assert after is not None
            assert after.sid == before.sid
            assert after.identity.second_factor == ("otp",)
            assert (after.identity.second_factor_at or 0) >= asked_at
            assert stage.events_called("factor-used")[-1]["why"] == "authenticator app Phone"

    async def test_a_passkey_does_too_and_says_what_kind_it_is(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            key = await enrol_passkey(browser)
            synced = await enrol_passkey(browser, synced=True)
            for one, methods in ((key, ("hwk", "user")), (synced, ("swk", "user"))):
                stage.clock.ahead += 20 * MINUTES
                page = await browser.open(login_url("/pay", max_age="600"))
                where, fields = form(page, way="passkey")
                answer = await browser.post(where, fields | {"answer": one.get(options(page), LOGIN)})
                assert (await follow(browser, answer)).url == f"{WIKI}/pay"
                session = await stage.session_of(browser, WIKI)
                assert session is not None
                assert session.identity.second_factor == methods

    async def test_a_recovery_code_does_too_once(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            await enrol_app(browser)
            where, fields = form(await shown(browser), do="recovery")
            code = recovery_codes(await browser.post(where, fields))[2]
            stage.clock.ahead += 20 * MINUTES

            page = await browser.open(login_url("/pay", max_age="600"))
            where, fields = form(page, way="recovery")
            assert (await browser.post(where, fields | {"code": code.upper()})).status == 200
            session = await stage.session_of(browser, LOGIN)
            assert session is not None
            assert session.identity.second_factor == ("kba",), "not an app, and no key"
            again = await browser.post(where, fields | {"code": code})
            assert again.status == 403

    async def test_who_has_confirmed_is_not_asked_again(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            await enrol_app(browser)
            assert (await browser.open(login_url("/pay", mfa="1"))).url == f"{WIKI}/pay"
            assert (await browser.open(login_url("/dash/", GRAFANA, mfa="1"))).url == f"{GRAFANA}/dash/"

    async def test_handles_from_before_stop_working(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            app = await enrol_app(browser)
            await browser.open(login_url("/"))
            stolen = browser.jar["wiki.apps.test"][SESSION_COOKIE]
            stage.clock.ahead += 20 * MINUTES
            where, fields = form(await browser.open(login_url("/pay", max_age="600")), way="code")
            await browser.post(where, fields | {"code": app.at(stage.clock())})

            thief = Browser(stage, jar={"wiki.apps.test": {SESSION_COOKIE: stolen}})
            assert await stage.session_of(thief, WIKI) is None

    async def test_somebody_new_logs_in_first_and_confirms_then(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            app = await enrol_app(browser)
            stage.clock.ahead += 5 * MINUTES
            other = Browser(stage)

            page = await other.open(login_url("/pay", mfa="1"))

            assert page.url.startswith(LOGIN + SECOND_FACTOR)
            assert any("/authorize" in url for url in other.visited)
            where, fields = form(page, way="code")
            answer = await other.post(where, fields | {"code": app.at(stage.clock())})
            assert (await follow(other, answer)).url == f"{WIKI}/pay"

    async def test_who_has_no_factor_is_shown_how_to_get_one_and_then_goes_on(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)

            page = await browser.open(login_url("/pay?x=1", mfa="1"))

            assert "you have not set up a second factor yet" in page.text
            setup = page.text.split('class="btn main" href="')[1].split('"')[0].replace("&amp;", "&")
            page = await shown(browser, f"{setup}&add=code")
            where, fields = form(page, do="code")
            key = page.text.split('id="key">')[1].split("<")[0].replace(" ", "")
            done = await browser.post(where, fields | {"code": pyotp.TOTP(key).at(stage.clock())})
            assert len(recovery_codes(done)) == 10
            assert "Continue to Wiki" in done.text
            onward = done.text.split('class="btn main" href="')[1].split('"')[0].replace("&amp;", "&")
            assert (await browser.open(LOGIN + onward)).url == f"{WIKI}/pay?x=1"

    async def test_for_mere_freshness_who_has_none_goes_to_the_provider(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            stage.clock.ahead += 20 * MINUTES
            assert (await browser.open(login_url("/pay", max_age="600"))).url == f"{WIKI}/pay"
            assert any("/authorize" in url for url in browser.visited)

    async def test_a_kind_of_login_only_the_provider_can_give(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            await enrol_app(browser)
            await browser.open(login_url("/pay", acr="urn:better", mfa="1"))
            assert any("/authorize" in url for url in browser.visited)

    async def test_where_the_provider_has_factors_ours_are_not_asked_for(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            await enrol_app(browser)
            provided(stage, step_up="provider")
            page = await browser.fetch(f"{LOGIN}{SECOND_FACTOR}?return=/&mfa=1", headers=dict(NAVIGATE))
            assert page.location.startswith(f"{LOGIN}/.ostiary/login")
            assert (await shown(browser)).status == 404


class TestAttacks:
    async def test_guessing_is_limited_recorded_and_told(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            app = await enrol_app(browser)
            stage.clock.ahead += 20 * MINUTES
            where, fields = form(await browser.open(login_url("/pay", max_age="600")), way="code")
            said = [(await browser.post(where, fields | {"code": f"{n:06}"})).status for n in range(7)]
            assert said == [403] * 5 + [429] * 2
            late = await browser.post(where, fields | {"code": app.at(stage.clock())})
            assert late.status == 429, "also the right one"
            assert late.headers["Retry-After"] == "900"
            assert "Too many wrong ones. Try again in 15 minutes" in late.text
            failed = stage.events_called("factor-failed")
            assert [event["reason"].value for event in failed] == ["second-factor-failed"] * 5 + [
                "too-many-attempts"
            ] * 3
            session = await stage.session_of(browser, LOGIN)
            assert session is not None
            assert (session.identity.second_factor_at or 0) < stage.clock() - 10 * MINUTES

    async def test_another_site_cannot_post_here(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            app = await enrol_app(browser)
            stage.clock.ahead += 20 * MINUTES
            where, fields = form(await browser.open(login_url("/pay", max_age="600")), way="code")
            for site in ("cross-site", "same-site", "none"):
                answer = await browser.post(where, fields | {"code": app.at(stage.clock())}, site)
                assert (answer.status, "origin-refused" in answer.text) == (403, True)
            for site in ("cross-site", "same-site", "none"):
                answer = await browser.post(LOGIN + FACTORS, {"do": "remove", "factor": "x"}, site)
                assert "origin-refused" in answer.text

    async def test_a_stolen_cookie_enrols_nothing(self) -> None:
        """Ten minutes after the login the cookie alone is not enough; the provider asks its person again."""
        async with staged() as stage:
            browser = await logged_in(stage)
            enrolling = await shown(browser)
            stage.clock.ahead += 11 * MINUTES
            page = await shown(browser)
            assert "confirm first that it is you" in page.text
            assert forms(page) == []
            assert "prompt=login" in page.text
            assert "I cannot scan it" not in (await shown(browser, f"{FACTORS}?add=code")).text
            where, fields = form(enrolling, do="passkey")
            late = await browser.post(where, fields | {"answer": SoftPasskey().create(options(enrolling), LOGIN)})
            assert late.status == 403
            assert stage.events_called("factor-added") == []

    async def test_a_stolen_password_enrols_nothing_once_there_is_a_factor(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            app = await enrol_app(browser)
            stage.clock.ahead += 20 * MINUTES
            thief = Browser(stage)
            await thief.open(login_url("/"))  # a fresh login, as alice

            page = await shown(thief)

            assert forms(page) == []
            assert "confirm=1" in page.text
            answer = await thief.post(LOGIN + FACTORS, {"do": "recovery"})
            assert recovery_codes(answer) == []
            hurdle = page.text.split('class="btn main" href="')[1].split('"')[0].replace("&amp;", "&")
            page = await shown(thief, hurdle)
            where, fields = form(page, way="code")
            answer = await thief.post(where, fields | {"code": app.at(stage.clock())})  # the real alice
            back = await follow(thief, answer)
            assert back.url.startswith(LOGIN + FACTORS)
            assert forms(back) != []

    async def test_confirming_to_change_things_is_asked_for_however_well_one_is_known(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            await enrol_app(browser)
            page = await shown(browser, f"{SECOND_FACTOR}?return={FACTORS}&confirm=1")
            assert form(page, way="code")

    async def test_a_challenge_of_another_session_is_refused(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            key = await enrol_passkey(browser)
            stage.clock.ahead += 20 * MINUTES
            page = await browser.open(login_url("/pay", max_age="600"))
            other = Browser(stage)
            await other.open(login_url("/"))
            theirs = await other.open(login_url("/pay", mfa="1"))
            where, fields = form(theirs, way="passkey")
            mixed = fields | {"sealed": form(page, way="passkey")[1]["sealed"]}
            answer = await other.post(where, mixed | {"answer": key.get(options(page), LOGIN)})
            assert answer.status == 403

    @pytest.mark.parametrize(
        "body", [b"way=code&way=passkey&code=1", b"\xff=1", b"way", b"", b"way=none", b"a=1&" * 50]
    )
    async def test_a_form_that_is_none_is_refused(self, body: bytes) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            await enrol_app(browser)
            for path in (SECOND_FACTOR, FACTORS):
                answer = await browser.fetch(
                    LOGIN + path,
                    "POST",
                    {**NAVIGATE, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"},
                    data=body,
                )
                assert answer.status == 400

    async def test_only_the_login_host_answers_and_only_who_is_logged_in(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            for path in (SECOND_FACTOR, FACTORS):
                assert (await browser.fetch(WIKI + path, headers=dict(NAVIGATE))).status == 404
                nobody = Browser(stage)
                answer = await nobody.fetch(LOGIN + path, headers=dict(NAVIGATE))
                assert answer.location.startswith(f"{LOGIN}/.ostiary/login?return=")
                assert (await nobody.post(LOGIN + path, {"way": "code", "code": "1"})).status == 401


class TestPortal:
    async def test_it_says_what_one_has(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            assert "You have none yet" in (await shown(browser, PORTAL)).text
            await enrol_app(browser)
            page = await shown(browser, PORTAL)
            assert "Phone" in page.text
            assert f'href="{FACTORS}"' in page.text
            provided(stage, step_up="provider")
            assert "Second factor" not in (await shown(browser, PORTAL)).text

    async def test_one_is_added_and_removed_on_record(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            await enrol_app(browser)
            await enrol_passkey(browser)
            page = await shown(browser)
            assert "You have 10 left" in page.text
            removing = [each for each in forms(page) if each[1].get("do") == "remove"]
            assert len(removing) == 2
            await browser.post(*removing[0])
            page = await shown(browser)
            assert len([each for each in forms(page) if each[1].get("do") == "remove"]) == 1
            said = [(name, fields["why"]) for name, fields in stage.events if name.startswith("factor")]
            assert said == [
                ("factor-added", "Authenticator app: Phone"),
                ("factor-used", "authenticator app Phone"),
                ("factor-added", "Passkey: Key"),
                ("factor-used", "passkey Key"),
                ("factor-removed", "Authenticator app: Phone"),
            ]

    async def test_a_mistyped_first_code_shows_the_same_picture_again(self) -> None:
        async with staged() as stage:
            browser = await logged_in(stage)
            page = await shown(browser, f"{FACTORS}?add=code")
            where, fields = form(page, do="code")
            again = await browser.post(where, fields | {"code": "000000"})
            assert again.status == 403
            assert "That code was not right" in again.text
            assert page.text.split("<path fill")[1][:2000] == again.text.split("<path fill")[1][:2000]
