"""No script of an app, nor whoever it tells, ever reads the provider's token when somebody logs out."""

from __future__ import annotations

import json
import re

import pytest
from web_stage import LOGIN, NAVIGATE, WIKI, Answer, Browser, Stage, login_url, staged

SAME = NAVIGATE | {"Sec-Fetch-Site": "same-origin"}
JWT = re.compile(r"eyJ[\w-]{8,}(\.|%2[eE]|\\u002[eE])eyJ")  # header and payload both begin with `{"`
SCRIPT = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


async def logged_in(stage: Stage, person: str = "alice") -> Browser:
    browser = Browser(stage)
    await browser.open(login_url("/"), person)
    return browser


def holds_a_token(answer: Answer) -> bool:
    """Anything in the answer that a script could read as the provider's token, also when it is escaped."""
    said = f"{answer.status} {list(answer.headers.items())} {answer.text}"
    return JWT.search(said) is not None or "id_token" in said


@pytest.mark.parametrize("origin", [WIKI, LOGIN])
@pytest.mark.parametrize(
    "headers",
    [
        SCRIPT | {"Accept": "application/json"},
        SCRIPT | {"Accept": "text/html"},
        SAME,
        {"Accept": "text/html"},
        {"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"},
    ],
    ids=["fetch", "fetch-html", "form", "old-form", "old-script"],
)
async def test_no_answer_to_a_logout_holds_a_token(origin: str, headers: dict[str, str]) -> None:
    async with staged() as stage:
        browser = await logged_in(stage)

        answer = await browser.fetch(f"{origin}/.ostiary/logout", "POST", headers | {"Origin": origin})

        assert answer.status in (200, 303)
        assert not holds_a_token(answer)
        assert await stage.session_of(browser, LOGIN) is None


async def reference_of(browser: Browser) -> str:
    """What a script of the wiki gets when it logs the person out."""
    answer = await browser.fetch(f"{WIKI}/.ostiary/logout", "POST", SCRIPT)
    return str(json.loads(answer.body)["continue"])


async def test_a_script_cannot_fetch_what_it_was_told_to_continue_with() -> None:
    async with staged() as stage:
        browser = await logged_in(stage)
        reference = await reference_of(browser)

        for mode, dest in (("cors", "empty"), ("no-cors", "image"), ("navigate", "iframe")):
            fetched = await browser.fetch(reference, headers={"Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest})
            assert fetched.status == 403
            assert not holds_a_token(fetched)
        assert "here and at Corporate login" in (await browser.open(reference)).text, "it was not used up by that"


async def test_a_reference_that_was_carried_off_tells_nothing() -> None:
    async with staged() as stage:
        browser, thief, mallory = await logged_in(stage), Browser(stage), await logged_in(stage, "bob")
        for somebody in (thief, mallory):
            stolen = await somebody.fetch(await reference_of(browser))
            assert stolen.location.startswith(f"{stage.idps['corp'].issuer}/logout?")
            assert not holds_a_token(stolen), "not the browser that logged in"
            browser = await logged_in(stage)


@pytest.mark.parametrize("spoilt", ["used", "late", "forged", "elsewhere"])
async def test_a_reference_works_once_and_not_for_long(spoilt: str) -> None:
    async with staged() as stage:
        browser = await logged_in(stage)
        reference = await reference_of(browser)
        proofs = dict(browser.jar["login.apps.test"])
        if spoilt == "used":
            await browser.fetch(reference)
            browser.jar["login.apps.test"] = proofs
        elif spoilt == "late":
            stage.clock.ahead = 121
        elif spoilt == "forged":
            reference = reference[:-9] + "AAAAAAAAA"
        else:
            reference = reference.replace(LOGIN, WIKI)

        answer = await browser.fetch(reference)

        assert not holds_a_token(answer)
        if spoilt == "elsewhere":
            assert answer.status == 404
        else:
            assert (answer.status, answer.location) == (303, f"{LOGIN}/.ostiary/logged-out")
