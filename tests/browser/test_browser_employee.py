"""An employee's day in a real browser: log in, come back, many tabs, refusals, keys only."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser_audit import press_to
from browser_person import REFUSED, Person
from browser_product import Product

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_comes_back_to_the_exact_address_with_query_and_fragment(product: Product, person: Any):
    alice = await person(product)
    wanted = product.url("headers", "/reports/2026?quarter=3&sort=a%26b#part-3")
    tab = await alice.tab(wanted)
    assert tab.url.startswith(product.layout.issuer)
    assert "part-3" not in tab.url
    assert await tab.title() == "Log in · Demo identity provider"
    await alice.answer(tab, "Alice")
    await tab.wait_for_url(wanted)
    assert await tab.evaluate("location.href") == wanted
    assert await tab.inner_text("#caller") == "alice"
    assert await tab.inner_text("#target") == "/reports/2026?quarter=3&sort=a%26b"

    other = await alice.tab(product.url("live", "/#now"))
    assert other.url == product.url("live", "/#now"), "no second login"


async def test_the_back_button_leads_out_of_the_login_not_into_it(product: Product, person: Any):
    alice = await person(product)
    tab = await alice.tab(product.url("api", "/health"))
    await tab.goto(product.url("headers", "/here"))
    await alice.answer(tab, "Alice")
    await tab.wait_for_url(product.url("headers", "/here"))
    await tab.reload()
    assert tab.url == product.url("headers", "/here")
    for _ in range(3):
        await tab.go_back()
        assert "/callback" not in tab.url
        if tab.url == product.url("api", "/health"):
            return
        assert await tab.locator("h1").count() == 1, "whatever is passed on the way is a page, not an error"


async def together(tabs: list[Any], urls: list[str]) -> None:
    """All tabs set out before any of them arrives."""
    for tab, url in zip(tabs, urls, strict=True):
        await tab.evaluate("url => void setTimeout(() => location.assign(url))", url)


@pytest.mark.parametrize("apps", [("headers",), ("headers", "live", "api")], ids=["one-app", "three-apps"])
async def test_ten_tabs_at_once_on_a_session_that_ended_all_arrive(
    product: Product, person: Any, apps: tuple[str, ...]
):
    carol: Person = await person(product)
    carol.expects("WebSocket", "net::ERR", REFUSED)  # the tabs of “Live data” lose their streams, as they must
    await carol.log_in("Carol")
    paths = {"headers": "/tab/{}?n={}#f{}", "live": "/?n={}&m={}#f{}", "api": "/orders?n={}&m={}#f{}"}
    urls = [product.url(apps[n % len(apps)], paths[apps[n % len(apps)]].format(n, n, n)) for n in range(10)]
    tabs = [await carol.tab(product.url(apps[n % len(apps)])) for n in range(10)]
    await product.revoke(*await product.sessions_of("carol@example.com"))
    await together(tabs, urls)
    for tab, url in zip(tabs, urls, strict=True):
        await tab.wait_for_url(url)
        assert await tab.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == 200, url


async def test_ten_tabs_at_once_on_an_expired_session_all_arrive(product: Product, person: Any):
    carol: Person = await person(product)
    carol.expects(REFUSED)
    await carol.log_in("Carol")
    tabs = [await carol.tab(product.url("headers", f"/before/{n}")) for n in range(10)]
    urls = [product.url("headers", f"/after/{n}#f{n}") for n in range(10)]
    async with product.configured({"lifetime: 12h": "lifetime: 2s", "idle: 1h  ": "idle: 1s  "}):
        await tabs[0].wait_for_function(
            "async () => (await (await fetch('/.ostiary/whoami')).json()).reason !== undefined", polling=200
        )
        # the other worker takes the new configuration over in its own moment
        await tabs[0].wait_for_function(
            "async () => (await (await fetch('/script')).json()).reason === 'session-expired'", polling=200
        )
    await together(tabs, urls)
    for tab, url in zip(tabs, urls, strict=True):
        await tab.wait_for_url(url)


async def test_many_tabs_after_the_provider_forgot_her_too(product: Product, person: Any):
    """As after a weekend: each tab shows the login page, one is answered, the others go on when they are reloaded."""
    alice = await person(product)
    urls = [product.url("headers", f"/monday/{n}#f{n}") for n in range(10)]
    tabs = [await alice.tab() for _ in urls]
    await together(tabs, urls)
    for tab in tabs:
        await tab.wait_for_url(f"{product.layout.issuer}/authorize?**")
        await tab.get_by_role("heading", name="Log in").wait_for()
    await alice.answer(tabs[7], "Alice")
    await tabs[7].wait_for_url(urls[7])
    for tab, url in zip(tabs, urls, strict=True):
        if tab is not tabs[7]:
            await tab.reload()
        await tab.wait_for_url(url)


async def test_bob_is_refused_and_told_which_rule_which_fact_and_what_to_do(product: Product, person: Any):
    bob = await person(product, permissions=["clipboard-read", "clipboard-write"])
    bob.expects(REFUSED)
    await bob.log_in("Bob")
    tab = await bob.tab()
    answer = await tab.goto(product.url("live", "/#chart"))
    assert answer.status == 403
    assert tab.url == product.url("live", "/#chart")
    assert await tab.title() == "You do not have access to this · Ostiary"
    said = await tab.inner_text("main")
    assert "engineering" in said
    assert "Live data is for engineering. Ask the platform team in #platform." in said, "the route's own words"
    assert "bob@example.com" in said
    why = tab.get_by_role("region", name="Why")
    assert await why.locator("code").all_inner_texts() == ["engineering", "groups"], "the rule and its condition"
    assert "no-rule-allows" in await tab.inner_text("footer")

    reference = await tab.inner_text("#reference")
    (line,) = [line for line in product.decisions() if line.get("reference") == reference]
    assert (line["identity"], line["outcome"], line["rule"]) == ("bob@example.com", "deny", "engineering")
    await tab.get_by_role("button", name="Copy").click()
    await tab.get_by_role("button", name="Copied").wait_for()
    assert await tab.evaluate("navigator.clipboard.readText()") == reference

    assert await tab.get_by_role("link", name="Ask for access").get_attribute("href") == product.url("login")
    await tab.get_by_role("link", name="Your apps", exact=True).click()
    await tab.wait_for_url(product.url("login"))


async def test_somebody_else_at_the_same_desk_gets_in_where_bob_was_refused(product: Product, person: Any):
    desk = await person(product)
    desk.expects(REFUSED)
    await desk.log_in("Bob")
    tab = await desk.tab(product.url("live", "/#chart"))
    await tab.get_by_role("link", name="Use another account").click()
    await desk.answer(tab, "Alice")
    await tab.wait_for_url(product.url("live", "/#chart"))
    assert await tab.inner_text("#caller") == "alice"


async def test_whoever_cancels_the_login_is_told_and_may_try_again(product: Product, person: Any):
    alice = await person(product)
    alice.expects(REFUSED)
    tab = await alice.tab(product.url("headers", "/first#part-3"))
    await tab.get_by_role("button", name="Cancel").click()
    await tab.get_by_role("heading", name="The identity provider did not let you in").wait_for()
    assert await tab.title() == "The identity provider did not let you in · Ostiary"
    await tab.get_by_role("link", name="Try again").click()
    await alice.answer(tab, "Alice")
    await tab.wait_for_url(product.url("headers", "/first#part-3"))


@pytest.mark.parametrize(
    ("name", "account", "apps"),
    [
        ("Alice", "alice@example.com", ["Live data", "Orders API", "What apps see"]),
        ("Bob", "bob@example.com", ["What apps see"]),
        ("Dave", "dave", []),  # his address is not verified, so it is not his name
    ],
)
async def test_the_portal_lists_exactly_what_each_may_open(
    product: Product, person: Any, name: str, account: str, apps: list[str]
):
    one = await person(product)
    tab = await one.tab(product.url("login"))
    await one.answer(tab, name)
    await tab.wait_for_url(product.url("login"))
    assert await tab.title() == "Your apps · Ostiary"
    assert await tab.locator(".apps b").all_inner_texts() == apps
    main = await tab.inner_text("main")
    assert (account in main, "Demo login" in main) == (True, True)
    for app in apps:
        await tab.get_by_role("link", name=app).click()
        await tab.wait_for_url(
            re.compile(rf"https://(headers|live|api)\.apps\.localhost:{product.layout.ports.https}/")
        )
        assert await tab.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == 200
        await tab.go_back()


async def test_keys_alone_log_in_open_an_app_meet_a_refusal_and_log_out(product: Product, person: Any):
    bob = await person(product)
    bob.expects(REFUSED)
    tab = await bob.tab(product.url("login"))
    await press_to(tab, "Alice Adler")
    await tab.keyboard.press("ArrowDown")
    await press_to(tab, "One factor")
    await press_to(tab, "Log in")
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(product.url("login"))

    await tab.keyboard.press("Tab")
    assert await tab.evaluate("document.activeElement.textContent") == "Skip to content"
    assert await tab.evaluate("document.activeElement.getBoundingClientRect().top") >= 0, "it shows itself"
    await tab.keyboard.press("Enter")
    await press_to(tab, "What apps see")
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(product.url("headers"))

    await tab.goto(product.url("live"))
    await press_to(tab, "Your apps")
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(product.url("login"))

    await press_to(tab, "Log out")
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(f"{product.url('login')}.ostiary/logged-out?**")
    assert await tab.inner_text("h1") == "You are logged out"
    await press_to(tab, "Log in again")


async def test_a_script_on_an_ended_session_gets_json_and_is_sent_nowhere(product: Product, person: Any):
    alice = await person(product)
    alice.expects(REFUSED)
    tab = await alice.log_in("Alice", "api", "/orders")
    asks = """async path => { const answer = await fetch(path); return {status: answer.status, url: answer.url,
        redirected: answer.redirected, type: answer.headers.get('content-type'), body: await answer.json()} }"""
    assert (await tab.evaluate(asks, "/orders"))["status"] == 200
    await product.revoke(*await product.sessions_of("alice@example.com"))
    before = len(alice.requested)
    for path in ("/orders", "/.ostiary/whoami"):
        answer = await tab.evaluate(asks, path)
        assert (answer["status"], answer["redirected"], answer["type"]) == (401, False, "application/json")
        assert answer["url"] == product.url("api", path)
        assert answer["body"]["login_url"]
    assert answer["body"]["reason"] in ("session-revoked", "login-required")
    frame = await tab.evaluate(
        "() => new Promise(done => { const picture = new Image(); picture.onerror = () => done('no picture');"
        " picture.src = '/picture.png' })"
    )
    assert frame == "no picture"
    assert urlsplit(tab.url).path == "/orders"
    asked = [urlsplit(url).path for url in alice.requested[before:]]
    assert asked == ["/orders", "/.ostiary/whoami", "/picture.png"], "neither script nor picture was led to the login"


async def test_whoami_tells_who_one_is(product: Product, person: Any):
    alice = await person(product)
    tab = await alice.log_in("Alice")
    answer = await tab.evaluate("async () => (await fetch('/.ostiary/whoami')).json()")
    assert (answer["email"], answer["groups"], answer["provider"]) == ("alice@example.com", ["engineering"], "demo")
    assert await tab.evaluate("document.cookie") == "", "no cookie of ours is for scripts"
