"""What a kept form costs, and whom: nothing is taken apart for strangers, and nobody has too many kept."""

from __future__ import annotations

import threading

import msgspec
import pytest
from test_web_interrupted import BODY, FORM, give_back, interrupt, kept
from web_stage import WIKI, Answer, Browser, login_url, staged

from proxy.web import interrupted
from proxy.web.form_body import Form, read_body
from proxy.web.rate_limit import Limits

LARGE = b"a=" + b"%41" * 80_000


def most() -> int:
    """How many forms one address has kept at once."""
    limits = Limits()
    return next(number for number in range(1000) if not limits.forms.allows("somebody", 0.0))


def said(page: Answer) -> str:
    return page.text.partition("<h1>")[2]


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads in which a form was taken apart."""
    threads: list[int] = []

    def noted(content_type: str, body: bytes) -> Form:
        threads.append(threading.get_ident())
        return read_body(content_type, body)

    monkeypatch.setattr(interrupted, "read_body", noted)
    return threads


async def test_a_form_is_taken_apart_for_its_owner_only_and_a_large_one_off_the_loop(readings: list[int]) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        small, _ = kept(await interrupt(browser))
        large, _ = kept(await interrupt(browser, LARGE))
        assert (await give_back(browser, large)).status == 401
        assert readings == [], "anybody may come so far"

        await browser.open(login_url("/"))
        fields = msgspec.json.decode((await give_back(browser, large)).body)["fields"]

        assert fields == [{"name": "a", "value": "A" * 80_000}]
        assert threading.get_ident() not in readings
        assert (await give_back(browser, small)).status == 200
        assert readings[1:] == [threading.get_ident()], "a small one is not worth a thread"


async def test_what_only_its_owner_learns_to_be_no_form(readings: list[int]) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(login_url("/"))
        sealed, _ = kept(await interrupt(browser, b"a=100%"))
        answer = await give_back(browser, sealed)
        assert (answer.status, "cannot be read" in answer.text) == (400, True)
        assert len(readings) == 1
        assert "sent already" in (await give_back(browser, sealed)).text, "it is not read a second time"


async def test_an_address_that_sends_too_many_keeps_its_way_to_the_login() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        challenge = "/.ostiary/login?return=/save&max_age=600"
        for _ in range(most()):
            assert (await interrupt(browser)).status == 200

        page = await interrupt(browser, challenge=challenge)

        assert page.status == 429
        assert int(page.headers["Retry-After"]) > 0
        assert "was not sent and is not kept" in said(page)
        assert f'href="{challenge.replace("&", "&amp;")}"' in said(page), "the challenge is where it was"
        assert "data-sealed" not in page.text
        end = await browser.open(WIKI + challenge)
        assert end.status != 429
        assert await stage.session_of(browser, WIKI) is not None
        assert (await interrupt(Browser(stage, address="192.0.2.8"))).status == 200, "another address is another's"
        stage.clock.ahead += 60
        assert (await interrupt(browser)).status == 200


async def test_one_session_does_not_use_up_the_share_of_its_office() -> None:
    async with staged() as stage:
        busy, colleague = Browser(stage), Browser(stage)
        for browser, person in ((busy, "alice"), (colleague, "bob")):
            await browser.open(login_url("/"), person=person)
        answers = [(await interrupt(busy)).status for _ in range(most())]
        assert answers[0] == 200
        assert answers[-1] == 429
        assert answers.count(200) < most()
        assert (await interrupt(colleague)).status == 200
        assert (await interrupt(Browser(stage))).status == 200, "and who has yet to log in"


async def test_what_is_not_kept_anyway_counts_for_nothing() -> None:
    """Another site cannot use up the share of its visitors."""
    async with staged() as stage:
        browser = Browser(stage)
        for _ in range(most()):
            assert (await interrupt(browser, site="cross-site")).status == 403
        assert (await interrupt(browser)).status == 200


async def test_more_fields_than_a_form_has_are_refused_at_once(readings: list[int]) -> None:
    async with staged() as stage:
        browser = Browser(stage)
        for body, kind in (
            (b"&" * 200_000, FORM),
            (b"--B\r\n" * 40_000, "multipart/form-data; boundary=B"),
            (b"--B\r\n" * 40_000 + b"--B--\r\n", "multipart/form-data; boundary=B"),
        ):
            assert (await interrupt(browser, body, kind)).status == 400
        assert (await interrupt(browser, BODY)).status == 200
        assert readings == []
