"""Two identity providers to choose from, and days on which something is broken: what people see, and that it heals."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Any

import pytest
from browser_audit import audit, press_to
from browser_person import REFUSED, Person
from browser_product import Branch

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_provider_that_dies_during_the_login_has_a_page_and_the_login_can_be_finished_later(
    company: Branch, person: Any
):
    # The first story here: its keys are new when it is back, and known ones are read again once a minute at most.
    alice: Person = await person(company)
    alice.expects(REFUSED)
    tab = await alice.tab(company.url("live"))
    await tab.get_by_role("link", name="Branch office").click()

    async def dies(route: Any) -> None:
        """Its last deed is to send the browser back with a code."""
        answer = await route.fetch(max_redirects=0)
        await company.stop("branch")
        await route.fulfill(response=answer)

    await tab.route(f"{company.issuers['branch']}/login", dies, times=1)
    await alice.answer(tab, "Alice")
    await tab.get_by_role("heading", name="The identity provider does not answer").wait_for()
    wrong = await audit(tab, "provider-down")
    assert not wrong, wrong
    await company.start_idp("branch")
    await company.listening("branch")
    await tab.get_by_role("link", name="Try again").click()
    await alice.answer(tab, "Alice")
    await tab.wait_for_url(company.url("live"))


async def test_people_choose_where_to_log_in_and_come_back_with_their_fragment(company: Branch, person: Any):
    head, branch = company.issuers["head"], company.issuers["branch"]
    alice: Person = await person(company)
    tab = await alice.tab(company.url("headers", "/deep?a=1#part-3"))
    assert await tab.title() == "Log in · Ostiary"
    assert "What apps see" in await tab.inner_text("main"), "it says where one will come back to"
    wrong = await audit(tab, "chooser")
    await tab.get_by_label("Work e-mail").fill("alice@elsewhere.example")
    await tab.keyboard.press("Enter")
    await tab.get_by_role("alert").wait_for()
    assert "elsewhere.example" in await tab.get_by_role("alert").inner_text()
    wrong += await audit(tab, "chooser-problem")
    await tab.get_by_label("Work e-mail").fill("alice@example.com")
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(f"{head}/authorize?**")
    assert await tab.get_by_role("radio", name="Alice").is_checked(), "the address is passed on as a hint"
    await alice.answer(tab, "Alice")
    await tab.wait_for_url(company.url("headers", "/deep?a=1#part-3"))
    assert not wrong, wrong

    carol: Person = await person(company)
    tab = await carol.tab(company.url("headers", "/deep#part-4"))
    await press_to(tab, "Branch office")
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(f"{branch}/authorize?**")
    await carol.answer(tab, "Carol")
    await tab.wait_for_url(company.url("headers", "/deep#part-4"))
    answer = await tab.evaluate("async () => (await fetch('/.ostiary/whoami')).json()")
    assert (answer["provider"], answer["subject"]) == ("branch", "carol")


async def test_an_app_that_is_down_has_a_page_and_comes_back_by_itself(company: Branch, person: Any):
    alice: Person = await person(company)
    alice.expects(REFUSED)
    tab = await alice.tab(company.url("live"))
    await tab.get_by_role("link", name="Head office").click()
    await alice.answer(tab, "Alice")
    await tab.wait_for_url(company.url("live"))
    await company.stop("headers")
    answer = await tab.goto(company.url("headers", "/report#part-5"))
    assert answer.status == 502
    assert await tab.title() == "The app does not answer · Ostiary"
    wrong = await audit(tab, "app-down")
    assert not wrong, wrong
    await company.start_app("headers")
    await company.listening("headers")
    await tab.get_by_role("link", name="Try again").click()
    await tab.locator("#caller").wait_for()
    assert tab.url == company.url("headers", "/report#part-5")


async def test_an_app_that_takes_too_long_has_a_page(company: Branch, person: Any):
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    company.route(
        "slow",
        f"routes: [{{name: slow, title: Slow, from: '{company.layout.url('slow')}', to: 'http://127.0.0.1:{port}',"
        " public: true, timeouts: {response: 300ms}}]",
    )
    alice: Person = await person(company)
    alice.expects(REFUSED)
    async with server:
        tab = await alice.tab()
        for _ in range(100):  # the running proxy notices the new file by itself
            answer = await tab.goto(company.url("slow", "/report"))
            if answer.status != 404:
                break
        assert answer.status == 504
        assert await tab.title() == "The app took too long to answer · Ostiary"
        wrong = await audit(tab, "app-slow")
        assert not wrong, wrong


async def test_an_address_that_leads_nowhere_has_a_page(company: Branch, person: Any):
    alice: Person = await person(company)
    alice.expects(REFUSED)
    tab = await alice.tab()
    answer = await tab.goto(company.url("nobody", "/x"))
    assert answer.status == 404
    assert await tab.title() == "There is nothing at this address · Ostiary"
    wrong = await audit(tab, "nowhere")
    assert not wrong, wrong


async def test_a_connection_opened_for_another_host_has_a_page(company: Branch, person: Any):
    """A browser does this only behind a broken middlebox: so the bytes come by hand, and Chromium shows them."""
    trust = ssl.create_default_context(cafile=str(company.layout.trust))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", company.layout.ports.https, ssl=trust, server_hostname="live.apps.localhost"
    )
    host = f"headers.apps.localhost:{company.layout.ports.https}"
    writer.write(f"GET /x HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode().split("\r\n")
    assert re.match(r"HTTP/1\.1 421 ", first)

    alice: Person = await person(company)
    alice.expects(REFUSED)
    tab = await alice.tab()
    fields = dict(line.split(": ", 1) for line in lines)
    await tab.route("**/misdirected", lambda route: route.fulfill(status=421, headers=fields, body=body))
    answer = await tab.goto(company.url("headers", "/misdirected"))
    assert answer.status == 421
    assert await tab.title() == "This connection was opened for another host · Ostiary"
    wrong = await audit(tab, "misdirected")
    assert not wrong, wrong
