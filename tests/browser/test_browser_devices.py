"""A laptop from its first command to the day it is stolen: real browser, real agent, real proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from browser_person import REFUSED, text
from browser_product import ROOT, Product

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# `ostiary`, on a machine whose resolver knows what `*.localhost` is (RFC 6761, section 6.3), as browsers do.
RESOLVING = """\
import socket, sys
known = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: known(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named)
from proxy.cli import main
sys.exit(main(sys.argv[1:]))
"""


@contextlib.asynccontextmanager
async def agent(home: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`ostiary device …` on this machine, until the story is over."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RESOLVING, "device", *words, "--dir", str(home)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def said(home: Path, *words: str) -> str:
    """What an agent's command prints; it must end well."""
    async with agent(home, *words) as process:
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()


async def test_a_laptop_is_added_approved_shown_and_taken_away(product: Product, person: Any, tmp_path: Path):
    async with product.configured({"enrolment: open": "enrolment: approval"}):
        await a_laptops_life(product, await person(product), tmp_path / "agent")


async def a_laptops_life(product: Product, alice: Any, home: Path) -> None:
    alice.expects(REFUSED, "net::ERR")
    await alice.log_in("Alice")
    portal = await alice.tab(product.url("login"))
    await portal.get_by_role("button", name="Add this device").click()
    command = (await portal.locator("#command").inner_text()).split()
    assert command[:3] == ["ostiary", "device", "enrol"]
    await said(home, *command[2:], "--key", "file", "--ca", str(product.layout.trust), "--name", "alices-laptop")

    await portal.goto(product.url("login"))
    await text(portal, "main", "waiting for approval")
    (device,) = json.loads(await product.ostiary("devices", "list", "--waiting", "--json"))
    assert (device["name"], device["email"]) == ("alices-laptop", "alice@example.com")
    await product.ostiary("devices", "approve", device["id"])
    await said(home, "report")
    await portal.reload()
    await text(portal, "main", "approved · last report")

    async with agent(home, "report", "--watch"):
        tab = await shown(product, alice)
        await portal.reload()
        await text(portal, "main", "this session’s device")
        before = await product.sessions_of("alice@example.com")
        assert before
        await product.ostiary("devices", "revoke", device["id"])
        assert not set(before) & set(await product.sessions_of("alice@example.com")), "its session has ended with it"
        await tab.reload()  # the provider still knows her: she is logged in again, from no known device
        await portal.reload()
        assert "this session’s device" not in await portal.inner_text("main")
    (gone,) = json.loads(await product.ostiary("devices", "list", "--revoked", "--json"))
    assert gone["state"] == "revoked"
    recorded = [line for line in product.decisions() if line.get("type") == "device"]
    assert {line.get("device") for line in recorded} == {device["id"]}, "what became of it is on record"


async def shown(product: Product, alice: Any) -> Any:
    """A tab that came to an app by way of the page that asks the agent, which takes a moment to start."""
    wanted = product.url("headers", "/shown")
    tab = await alice.tab()
    for _ in range(20):
        await tab.goto(f"{product.url('login')}.ostiary/device/prove?return={wanted}")
        await tab.wait_for_load_state("networkidle")
        if tab.url == wanted:
            return tab
    raise AssertionError(await tab.inner_text("main"))
