"""Devices on our pages: a person adds one, it reports, and it is removed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from device_people import Laptop
from web_laptops import JSON, PROVE, configure, enrolled, report, send, shows
from web_stage import LOGIN, WIKI, Browser, Stage, staged


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged("corp") as made:
        configure(made, enrolment="open")
        yield made


class TestPortal:
    async def test_a_device_from_command_to_removal(self, stage: Stage) -> None:
        browser = Browser(stage)
        assert "Add this device" in (await browser.open(f"{LOGIN}/")).text
        laptop = await enrolled(stage, browser)
        status, told = await report(stage, laptop, firewall=False)
        assert (status, told["note"]) == (200, "The firewall is off.")
        page = await browser.open(f"{LOGIN}/")
        for text in ("ann-laptop", "Linux · approved", "last report", "The firewall is off."):
            assert text in page.text
        gone = await browser.post(f"{LOGIN}/.ostiary/device/remove", {"device": laptop.id})
        assert (gone.status, gone.location) == (303, f"{LOGIN}/")
        assert "removed" in (await browser.open(f"{LOGIN}/")).text
        status, told = await send(Browser(stage), "nonce", device=laptop.id)
        assert (status, told["reason"], told["detail"]) == (403, "device-refused", "The device was removed.")
        assert [name for name, _ in stage.events] == ["login", "device-enrolled", "device-revoked", "device-refused"]

    async def test_removing_it_ends_the_sessions_on_it(self, stage: Stage) -> None:
        browser, other = Browser(stage), Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        await shows(stage, browser, laptop, await browser.open(PROVE))
        await other.open(f"{LOGIN}/")
        await other.post(f"{LOGIN}/.ostiary/device/remove", {"device": laptop.id})
        assert await stage.session_of(browser, LOGIN) is None
        assert await stage.session_of(other, LOGIN) is not None

    async def test_waiting_for_approval(self, stage: Stage) -> None:
        configure(stage, enrolment="approval")
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        _, told = await report(stage, laptop)
        assert told["note"] == "It waits until an administrator approves it."
        assert "waiting for approval" in (await browser.open(f"{LOGIN}/")).text
        await stage.devices.approve(laptop.id)
        assert "Linux · approved" in (await browser.open(f"{LOGIN}/")).text

    async def test_a_stale_login_adds_and_removes_nothing(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        stage.clock.ahead += 700
        await stage.sessions.store.touch([])
        page = await browser.open(f"{LOGIN}/")
        assert "Confirm that it is you" in page.text
        assert "/.ostiary/device/remove" not in page.text
        for path, form in (("code", {}), ("remove", {"device": laptop.id})):
            answer = await browser.post(f"{LOGIN}/.ostiary/device/{path}", form)
            assert (answer.status, answer.query["max_age"]) == (303, "600")
        assert stage.devices.counts(laptop.id)

    async def test_somebody_elses_device(self, stage: Stage) -> None:
        browser, bob = Browser(stage), Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        await bob.open(f"{LOGIN}/", person="bob")
        answer = await bob.post(f"{LOGIN}/.ostiary/device/remove", {"device": laptop.id})
        assert answer.status == 400
        assert stage.devices.counts(laptop.id)
        assert "ann-laptop" not in (await bob.open(f"{LOGIN}/")).text

    @pytest.mark.parametrize("path", ["code", "remove"])
    async def test_a_form_of_another_site(self, stage: Stage, path: str) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        answer = await browser.post(f"{LOGIN}/.ostiary/device/{path}", {}, site="cross-site")
        assert answer.status == 403
        assert "origin-refused" in answer.text

    async def test_where_enrolment_is_off(self, stage: Stage) -> None:
        configure(stage, enrolment="off")
        browser = Browser(stage)
        assert "Your devices" not in (await browser.open(f"{LOGIN}/")).text
        assert (await browser.post(f"{LOGIN}/.ostiary/device/code", {})).status == 403


class TestAgentsDoor:
    @pytest.mark.parametrize("path", ["enrol", "nonce", "report"])
    async def test_what_cannot_be_read(self, stage: Stage, path: str) -> None:
        agent, url = Browser(stage), f"{LOGIN}/.ostiary/device/{path}"
        for body in ("", "[]", "{", '{"jws": 1, "device": 1}', "[" * 9000, '{"jws": "\xff"}'.encode("latin-1")):
            answer = await agent.fetch(url, "POST", dict(JSON), data=body)
            assert (answer.status, json.loads(answer.text)["reason"]) == (400, "bad-request"), body
        answer = await agent.fetch(url, "POST", {"Content-Type": "text/plain"}, data="{}")
        assert answer.status == 400
        answer = await agent.fetch(url, "POST", dict(JSON), data='{"jws": "' + "x" * 70_000 + '"}')
        assert (answer.status, json.loads(answer.text)["reason"]) == (413, "body-too-large")
        assert (await agent.fetch(url, headers=dict(JSON))).status == 405
        other = await agent.fetch(f"{WIKI}/.ostiary/device/{path}", "POST", dict(JSON), data="{}")
        assert other.status == 404

    async def test_a_body_that_says_it_twice_or_a_number_without_end(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        asked = json.dumps({"device": laptop.id})
        numbers = laptop.wish("0000-0000-0000", stage.clock(), iat=int("9" * 400))
        for path, body, status, reason in (
            ("nonce", asked, 200, None),
            ("nonce", f'{asked[:-1]}, "device": "{laptop.id}"}}', 400, "bad-request"),
            ("nonce", f'{{"\\u0064evice": "", {asked[1:]}', 400, "bad-request"),
            ("report", '{"jws": "a.b.c", "jws": "a.b.c"}', 400, "bad-request"),
            ("enrol", json.dumps({"jws": numbers}), 403, "device-refused"),
        ):
            answer = await Browser(stage).fetch(f"{LOGIN}/.ostiary/device/{path}", "POST", dict(JSON), data=body)
            assert (answer.status, json.loads(answer.text).get("reason")) == (status, reason), body[:60]

    async def test_codes_cannot_be_searched(self, stage: Stage) -> None:
        agent, laptop = Browser(stage), Laptop()
        stage.clock.ahead = 0.0
        said = []
        for number in range(25):
            guess = laptop.wish(f"0000-0000-{number:04d}", stage.clock(), aud=LOGIN)
            said.append(await send(agent, "enrol", jws=guess))
        assert [status for status, _ in said[:20]] == [403] * 20
        assert said[-1][0] == 429
        assert said[-1][1]["reason"] == "too-many-attempts"
        other = Browser(stage, address="192.0.2.8")
        assert (await send(other, "enrol", jws=guess))[0] == 403, "the others may go on"
        refused = stage.events_called("device-refused")
        assert len(refused) == 21
        assert all(guess not in str(each) for each in refused)

    async def test_one_device_that_reports_without_end(self, stage: Stage) -> None:
        browser = Browser(stage)
        await browser.open(f"{LOGIN}/")
        laptop = await enrolled(stage, browser)
        said = [await send(Browser(stage), "report", jws=laptop.report("x", stage.clock())) for _ in range(12)]
        assert said[-1][0] == 429
        assert said[0][0] == 403
