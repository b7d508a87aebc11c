"""What stays open or is big: WebSockets, events, transfers; and how they end when the session does."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from browser_person import REFUSED, streaming, text
from browser_product import Product

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CUT = 1500  # milliseconds in which open connections must end: the promised second, and what a busy machine adds
CLOSED = "WebSocket connection to"  # what Chromium logs when one ends without a goodbye
SIZE = 48 << 20  # bytes


async def test_a_websocket_echoes_and_events_tick(product: Product, person: Any):
    alice = await person(product)
    tab = await streaming(alice, "Alice")
    await tab.get_by_label("Say something").fill("grüße 🚪")
    await tab.keyboard.press("Enter")
    await text(tab, "#ws-log", "echo: grüße 🚪")
    first = await tab.inner_text("#sse-clock")
    await tab.wait_for_function("first => document.getElementById('sse-clock').textContent !== first", arg=first)


async def test_a_revoked_session_ends_its_open_streams_within_a_second(product: Product, person: Any):
    carol, alice = await person(product), await person(product)
    carol.expects(CLOSED, "net::ERR", REFUSED)
    tab, other = await streaming(carol, "Carol"), await streaming(alice, "Alice")
    await product.revoke(*await product.sessions_of("carol@example.com"))
    await text(tab, "#ws-state", "closed", CUT)
    await text(tab, "#sse-state", "closed", CUT)
    assert await other.inner_text("#ws-state") == "open", "nobody else's"


async def test_a_login_ended_at_the_provider_ends_the_open_streams_too(product: Product, person: Any):
    carol = await person(product)
    carol.expects(CLOSED, "net::ERR", REFUSED)
    tab = await streaming(carol, "Carol")
    provider = await carol.tab(product.layout.issuer)
    await provider.get_by_role("listitem").filter(has_text="this browser").get_by_role("button").click()
    await text(tab, "#ws-state", "closed", CUT)
    await text(tab, "#sse-state", "closed", CUT)
    await tab.reload()
    await tab.wait_for_url(f"{product.layout.issuer}/authorize?**")
    await tab.get_by_role("heading", name="Log in").wait_for()


async def test_a_page_of_another_app_cannot_open_the_websocket(product: Product, person: Any):
    alice = await person(product)
    alice.expects(CLOSED, "Content Security Policy", "violates")  # the app's own policy would stop it first
    tab = await alice.log_in("Alice", "live")
    elsewhere = await alice.context.new_page()
    await elsewhere.goto("about:blank")
    how = await elsewhere.evaluate(
        "url => new Promise(done => { const socket = new WebSocket(url);"
        " socket.onopen = () => done('opened'); socket.onclose = () => done('closed') })",
        f"wss://live.apps.localhost:{product.layout.ports.https}/ws",
    )
    assert how == "closed", "her cookie goes along, and still a foreign origin is refused"
    assert await tab.inner_text("#ws-state") == "open"


async def test_a_big_file_goes_up_unchanged(product: Product, person: Any):
    carol = await person(product)
    tab = await carol.log_in("Carol", "api", "/orders")
    said = await tab.evaluate(
        """async size => {
            const part = new Uint8Array(1 << 20);
            for (let i = 0; i < part.length; i++) part[i] = (i * 31 + (i >> 8)) & 255;
            const body = new Blob(Array(size >> 20).fill(part));
            const answer = await fetch('/upload', {method: 'POST', body});
            return {status: answer.status, ...await answer.json()} }""",
        SIZE,
    )
    part = bytes((i * 31 + (i >> 8)) & 255 for i in range(1 << 20))
    assert (said["status"], said["bytes"]) == (200, SIZE)
    assert said["sha256"] == hashlib.sha256(part * (SIZE >> 20)).hexdigest()
    assert said["caller"] == "carol"


async def test_a_big_file_comes_down_unchanged_into_the_downloads(product: Product, person: Any, tmp_path: Path):
    carol = await person(product)
    tab = await carol.log_in("Carol", "api", "/orders")
    async with tab.expect_download() as download:
        await tab.evaluate("size => void location.assign(`/download?bytes=${size}`)", SIZE)
    saved = tmp_path / "saved"
    await (await download.value).save_as(saved)
    with saved.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert digest == hashlib.sha256(bytes(range(256)) * (SIZE >> 8)).hexdigest()


async def test_a_download_is_cut_off_when_its_session_ends(product: Product, person: Any):
    carol = await person(product)
    carol.expects("net::ERR", REFUSED)
    tab = await carol.log_in("Carol", "api", "/orders")
    await tab.evaluate(
        """() => { window.ended = fetch('/download?bytes=1000000000').then(async answer => {
            const reader = answer.body.getReader(); let got = 0;
            for (;;) { const {done, value} = await reader.read(); if (done) return `whole ${got}`; got += value.length;
                window.got = got; await new Promise(on => setTimeout(on, 20)) }
        }).catch(error => error.name) }"""
    )
    await tab.wait_for_function("window.got > 0")
    await product.revoke(*await product.sessions_of("carol@example.com"))
    assert await tab.evaluate("window.ended") == "TypeError", "a network error, not an end that looks complete"
