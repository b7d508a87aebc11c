"""The tour: everything an employee, a service, a developer and an admin do, over real TLS, one line for each step."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import aiohttp
import msgspec

from proxy.demo import tour_posture
from proxy.demo.laptop import COMPLIANT, NEGLECTED, laptop
from proxy.demo.layout import DemoError, Layout
from proxy.demo.stage import Stage, Step, Wrong, command, must, reason, status
from proxy.demo.visitor import TROUBLE, Visitor

STEP_TIME = 20.0  # seconds a step may take
CUT_TIME = 1.0  # seconds until a revocation has ended every open stream


async def tour(layout: Layout, say: Callable[[str], None]) -> int:
    """Drive every step; `say` prints its line. Returns how many failed."""
    failed = 0
    async with AsyncExitStack() as stack:
        alice, bob, carol, stranger = [await stack.enter_async_context(Visitor(layout)) for _ in range(4)]
        billing, retired = [await stack.enter_async_context(Visitor(layout, name)) for name in ("billing", "retired")]
        partner = await stack.enter_async_context(Visitor(layout))
        laptops = [
            await stack.enter_async_context(laptop(layout.url("login"), layout.trust, name, attributes))
            for name, attributes in (("Compliant laptop", COMPLIANT), ("Neglected laptop", NEGLECTED))
        ]
        stage = Stage(layout, alice, bob, carol, stranger, billing, retired, partner, laptops[0], laptops[1])
        for title, step in STEPS:
            problem = await _problem(step, stage)
            failed += problem is not None
            say(f"  ✓ {title}" if problem is None else f"  ✗ {title}\n      {problem}")
    return failed


async def _problem(step: Step, stage: Stage) -> str | None:
    try:
        await asyncio.wait_for(step(stage), STEP_TIME)
    except Wrong as error:
        return str(error)
    except TimeoutError:
        return f"took longer than {STEP_TIME:.0f} seconds"
    except TROUBLE as error:
        return f"{type(error).__name__}: {error}"
    return None


# --- an employee ---------------------------------------------------------------------------------------------------


async def _login(stage: Stage) -> None:
    wanted = stage.layout.url("headers") + "/reports/2026?quarter=3&sort=a%26b"
    page = await stage.alice.log_in(wanted, "alice")
    status(page, 200, "the app after the login")
    must(page.url == wanted, f"asked for {wanted}, came back to {page.url}")
    must("Verified." in page.text and "alice" in page.text, "the app does not say that it knows alice")


async def _program_gets_json(stage: Stage) -> None:
    answer = await stage.stranger.ask(stage.layout.url("headers") + "/")
    reason(answer, 401, "login-required", "a program without a session")
    must(answer.json.get("login_url"), "the refusal does not say where to log in")


async def _whoami(stage: Stage) -> None:
    answer = await stage.alice.ask(stage.layout.url("headers") + "/.ostiary/whoami")
    status(answer, 200, "whoami")
    got = answer.json
    must(got["email"] == "alice@example.com" and got["groups"] == ["engineering"], f"whoami says {answer.text}")


async def _portals(stage: Stage) -> None:
    await stage.bob.log_in(stage.layout.url("headers") + "/", "bob")
    portal = stage.layout.url("login") + "/"
    for visitor, who, wanted in ((stage.alice, "alice", ["api", "headers", "live"]), (stage.bob, "bob", ["headers"])):
        page = await visitor.open(portal)
        status(page, 200, f"the portal of {who}")
        found = sorted(set(re.findall(r'href="https://([a-z]+)\.apps\.localhost:\d+/"', page.text)) - {"login"})
        must(found == wanted, f"the portal of {who} lists {found}, expected {wanted}")


async def _refused_page(stage: Stage) -> None:
    url = stage.layout.url("live") + "/"
    page = await stage.bob.open(url)
    status(page, 403, "bob at “Live data”")
    must(page.url == url, f"the refusal sent bob to {page.url}")
    must("engineering" in page.text, "the page names neither the rule nor the group")
    answer = await stage.bob.ask(url)
    reason(answer, 403, "no-rule-allows", "bob at “Live data”, as a program")
    must(answer.json["rule"] == "engineering" and answer.json["reference"], f"rule or reference missing: {answer.text}")
    must(answer.json["reference"] and answer.json["failed"], f"the fact is missing: {answer.text}")


async def _denied_by_rule(stage: Stage) -> None:
    answer = await stage.alice.ask(stage.layout.url("api") + "/orders/1", "DELETE")
    reason(answer, 403, "denied-by-rule", "alice deleting an order")
    must(answer.json["rule"] == "no-deletions", f"another rule: {answer.text}")


async def _public(stage: Stage) -> None:
    status(await stage.stranger.ask(stage.layout.url("api") + "/health"), 200, "the public part of the API")


async def _websocket(stage: Stage) -> None:
    live = stage.layout.url("live")
    await stage.alice.open(live + "/")
    async with stage.alice.websocket(live + "/ws", live) as socket:
        await socket.send_str("over the proxy")
        while "echo" not in (got := await socket.receive_json()):
            pass
        must(got["echo"] == "over the proxy", f"the echo was {got}")


async def _foreign_websocket(stage: Stage) -> None:
    try:
        async with stage.alice.websocket(stage.layout.url("live") + "/ws", "https://evil.example"):
            raise Wrong("a foreign page could open a WebSocket with alice's cookie")
    except aiohttp.WSServerHandshakeError as error:
        must(error.status == 403, f"refused with {error.status} instead of 403")


async def _events(stage: Stage) -> None:
    async with stage.alice.stream(stage.layout.url("live") + "/events") as response:
        must(response.status == 200, f"the stream answers {response.status}")
        lines = [await response.content.readline() for _ in range(8)]
    must(sum(line.startswith(b"data:") for line in lines) == 2, f"two events should have come: {lines}")


async def _transfers(stage: Stage) -> None:
    await stage.carol.log_in(stage.layout.url("api") + "/", "carol")
    body = bytes(range(256)) * 32_768  # 8 MiB
    answer = await stage.carol.ask(stage.layout.url("api") + "/upload", "POST", data=body)
    status(answer, 200, "an upload of 8 MiB")
    must(answer.json["sha256"] == hashlib.sha256(body).hexdigest(), "what arrived is not what was sent")
    answer = await stage.carol.ask(stage.layout.url("api") + f"/download?bytes={len(body)}")
    must(answer.body == body, "the download is not what the app sent")


# --- a developer ---------------------------------------------------------------------------------------------------


async def _assertion(stage: Stage) -> None:
    forged = {"X-Ostiary-User": "root", "x_ostiary_assertion": "x", "X-Ostiary-Groups": "admins"}
    answer = await stage.alice.ask(stage.layout.url("headers") + "/", headers=forged)
    status(answer, 200, "the app that shows headers")
    assertion = answer.json["assertion"]
    must(assertion["verified"], f"the app could not verify the assertion: {assertion['problem']}")
    claims = assertion["claims"]
    must(claims["email"] == "alice@example.com", f"the assertion says {claims}")
    must(claims["exp"] - claims["iat"] <= 300, "the assertion is good for longer than five minutes")
    names = [(name.lower().replace("_", "-"), value) for name, value in answer.json["headers"]]
    managed = [value for name, value in names if name in {"x-ostiary-user", "x-ostiary-groups"}]
    must("root" not in managed and "admins" not in managed and len(managed) == 2, f"forged headers arrived: {managed}")
    must("__Host-ostiary" not in answer.text, "the session cookie reached the app")


async def _around(stage: Stage) -> None:
    url = f"http://127.0.0.1:{stage.layout.ports.api}/orders"
    status(await stage.stranger.ask(url, headers={"X-Ostiary-User": "alice"}), 401, "the app, reached around the proxy")


# --- a service -----------------------------------------------------------------------------------------------------


async def _service(stage: Stage) -> None:
    orders = stage.layout.url("api") + "/orders"
    answer = await stage.billing.ask(orders, "POST", data=b'{"item": "ink"}')
    status(answer, 201, "billing writes an order")
    must(answer.json["caller"] == "spiffe://example.org/billing", f"the app thinks it was {answer.json['caller']}")
    reason(await stage.billing.ask(stage.layout.url("api") + "/upload", "POST"), 403, "no-rule-allows", "elsewhere")


async def _no_certificate(stage: Stage) -> None:
    answer = await stage.stranger.ask(stage.layout.url("api") + "/orders", "POST", data=b"{}")
    must(answer.status in {401, 403} and "reason" in answer.json, f"got {answer.status}: {answer.text[:300]}")


async def _revoked_certificate(stage: Stage) -> None:
    answer = await stage.retired.ask(stage.layout.url("api") + "/orders")
    reason(answer, 403, "certificate-revoked", "a service with a revoked certificate")


# --- an admin ------------------------------------------------------------------------------------------------------


async def _revoke(stage: Stage) -> None:
    live = stage.layout.url("live")
    await stage.carol.open(live + "/")
    async with stage.carol.websocket(live + "/ws", live) as socket:
        await socket.receive_json()
        closed = asyncio.create_task(_until_closed(socket))
        for sid in await _sessions_of(stage, "carol"):
            await command("sessions", "revoke", sid, "--config", str(stage.layout.config))
        done, _ = await asyncio.wait([closed], timeout=CUT_TIME)
        closed.cancel()
    must(done, "the WebSocket was still open a second later")
    reason(await stage.carol.ask(live + "/"), 401, "session-revoked", "the next request")


async def _provider_logout(stage: Stage) -> None:
    page = await stage.bob.open(stage.layout.issuer + "/")
    await stage.bob.submit(page, {"sid": _own_login(page.text)})
    answer = await stage.bob.ask(stage.layout.url("headers") + "/")
    must(answer.status == 401, f"bob's next request was answered with {answer.status}")


async def _logout(stage: Stage) -> None:
    page = await stage.alice.open(stage.layout.url("headers") + "/.ostiary/logout")
    status(page, 200, "the page that asks")
    done = await stage.alice.submit(page, {})
    must(done.status == 200 and "logged out" in done.text.lower(), f"ended at {done.url} with {done.status}")
    for name in ("headers", "api"):
        answer = await stage.alice.ask(stage.layout.url(name) + "/")
        must(answer.status == 401, f"{name} still answers {answer.status}")


async def _until_closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    end = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)
    while (await socket.receive()).type not in end:
        pass


async def _sessions_of(stage: Stage, subject: str) -> list[str]:
    listed = msgspec.json.decode(await command("sessions", "list", "--json", "--config", str(stage.layout.config)))
    rows = listed["sessions"] if isinstance(listed, dict) else listed
    found = [row["sid"] for row in rows if subject in str(row)]
    must(found, f"`sessions list` does not know {subject}: {listed}")
    return found


def _own_login(text: str) -> str:
    """The hidden field of the row of this browser on the provider's page."""
    for row in text.split("<li>"):
        field = re.search(r'name="sid" value="([^"]+)"', row)
        if field and "this browser" in row:
            return field[1]
    raise DemoError("the provider's page does not show this browser's login")


STEPS: Sequence[tuple[str, Step]] = (
    ("alice opens an app, logs in, and is back at the exact address", _login),
    ("a program without a session gets JSON, not a redirect", _program_gets_json),
    ("whoami tells alice who she is", _whoami),
    ("the portal lists exactly what each may open", _portals),
    ("bob is refused: the page names the rule and the fact", _refused_page),
    ("a deny rule wins over what allows", _denied_by_rule),
    ("a public path needs no login", _public),
    ("a WebSocket through the proxy", _websocket),
    ("a WebSocket from a foreign page is refused", _foreign_websocket),
    ("server-sent events through the proxy", _events),
    ("8 MiB up and down, unchanged", _transfers),
    ("the app verifies the assertion; forged headers and our cookie do not arrive", _assertion),
    ("around the proxy there is no way in", _around),
    ("a service is admitted by its SPIFFE ID, and only where a rule says so", _service),
    ("a service without a certificate is refused", _no_certificate),
    ("a service whose certificate was revoked is refused, and told why", _revoked_certificate),
    *tour_posture.STEPS,
    ("`ostiary sessions revoke` ends carol's session and her open WebSocket within a second", _revoke),
    ("ending bob's login at the provider ends his session here", _provider_logout),
    ("alice logs out: here, everywhere, and at the provider", _logout),
)
