"""A session that is tied to a device is worth nothing from elsewhere, and a device's certificate makes nobody of it."""

from __future__ import annotations

import json
import time

import pytest
from wire_device import HOST, LOGIN, asked, certificate, handle_of, known, setup
from wire_stack import Stack

from proxy.model.device import Bound

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETUP = setup()


async def lines(stack: Stack) -> list[dict[str, object]]:
    """The record so far."""
    stack.worker.journal.flush()
    return [json.loads(line) for line in (stack.folder / "audit.jsonl").read_text().splitlines()]


async def test_a_cookie_counts_only_with_the_certificate_it_was_made_with(stack: Stack) -> None:
    pair, sha256 = certificate(stack, "laptop-1.devices.test")
    other, _ = certificate(stack, "laptop-2.devices.test")
    device = await known(stack, "laptop-1", sha256=sha256)
    handle = await handle_of(stack, Bound(device=device, binding="certificate", certificate=sha256))

    owner = await stack.connect(tls=HOST, pair=pair)
    await owner.send(asked(handle))
    answer = await owner.response()
    assert answer is not None
    assert answer.status == 200
    (request,) = stack.origin.saw.requests
    assert request.values("X-Ostiary-Email") == [b"ann@example.com"]
    line = (await lines(stack))[-1]
    assert line["device"] == "laptop-1"
    facts = line["facts"]
    assert isinstance(facts, dict)
    assert facts["device"]["attributes"]["compliant"]["value"] is True
    assert facts["identity"]["kind"] == "person"

    for thief in (await stack.connect(tls=HOST), await stack.connect(tls=HOST, pair=other), await stack.connect()):
        await stack.begin_anew() if thief.eof else stack.origin.forget()
        await thief.send(asked(handle))
        answer = await thief.response()
        assert answer is not None
        assert answer.status == 401
        told = json.loads(answer.body)
        assert told["reason"] == "device-proof-required"
        assert told["login_url"] == f"https://{LOGIN}/.ostiary/device/prove?return=https://{HOST}/x"
        assert not stack.origin.saw.octets
        line = (await lines(stack))[-1]
        assert line["reason"] == "device-proof-required"
        assert line["session"], "the record says whose session it was"
        assert "identity" not in line
        thief.close()
    owner.close()


async def test_a_browser_is_sent_to_show_its_device(stack: Stack) -> None:
    stack.origin.forget()
    device = await known(stack, "laptop-3")
    handle = await handle_of(stack, Bound(device=device, binding="certificate", certificate="00" * 32))
    client = await stack.connect()
    await client.send(asked(handle, "GET /a%20b?c=d HTTP/1.1", "Accept: text/html"))
    answer = await client.response()
    assert answer is not None
    assert answer.status == 303
    assert answer.values("Location") == [
        f"https://{LOGIN}/.ostiary/device/prove?return=https://{HOST}/a%2520b%3Fc%3Dd".encode()
    ]
    assert not stack.origin.saw.octets
    client.close()


async def test_public_pages_are_for_nobody_then(stack: Stack) -> None:
    stack.origin.forget()
    device = await known(stack, "laptop-3")
    handle = await handle_of(stack, Bound(device=device, binding="certificate", certificate="00" * 32))
    client = await stack.connect()
    await client.send(asked(handle, "GET /public HTTP/1.1"))
    answer = await client.response()
    assert answer is not None
    assert answer.status == 200
    (request,) = stack.origin.saw.requests
    assert not request.aliases("X-Ostiary-Assertion")
    client.close()


async def test_an_agents_proof_is_good_for_a_while_and_from_one_address(stack: Stack) -> None:
    device = await known(stack, "laptop-4")
    now = time.time()
    fresh = await handle_of(stack, Bound(device=device, binding="agent", proved_at=now, address="127.0.0.1"))
    stale = await handle_of(stack, Bound(device=device, binding="agent", proved_at=now - 601, address="127.0.0.1"))
    for handle, source, status in ((fresh, "127.0.0.1", 200), (fresh, "127.0.0.2", 401), (stale, "127.0.0.1", 401)):
        stack.origin.forget()
        client = await stack.connect(source=source)
        await client.send(asked(handle))
        answer = await client.response()
        assert answer is not None
        assert answer.status == status
        assert bool(stack.origin.saw.octets) is (status == 200)
        client.close()


async def test_a_devices_certificate_is_no_service(stack: Stack) -> None:
    pair, sha256 = certificate(stack, "laptop-5.devices.test")
    stack.origin.forget()
    client = await stack.connect(tls=HOST, pair=pair)
    await client.send(stack.fill("GET /public HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    assert await client.response() is not None
    (request,) = stack.origin.saw.requests
    assert request.values("X-Ostiary-User") == [b"laptop-5.devices.test"], "until it is known as a device"
    await known(stack, "laptop-5", sha256=sha256)
    stack.origin.forget()
    await client.send(stack.fill("GET /public HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    assert await client.response() is not None
    (request,) = stack.origin.saw.requests
    assert not request.aliases("X-Ostiary-User")
    assert not request.aliases("X-Ostiary-Assertion")
    client.close()


async def test_a_rule_about_the_device_follows_what_is_known_of_it(stack: Stack) -> None:
    device = await known(stack, "laptop-6", compliant=False)
    handle = await handle_of(stack, Bound(device=device, binding="provider"))
    client = await stack.connect()
    for compliant, status in ((False, 403), (True, 200), (False, 403)):
        await known(stack, "laptop-6", compliant=compliant)
        await client.send(asked(handle, "GET /sockets/x HTTP/1.1"))
        answer = await client.response()
        assert answer is not None
        assert answer.status == status
        if status == 403:
            assert json.loads(answer.body)["reason"] == "device-not-compliant"
    client.close()
