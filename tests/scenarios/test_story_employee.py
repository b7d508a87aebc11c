"""An employee opens apps, works, is refused, logs out."""

from __future__ import annotations

import asyncio
import hashlib
import os

from scenario_http import Line
from scenario_people import FETCH, Browser
from scenario_world import CUT, App, Inside, employed, eventually, running

from proxy.web.endpoints import SESSION_COOKIE


async def test_comes_back_to_the_exact_address_after_logging_in(world: Inside, app: App):
    world.route("wiki", app.url)
    async with employed(world), running(world):
        alice = Browser(world)
        wanted = world.origin("wiki") + "/reports/2026%20final?q=a%26b&sort=%C3%BC&empty="
        page = await alice.open(wanted)
        assert (page.url, page.status) == (wanted, 200)
        assert app.last().target == "/reports/2026%20final?q=a%26b&sort=%C3%BC&empty="
        assert app.last().header("x-ostiary-user") is not None
        assert SESSION_COOKIE not in str(app.last().headers)
        login = await world.recorded(type="login", outcome="allow")
        assert login["identity"] == "alice@example.com"
        line = await world.recorded(route="wiki", outcome="allow")
        assert line["session"] == login["session"]
        assert line["rule"] == "engineers"
