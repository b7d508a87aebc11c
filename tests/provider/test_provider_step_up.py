"""Stepping up at the certified provider: a fresh login keeps the session; a kind of login it cannot give is refused."""

from __future__ import annotations

import pytest
from scenario_app import App
from scenario_people import NAVIGATE
from scenario_world import eventually_so
from test_provider_product import Employee, Office, office  # noqa: F401  a fixture

pytestmark = pytest.mark.provider
AGE = 6  # seconds; the journey through the provider must be shorter


async def sid(ann: Employee, origin: str) -> str:
    """The session, as its person is told of it."""
    told = (await ann.fetch(origin + "/.ostiary/whoami")).json
    return str(told["session"]["id"])


async def test_a_fresh_login_is_asked_for_where_it_is_needed_and_the_session_goes_on(
    office: Office,  # noqa: F811  the fixture
    app: App,
) -> None:
    rules = [
        {"name": "staff", "groups": ["staff"], "paths": ["/", "/reports"]},
        {"name": "just-now", "groups": ["staff"], "paths": ["/pay"], "auth_age": f"{AGE}s"},
    ]
    office.proxy.route("bank", app.url, allow=rules)
    bank = office.proxy.origin("bank")
    await office.proxy.start()
    ann = await office.employee()
    assert (await ann.open(bank + "/")).status == 200
    before = await sid(ann, bank)

    async def grown_old() -> bool:
        return await ann.status(bank + "/pay") == 401

    await eventually_so(grown_old, "a login that is too old", 3 * AGE)
    assert await ann.reason(bank + "/pay") == "reauthentication-required"
    assert await ann.status(bank + "/reports") == 200, "there and only there"

    page = await ann.open(bank + "/pay?bill=7")

    assert (page.status, page.url) == (200, bank + "/pay?bill=7")
    assert await sid(ann, bank) == before


async def test_what_the_provider_cannot_give_is_refused_with_words_and_without_a_loop(
    office: Office,  # noqa: F811  the fixture
    app: App,
) -> None:
    rules = [{"name": "strongly", "groups": ["staff"], "acr": ["urn:example:gold"]}]
    office.proxy.route("bank", app.url, allow=rules)
    await office.proxy.start()
    ann = await office.employee()
    assert (await ann.open(office.wiki + "/")).status == 200

    page = await ann.open(office.proxy.origin("bank") + "/pay")

    assert page.status == 403
    assert "a login of the kind urn:example:gold" in page.text
    assert (await ann.fetch(office.wiki + "/", headers=NAVIGATE)).status == 200, "the session stays"
