"""A browser shows which device it is on, by the agent there or by its certificate; and whoever has none cannot."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from web_laptops import PROVE, asked_of, bound, configure, enrolled, issued, shows
from web_stage import GRAFANA, LOGIN, NAVIGATE, WIKI, Browser, Stage, staged

from proxy.settings import schema


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged("corp") as made:
        configure(made, enrolment="open")
        yield made


class TestProof:
    async def test_an_app_asks_and_the_agent_answers(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        page = await browser.open(f"{PROVE}?return={WIKI}/page?x=1")
        assert "connect-src 'self' http://127.0.0.1:47813" in page.headers["Content-Security-Policy"]
        assert asked_of(page)["agent"] == "http://127.0.0.1:47813/prove"
        answer = await shows(stage, browser, laptop, page)
        assert json.loads(answer.text) == {"next": f"{WIKI}/page?x=1"}
        tie = await bound(stage, browser)
        assert (tie.device, tie.binding, tie.address) == (laptop.id, "agent", "192.0.2.7")
        assert [fields["device"] for fields in stage.events_called("device-proved")] == [laptop.id]

    async def test_the_session_is_worthless_from_elsewhere(self, stage: Stage) -> None:
        """The thief has the cookies of the login host, and a device of their own, enrolled by themselves."""
        browser, eve = Browser(stage), Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        await shows(stage, browser, laptop, await browser.open(PROVE))
        await eve.open(f"{LOGIN}/", person="bob")
        own = await enrolled(stage, eve)
        thief = Browser(stage, jar={host: dict(jar) for host, jar in browser.jar.items()}, address="203.0.113.9")
        assert (await thief.fetch(f"{LOGIN}/", headers=dict(NAVIGATE))).status == 303, "the portal tells them nothing"
        page = await thief.open(PROVE)
        said = json.loads((await shows(stage, thief, own, page)).text)
        assert said["reason"] == "device-refused"
        assert said["detail"] == "The device was enrolled by somebody else."
        assert (await bound(stage, browser)).address == "192.0.2.7"
        assert (await thief.post(f"{LOGIN}/.ostiary/device/code", {})).status == 401

    async def test_nor_can_the_same_person_move_it_to_another_device(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        first, second = await enrolled(stage, browser), await enrolled(stage, browser)
        await shows(stage, browser, first, await browser.open(PROVE))
        stage.clock.ahead += 601
        page = await browser.open(PROVE)
        said = json.loads((await shows(stage, browser, second, page)).text)
        assert "belongs to another device" in said["detail"]
        assert (await shows(stage, browser, first, await browser.open(PROVE))).status == 200

    async def test_a_proof_seen_on_the_way_works_once(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        page = await browser.open(PROVE)
        assert (await shows(stage, browser, laptop, page)).status == 200
        assert "challenge was used before" in (await shows(stage, browser, laptop, page)).text

    async def test_another_site_cannot_post_it(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        answer = await shows(stage, browser, laptop, await browser.open(PROVE), site="cross-site")
        assert answer.status == 403
        assert await bound(stage, browser) is None

    async def test_whoever_comes_again_is_handed_this_session(self, stage: Stage) -> None:
        """The app host had another session of this browser: going straight back would ask for ever."""
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        await shows(stage, browser, laptop, await browser.open(PROVE))
        back = await browser.fetch(f"{PROVE}?return={GRAFANA}/dash/1", headers=dict(NAVIGATE))
        assert back.location == f"{GRAFANA}/.ostiary/login?return=/dash/1"
        for _ in range(12):
            back = await browser.fetch(f"{PROVE}?return={GRAFANA}/dash/1", headers=dict(NAVIGATE))
            if back.status == 200:
                break
        assert "although it has answered" in back.text
        assert "data-again" in back.text

    @pytest.mark.parametrize(
        "target", ["https://evil.test/", "//evil.test", "/\\evil.test", "https://login.apps.test:8443@evil.test/"]
    )
    async def test_it_leads_nowhere_else(self, stage: Stage, target: str) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        answer = await shows(stage, browser, laptop, await browser.open(f"{PROVE}?return={target}"))
        assert json.loads(answer.text)["next"].startswith(f"{LOGIN}/")
        assert "evil.test" not in (await browser.open(f"{PROVE}?next={target}&return={target}")).text

    async def test_nobody_is_logged_in(self, stage: Stage) -> None:
        browser = Browser(stage)
        answer = await browser.fetch(f"{PROVE}?return={WIKI}/page", headers=dict(NAVIGATE))
        assert answer.location == f"{WIKI}/.ostiary/login?return=/page"


class TestAtLogin:
    async def test_a_browser_that_showed_its_device_does_so_by_itself(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        await shows(stage, browser, laptop, await browser.open(PROVE))
        await browser.post(f"{LOGIN}/.ostiary/logout", {})
        page = await browser.open(f"{WIKI}/.ostiary/login?return=/page")
        assert page.url.startswith(f"{PROVE}?next=")
        answer = await shows(stage, browser, laptop, page)
        onward = json.loads(answer.text)["next"]
        assert onward.startswith(f"{WIKI}/.ostiary/session?ticket=")
        arrived = await browser.fetch(onward, headers=dict(NAVIGATE))
        assert arrived.location == f"{WIKI}/page"
        assert (await bound(stage, browser, WIKI)).device == laptop.id

    async def test_somebody_else_at_the_same_browser_does_not(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        await shows(stage, browser, laptop, await browser.open(PROVE))
        await browser.post(f"{LOGIN}/.ostiary/logout", {})
        page = await browser.open(f"{LOGIN}/.ostiary/login?return=/&prompt=login", person="bob")
        assert page.url == f"{LOGIN}/"

    async def test_a_certificate_ties_it_at_once(self, stage: Stage) -> None:
        configure(stage, certificates=schema.DeviceCertificates(by="fingerprint"))
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        sha256 = "ab" * 32
        await issued(stage, laptop, sha256)
        other = Browser(stage, certificate=sha256)
        await other.open(f"{LOGIN}/")
        tie = await bound(stage, other)
        assert (tie.device, tie.binding, tie.certificate) == (laptop.id, "certificate", sha256)
        other.certificate = ""
        assert (await other.fetch(f"{LOGIN}/", headers=dict(NAVIGATE))).status == 303, "without it, nobody"

    async def test_a_renewed_certificate_of_the_same_device_ties_it_anew(self, stage: Stage) -> None:
        configure(stage, certificates=schema.DeviceCertificates(by="fingerprint"))
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        await issued(stage, laptop, "ab" * 32)
        browser.certificate = "ab" * 32
        await browser.open(f"{LOGIN}/.ostiary/login?return=/&prompt=login")
        assert (await bound(stage, browser)).certificate == "ab" * 32
        await issued(stage, laptop, "cd" * 32)
        browser.certificate = "cd" * 32
        back = await browser.fetch(f"{PROVE}?return={WIKI}/", headers=dict(NAVIGATE))
        assert back.location == f"{WIKI}/"
        assert (await bound(stage, browser)).certificate == "cd" * 32

    async def test_where_every_session_must_be_tied(self, stage: Stage) -> None:
        configure(stage, bind_sessions="required")
        browser = Browser(stage)
        page = await browser.open(f"{WIKI}/.ostiary/login?return=/page")
        assert page.url.startswith(PROVE)
        assert "Go on without" not in page.text
        assert "Add this device" in page.text
        laptop = await enrolled(stage, browser)
        page = await browser.open(page.url)
        answer = await shows(stage, browser, laptop, page)
        arrived = await browser.open(json.loads(answer.text)["next"])
        assert (await bound(stage, browser)).device == laptop.id
        assert arrived.url.startswith(WIKI)
