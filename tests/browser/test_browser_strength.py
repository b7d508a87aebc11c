"""A second factor and an interrupted form in a real browser, with a virtual authenticator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pyotp
import pytest
import pytest_asyncio
from browser_person import REFUSED
from browser_strength import Strong, passkey_in, strong

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Strong]:
    """The product."""
    async with strong(tmp_path_factory.mktemp("strong")) as one:
        yield one


async def enrol(tab: Any) -> None:
    """From the page that says that a second factor is needed, to the app."""
    await tab.get_by_role("link", name="Set one up").click()
    await tab.get_by_label("What to call it").fill("My laptop")
    await tab.get_by_role("button", name="Add a passkey").click()
    await tab.get_by_role("heading", name="Your recovery codes").wait_for()
    assert await tab.locator(".codes li").count() == 10
    await tab.get_by_role("link", name="Continue to Expenses").click()


async def test_a_passkey_is_enrolled_on_the_way_and_used_the_next_time(house: Strong, person: Any) -> None:
    alice = await person(house)
    wanted = house.url("forms", "/pay/list?page=2#row-7")
    tab = await alice.log_in("Alice", "headers")
    await passkey_in(tab)

    await tab.goto(wanted)
    await tab.get_by_role("heading", name="A second factor is needed here").wait_for()
    await enrol(tab)
    await tab.wait_for_url("**/pay/list?page=2*")
    assert await tab.title() == "Expenses"

    await alice.context.clear_cookies()
    await tab.goto("about:blank")  # else only the fragment would change
    await tab.goto(wanted)
    await alice.answer(tab, "Alice")
    await tab.get_by_role("heading", name="Please confirm that it is you").wait_for()
    assert await tab.evaluate("document.activeElement.textContent") == "Use a passkey"
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(wanted)

    factors = [line for line in house.decisions() if line.get("type") == "factor"]
    assert [line["note"] for line in factors[-3:]] == [
        "why: Passkey: My laptop",
        "provider: head, why: passkey My laptop",
        "provider: head, why: passkey My laptop",
    ]


async def test_only_what_asks_for_it_asks_for_it(house: Strong, person: Any) -> None:
    bob = await person(house)
    tab = await bob.log_in("Bob", "headers")
    await tab.goto(house.url("forms"))
    assert await tab.title() == "Expenses"


async def test_whoever_cancels_is_told_and_may_try_again(house: Strong, person: Any) -> None:
    carol = await person(house)
    tab = await carol.log_in("Carol", "headers")
    protocol = await passkey_in(tab, isUserVerified=False)
    await tab.goto(house.url("forms", "/pay/list"))
    await tab.get_by_role("link", name="Set one up").click()
    await tab.get_by_role("button", name="Add a passkey").click()
    await tab.locator("#problem").filter(has_text="cancelled, or took too long").wait_for()
    assert await tab.get_by_role("button", name="Add a passkey").is_enabled()
    await protocol.detach()


async def test_a_form_with_a_file_that_needs_more_is_sent_once_after_it(house: Strong, person: Any) -> None:
    dave = await person(house)
    tab = await dave.log_in("Dave", "headers")
    await passkey_in(tab)
    await tab.goto(house.url("forms"))
    house.sent.clear()
    receipt = bytes(range(256)) * 20
    await tab.fill("[name=note]", "Lunch,\nwith “Ada” & co")
    await tab.set_input_files(
        "[name=receipt]", {"name": 'a "b" ü.bin', "mimeType": "application/x-test", "buffer": receipt}
    )
    await tab.get_by_role("button", name="Send").click()

    await tab.get_by_role("heading", name="A second factor is needed here").wait_for()
    assert house.sent == []
    await enrol(tab)

    await tab.get_by_role("heading", name="Saved").wait_for()
    assert tab.url == house.url("forms", "/pay/save?draft=1")
    (sent,) = house.sent
    assert (sent.target, sent.kind) == ("/pay/save?draft=1", "multipart/form-data")
    assert sent.fields == [
        ("amount", "42 €"),
        ("note", "Lunch,\r\nwith “Ada” & co"),
        ("receipt", ("a %22b%22 ü.bin", "application/x-test", receipt)),  # as browsers write quotes
    ]
    await tab.go_back()
    await tab.wait_for_load_state()
    assert len(house.sent) == 1, "going back sends nothing again"


@pytest.mark.parametrize(
    ("button", "target", "body"),
    [("Quick", "/pay/quick", b"quick=a%26b%3Dc"), ("Plain", "/seldom", b"plain=x=y\r\n")],
)
async def test_a_form_sent_after_the_session_was_ended_arrives_after_the_login(
    house: Strong, person: Any, button: str, target: str, body: bytes
) -> None:
    alice = await person(house)
    alice.expects(REFUSED)
    tab = await alice.log_in("Alice", "forms")
    await passkey_in(tab)
    house.sent.clear()
    await house.ostiary("factors", "reset", "head:alice") if button == "Quick" else None
    await house.revoke(*await house.sessions_of("alice@example.com"))
    await tab.get_by_role("button", name=button).click()
    if button == "Quick":
        await tab.get_by_role("heading", name="A second factor is needed here").wait_for()
        await enrol(tab)
    await tab.get_by_role("heading", name="Saved").wait_for()
    assert [(sent.target, sent.body) for sent in house.sent] == [(target, body)]


async def test_an_app_and_a_recovery_code_by_keyboard(house: Strong, person: Any) -> None:
    erin = await person(house)
    erin.expects(REFUSED)
    tab = await erin.log_in("Bob", "headers")
    await tab.goto(house.url("login", "/"))
    await tab.get_by_role("link", name="Set one up").click()
    await tab.get_by_role("link", name="Add an app").click()
    await tab.get_by_text("I cannot scan it").click()
    app = pyotp.TOTP((await tab.inner_text("#key")).replace(" ", ""))
    await tab.get_by_label("What to call it").fill("Phone")
    await tab.get_by_label("Code the app shows").fill("000000")
    await tab.keyboard.press("Enter")
    await tab.get_by_role("alert").filter(has_text="That code was not right").wait_for()
    await tab.get_by_label("Code the app shows").fill(app.now())
    await tab.keyboard.press("Enter")
    await tab.get_by_role("heading", name="Your recovery codes").wait_for()
    codes = await tab.locator(".codes li").all_inner_texts()

    await erin.context.clear_cookies()
    await tab.goto(house.url("forms", "/pay/list"))
    await erin.answer(tab, "Bob")
    await tab.get_by_text("Use a recovery code").click()
    await tab.get_by_label("Recovery code").fill(codes[0].upper())
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(house.url("forms", "/pay/list"))
