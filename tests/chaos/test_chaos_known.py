"""What one broken part must not do to the others, or to the disk."""

from __future__ import annotations

import logging

import pytest
from scenario_world import App, Inside, running

from proxy.net.ticker import Ticker


class Broken:
    deadline = 0.0

    def overdue(self, now: float) -> None:
        raise RuntimeError("this one is broken")


def test_one_broken_deadline_does_not_keep_the_others_from_being_looked_at():
    """Sessions that expire and certificates that run out are cut by the same round."""
    called = []
    ticker = Ticker(lambda: 1.0)
    ticker.watched.add(Broken())
    ticker.each.append(called.append)
    ticker.tick(1.0)
    assert called == [1.0]


async def test_an_unreachable_store_does_not_flood_the_log(world: Inside, app: App, caplog: pytest.LogCaptureFixture):
    """Anybody can send a cookie: what strangers do must not fill a disk."""
    world.route("app", app.url)
    (world.folder / "var").mkdir(mode=0o700)
    (world.folder / "var" / "state.db").write_bytes(b"this is no database\n" * 500)
    async with running(world):
        with caplog.at_level(logging.WARNING):
            for _ in range(30):
                assert (await world.ask("app", cookie="__Host-ostiary=" + "A" * 43)).status == 503
        assert len([one for one in caplog.records if "cannot be read" in one.message]) < 5
