"""Every page an employee meets, looked at in both schemes, on a phone and on a desk; see `browser_audit`.

Pages that take trouble to reach are looked at where the trouble is made: test_browser_trouble.
"""

from __future__ import annotations

from typing import Any

import pytest
from browser_audit import audit
from browser_person import REFUSED, Person, streaming
from browser_product import Product

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_pages_on_the_way_in(product: Product, person: Any):
    alice: Person = await person(product)
    alice.expects(REFUSED)
    tab = await alice.tab(product.url("headers"))
    wrong = await audit(tab, "idp-login")
    await tab.get_by_role("button", name="Cancel").click()
    await tab.get_by_role("link", name="Try again").wait_for()
    wrong += await audit(tab, "login-refused")
    await tab.goto(f"{product.layout.issuer}/authorize?client_id=somebody-else")
    wrong += await audit(tab, "idp-problem")
    assert not wrong, "\n".join(wrong)


async def test_without_scripts_everything_works_but_the_fragment(product: Product, person: Any):
    alice: Person = await person(product, java_script_enabled=False)
    tab = await alice.log_in("Alice", path="/reports?quarter=3")
    assert await tab.inner_text("#caller") == "alice"
    await tab.goto(product.url("login"))
    await tab.get_by_role("button", name="Log out").click()
    await tab.get_by_role("heading", name="You are logged out").wait_for()
    assert tab.url.startswith(f"{product.url('login')}.ostiary/logged-out?"), "by way of the provider"


async def test_the_portal_with_apps_and_without(product: Product, person: Any):
    wrong: list[str] = []
    for name, picture in (("Alice", "portal"), ("Dave", "portal-empty")):
        one: Person = await person(product)
        tab = await one.tab(product.url("login"))
        await one.answer(tab, name)
        await tab.wait_for_url(product.url("login"))
        wrong += await audit(tab, picture)
    assert not wrong, "\n".join(wrong)


async def test_pages_of_somebody_who_is_refused(product: Product, person: Any):
    bob: Person = await person(product)
    bob.expects(REFUSED)
    await bob.log_in("Bob")
    wrong = await audit(await bob.tab(product.url("live")), "refused")
    wrong += await audit(await bob.tab(product.url("api", "/orders")), "refused-all-rules")
    tab = await bob.tab(product.url("api", "/health"))
    await tab.evaluate(
        "() => { const form = document.createElement('form'); form.method = 'post'; form.action = '/orders';"
        " document.body.append(form); form.submit() }"
    )
    await tab.wait_for_url(product.url("api", "/orders"))
    wrong += await audit(tab, "refused-form")
    assert not wrong, "\n".join(wrong)


async def test_pages_of_the_sample_apps(product: Product, person: Any):
    alice: Person = await person(product)
    wrong = await audit(await alice.log_in("Alice", path="/reports?quarter=3"), "app-headers")
    tab = await streaming(alice, "")
    wrong += await audit(tab, "app-live")
    assert not wrong, "\n".join(wrong)


async def test_pages_on_the_way_out(product: Product, person: Any):
    alice: Person = await person(product)
    await alice.log_in("Alice")
    tab = await alice.tab(product.layout.issuer)
    wrong = await audit(tab, "idp-home")
    await tab.goto(f"{product.layout.issuer}/logout")
    wrong += await audit(tab, "idp-logout")
    await tab.goto(product.url("headers", "/.ostiary/logout"))
    wrong += await audit(tab, "logout")
    await tab.get_by_role("button", name="Log out").click()
    await tab.wait_for_url("**/.ostiary/logged-out?**")
    wrong += await audit(tab, "logged-out")
    await tab.goto(f"{product.layout.issuer}/logout")
    wrong += await audit(tab, "idp-logged-out")
    assert not wrong, "\n".join(wrong)


async def test_a_form_sent_on_an_ended_session_is_not_lost_in_a_redirect(product: Product, person: Any):
    """A redirect would turn the form's POST into a GET; a page says what has happened instead."""
    carol: Person = await person(product)
    carol.expects(REFUSED)
    tab = await carol.log_in("Carol", "headers", "/form")
    await product.revoke(*await product.sessions_of("carol@example.com"))
    await tab.evaluate(
        "() => { const form = document.createElement('form'); form.method = 'post'; document.body.append(form);"
        " form.submit() }"
    )
    await tab.get_by_role("heading", name="Your session was ended").wait_for()
    wrong = await audit(tab, "session-ended")
    await tab.get_by_role("link", name="Log in").click()
    await tab.locator("#caller").wait_for()
    assert tab.url == product.url("headers", "/form")
    assert not wrong, "\n".join(wrong)
