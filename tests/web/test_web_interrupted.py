"""A form posted when one must log in first: kept by the browser, sealed, and given back once, to the right one."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import quote

import msgspec
import pytest
from strength_stage import own_factors
from web_stage import GRAFANA, LOGIN, NAVIGATE, WIKI, Answer, Browser, Stage, login_url, staged

from proxy.web.endpoints import BIND_COOKIE, CHALLENGE_HEADER, INTERRUPTED, RESUME, TARGET_HEADER
from proxy.web.interrupted import LIFETIME

FORM = "application/x-www-form-urlencoded"
BODY = b"title=Minutes&text=a%0D%0Ab&tag=x&tag=y"


async def interrupt(
    browser: Browser,
    body: bytes = BODY,
    kind: str = FORM,
    *,
    origin: str = WIKI,
    target: str = "/save?draft=1",
    challenge: str = "",
    site: str = "same-origin",
) -> Answer:
    """What the gateway does with such a form: it relays it here, with managed fields of its own."""
    headers = {
        **NAVIGATE,
        "Sec-Fetch-Site": site,
        "Content-Type": kind,
        TARGET_HEADER: target,
        CHALLENGE_HEADER: challenge or f"/.ostiary/login?return={target}&max_age=600",
    }
    return await browser.fetch(origin + INTERRUPTED, "POST", headers, data=body)


def kept(page: Answer) -> tuple[str, str]:
    """(sealed form, where the page's script goes) as that script reads them."""
    sealed, onward = re.search(r'data-sealed="([^"]+)"', page.text), re.search(r'data-kept="([^"]+)"', page.text)
    assert sealed, page.text
    assert onward, page.text
    return sealed[1], html.unescape(onward[1])


async def give_back(browser: Browser, sealed: str, origin: str = WIKI, site: str = "same-origin") -> Answer:
    """What the script of the page at the end asks."""
    headers = {
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Site": site,
        "Content-Type": "text/plain",
    }
    return await browser.fetch(origin + RESUME, "POST", headers, data=sealed.encode())


async def kept_by_alice(stage: Stage) -> tuple[Browser, str]:
    """Alice, logged in, whose form waits for a fresh login."""
    browser = Browser(stage)
    await browser.open(login_url("/"))
    sealed, _ = kept(await interrupt(browser))
    return browser, sealed


async def test_a_form_waits_for_the_login_and_is_given_back_as_it_was() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        page = await interrupt(browser)
        assert page.status == 200
        sealed, onward = kept(page)
        assert onward.startswith("/.ostiary/login?return=%2F.ostiary%2Fresume%3Fid%3D")
        assert onward.endswith("&max_age=600")

        end = await browser.open(WIKI + onward)

        assert end.url.startswith(f"{WIKI}{RESUME}?id=")
        assert 'id="resume"' in end.text
        answer = await give_back(browser, sealed)
        assert answer.status == 200
        assert json.loads(answer.body) == {
            "target": "/save?draft=1",
            "type": FORM,
            "charset": "utf-8",
            "fields": [
                {"name": "title", "value": "Minutes"},
                {"name": "text", "value": "a\r\nb"},
                {"name": "tag", "value": "x"},
                {"name": "tag", "value": "y"},
            ],
        }
        assert answer.headers["Cache-Control"] == "no-store"


async def test_nothing_of_the_form_is_readable_outside() -> None:
    async with staged() as stage:
        page = await interrupt(Browser(stage))
        assert b"Minutes" not in page.body


async def test_a_challenge_on_another_host_leads_back_to_this_one() -> None:
    async with staged() as stage:
        page = await interrupt(Browser(stage), challenge=f"{LOGIN}/.ostiary/device/prove?return={WIKI}/save&x=1")
        _, onward = kept(page)
        assert onward.startswith(f"{LOGIN}/.ostiary/device/prove?return=https%3A%2F%2Fwiki.apps.test%3A8443%2F.ostiary")
        assert onward.endswith("&x=1")


async def test_a_second_factor_leads_back_to_it_too() -> None:
    async with staged() as stage:
        own_factors(stage)
        browser = Browser(stage)
        await browser.open(login_url("/"))
        sealed, onward = kept(await interrupt(browser, challenge="/.ostiary/login?return=/save&mfa=1"))
        page = await browser.open(WIKI + onward)
        assert "you have not set up a second factor yet" in page.text
        assert "%252F.ostiary%252Fresume" in page.text or "%2F.ostiary%2Fresume" in page.text
        assert (await give_back(browser, sealed)).status == 200


class TestAttacks:
    async def test_it_is_given_back_once(self) -> None:
        async with staged() as stage:
            browser, sealed = await kept_by_alice(stage)
            assert (await give_back(browser, sealed)).status == 200
            again = await give_back(browser, sealed)
            assert again.status == 400
            assert "sent already" in again.text

    async def test_not_to_another_person(self) -> None:
        async with staged() as stage:
            browser, sealed = await kept_by_alice(stage)
            await browser.open(login_url("/", prompt="select_account"), person="bob")
            answer = await give_back(browser, sealed)
            assert answer.status == 403
            assert "filled in by somebody else" in answer.text
            assert "Minutes" not in answer.text

    async def test_not_in_another_browser_when_nobody_was_logged_in(self) -> None:
        async with staged() as stage:
            sealed, _ = kept(await interrupt(Browser(stage)))
            thief = Browser(stage)
            await thief.open(login_url("/"))
            assert (await give_back(thief, sealed)).status == 403
            thief.jar["wiki.apps.test"].pop(BIND_COOKIE)
            assert (await give_back(thief, sealed)).status == 403

    async def test_a_refusal_does_not_use_it_up(self) -> None:
        async with staged() as stage:
            browser, sealed = await kept_by_alice(stage)
            thief = Browser(stage)
            await thief.open(login_url("/"), person="bob")
            await give_back(thief, sealed)
            assert (await give_back(browser, sealed)).status == 200

    async def test_not_on_another_host(self) -> None:
        async with staged() as stage:
            browser, sealed = await kept_by_alice(stage)
            await browser.open(login_url("/dash/", GRAFANA))
            answer = await give_back(browser, sealed, GRAFANA)
            assert answer.status == 400
            assert "another host" in answer.text

    async def test_not_to_nobody(self) -> None:
        async with staged() as stage:
            browser = Browser(stage)
            sealed, _ = kept(await interrupt(browser))
            assert (await give_back(browser, sealed)).status == 401

    async def test_not_after_a_quarter_of_an_hour(self) -> None:
        async with staged() as stage:
            browser, sealed = await kept_by_alice(stage)
            stage.clock.ahead += LIFETIME + 1
            assert (await give_back(browser, sealed)).status == 400

    async def test_not_changed_and_not_made_up(self) -> None:
        async with staged() as stage:
            browser, sealed = await kept_by_alice(stage)
            other = stage.sealer.seal("login-state", msgspec.msgpack.encode(("i", "wiki.apps.test")), now=stage.clock())
            for at in (0, 20, 60, len(sealed) - 1):
                letter = "A" if sealed[at] != "A" else "B"
                assert (await give_back(browser, sealed[:at] + letter + sealed[at + 1 :])).status == 400
            for made_up in ("", "A" * 80, other, "é", sealed + "A", sealed[:-4]):
                assert (await give_back(browser, made_up)).status == 400
            assert (await give_back(browser, sealed)).status == 200, "the real one is still good"

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
    async def test_a_form_from_elsewhere_is_not_kept_and_none_given_back(self, site: str) -> None:
        """Else another site could have the person log in and then act in their name (CSRF)."""
        async with staged() as stage:
            browser, sealed = await kept_by_alice(stage)
            answer = await interrupt(browser, site=site)
            assert (answer.status, "origin-refused" in answer.text) == (403, True)
            answer = await give_back(browser, sealed, site=site)
            assert (answer.status, "origin-refused" in answer.text) == (403, True)

    async def test_without_the_gateways_fields_there_is_nothing_here(self) -> None:
        async with staged() as stage:
            headers = {**NAVIGATE, "Sec-Fetch-Site": "same-origin", "Content-Type": FORM}
            answer = await Browser(stage).fetch(WIKI + INTERRUPTED, "POST", headers, data=BODY)
            assert answer.status == 404

    async def test_a_form_for_an_endpoint_of_ours_is_not_kept(self) -> None:
        async with staged() as stage:
            assert (await interrupt(Browser(stage), target="/.ostiary/logout")).status == 404

    async def test_more_than_is_configured_is_not_kept(self) -> None:
        async with staged() as stage:
            browser = Browser(stage)
            most = stage.settings.configuration.login.interrupted_post
            assert (await interrupt(browser, b"a=" + b"x" * (most - 2))).status == 200
            answer = await interrupt(browser, b"a=" + b"x" * (most - 1))
            assert answer.status == 413
            await browser.open(login_url("/"))
            assert (await give_back(browser, "A" * (4 * most))).status == 413

    async def test_the_largest_form_comes_back(self) -> None:
        async with staged() as stage:
            browser = Browser(stage)
            await browser.open(login_url("/"))
            most = stage.settings.configuration.login.interrupted_post
            sealed, _ = kept(await interrupt(browser, b"a=" + b"x" * (most - 2)))
            fields = json.loads((await give_back(browser, sealed)).body)["fields"]
            assert fields == [{"name": "a", "value": "x" * (most - 2)}]

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/json", b'{"a":1}'),
            ("application/octet-stream", b"a=1"),
            ("", b"a=1"),
            ("multipart/form-data", b"--x--"),
            ("multipart/form-data; boundary=x", b"a=1"),
            ("text/plain", b"no field"),
        ],
    )
    async def test_what_is_no_form_is_not_kept(self, kind: str, body: bytes) -> None:
        async with staged() as stage:
            assert (await interrupt(Browser(stage), body, kind)).status == 400

    @pytest.mark.parametrize("name", ["", '"><script>alert(1)</script>', "x" * 22, "../../x"])
    async def test_the_page_at_the_end_shows_nothing_of_its_address(self, name: str) -> None:
        async with staged() as stage:
            browser = Browser(stage)
            page = await browser.fetch(f"{WIKI}{RESUME}?id={quote(name)}", headers=dict(NAVIGATE))
            assert page.status == 200
            assert "<script>alert" not in page.text
            policy = page.headers["Content-Security-Policy"]
            assert "connect-src 'self'" in policy
            assert "'unsafe" not in policy
