"""What is asked of a person before they may go on, and what becomes of a form they had just sent."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from recording_origin import RecordingOrigin
from strict_reader import Message
from wire_client import Client, settle
from wire_device import HOST, LOGIN, asked, certificate, handle_of, known, setup
from wire_stack import Stack

from proxy.model.device import Bound
from proxy.settings.schema import UpstreamTls
from proxy.upstream.origin import parse_origin
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETUP = setup(login={"url": f"https://{LOGIN}", "interrupted_post": "2KiB"})
SETUP.changes["edited"] = {
    "allow": [{"name": "strong", "groups": ["staff"], "auth_age": "10m", "acr": ["phr", "phrh"]}]
}
SETUP.changes["stripped"] = {"allow": [{"name": "two", "groups": ["staff"], "mfa": True}]}

NAVIGATION = ("Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
FORM = (*NAVIGATION, "Sec-Fetch-Site: same-origin", "Content-Type: application/x-www-form-urlencoded")
TARGET, CHALLENGE = "X-Ostiary-Target", "X-Ostiary-Challenge"
FORGED = ("X-Ostiary-Target: /evil", "x_ostiary_challenge: https://evil.test/", "X-Ostiary-Certificate: " + "00" * 32)
FORGED += ("X-Ostiary-Device: laptop-1", "X.Ostiary.Session: 1")


@pytest_asyncio.fixture(loop_scope="module")
async def pages(stack: Stack) -> AsyncIterator[RecordingOrigin]:
    """A witness in the place of our own pages: what the gateway tells them."""
    witness = RecordingOrigin()
    await witness.start()
    pool = Pool(parse_origin(f"http://127.0.0.1:{witness.port}", UpstreamTls()), 8, time.monotonic)
    snapshot = stack.worker.house.snapshot
    plans = (snapshot.control, snapshot.forms)
    usual = [plan.target for plan in plans]
    for plan in plans:
        plan.target = Target([(pool, 1)], time.monotonic)
    yield witness
    for plan, target in zip(plans, usual, strict=True):
        plan.target = target
    pool.close()
    await witness.close()


async def sent(stack: Stack, data: bytes, method: str = "GET") -> tuple[Message, Client]:
    """The answer, and the connection it came on."""
    stack.origin.forget()
    client = await stack.connect()
    await client.send(data)
    response = await client.response(method)
    await settle()
    assert response is not None
    return response, client


def posted(handle: str, *fields: str, path: str = "/x", body: str = "a=1&b=2") -> bytes:
    """A form."""
    return asked(handle, f"POST {path} HTTP/1.1", *fields, f"Content-Length: {len(body)}", body=body)


async def test_a_program_is_told_what_login_it_takes(stack: Stack) -> None:
    """RFC 9470, beside what our own clients read."""
    handle = await handle_of(stack, None, auth_time=time.time() - 3600, acr="0")
    response, client = await sent(stack, asked(handle, "GET /edited HTTP/1.1"))
    client.close()
    assert response.status == 401
    (challenge,) = (one for one in response.values("WWW-Authenticate") if one.startswith(b"Bearer "))
    assert b'error="insufficient_user_authentication"' in challenge
    assert b'acr_values="phr phrh"' in challenge
    assert b'max_age="600"' in challenge
    told = json.loads(response.body)
    assert told["login_url"].startswith(f"https://{HOST}/.ostiary/login?return=/edited&max_age=600")
    assert told["login_url"].endswith("&acr=phr%20phrh")
    assert not stack.origin.saw.octets


async def test_a_person_is_stepped_up(stack: Stack) -> None:
    handle = await handle_of(stack, None)
    response, client = await sent(stack, asked(handle, "GET /stripped/a HTTP/1.1", *NAVIGATION))
    client.close()
    assert response.status == 303
    assert response.values("Location") == [b"/.ostiary/login?return=/stripped/a&mfa=1"]


async def test_a_device_to_mend_is_a_page_and_leads_nowhere(stack: Stack) -> None:
    device = await known(stack, "laptop-1", compliant=False)
    handle = await handle_of(stack, Bound(device=device, binding="provider"))
    response, client = await sent(stack, asked(handle, "GET /sockets HTTP/1.1", *NAVIGATION))
    client.close()
    assert response.status == 403
    assert not response.values("Location")
    assert response.values("Content-Type")[0].startswith(b"text/html")


async def test_a_form_that_must_wait_is_given_to_our_pages(stack: Stack, pages: RecordingOrigin) -> None:
    response, client = await sent(stack, posted("none", *FORM, *FORGED, path="/x/%61?q=1"), "POST")
    assert response.status == 200
    assert not stack.origin.saw.octets
    (relayed,) = pages.saw.requests
    assert relayed.first == b"POST /.ostiary/interrupted HTTP/1.1"
    assert relayed.body == b"a=1&b=2"
    assert relayed.values(TARGET) == [b"/x/a?q=1"]
    assert relayed.values(CHALLENGE) == [b"/.ostiary/login?return=/x/a%3Fq%3D1"]
    assert len(relayed.aliases(TARGET)) == len(relayed.aliases(CHALLENGE)) == 1
    assert not relayed.aliases("X-Ostiary-Certificate")
    assert not relayed.aliases("X-Ostiary-Device")
    assert not relayed.aliases("X-Ostiary-Session")
    assert b"evil" not in relayed.raw
    stack.worker.journal.flush()
    line = json.loads((stack.folder / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["outcome"], line["reason"], line["route"]) == ("challenge", "login-required", "app")
    client.close()


async def test_a_form_of_somebody_who_must_step_up(stack: Stack, pages: RecordingOrigin) -> None:
    handle = await handle_of(stack, None)
    response, client = await sent(stack, posted(handle, *FORM, path="/stripped/x"), "POST")
    assert response.status == 200
    (relayed,) = pages.saw.requests
    assert relayed.values(CHALLENGE) == [b"/.ostiary/login?return=/stripped/x&mfa=1"]
    assert relayed.values("X-Ostiary-Session"), "our pages seal it to the person who sent it"
    client.close()


async def test_a_form_of_somebody_who_must_show_the_device(stack: Stack, pages: RecordingOrigin) -> None:
    device = await known(stack, "laptop-2")
    handle = await handle_of(stack, Bound(device=device, binding="agent", proved_at=1.0, address="127.0.0.1"))
    response, client = await sent(stack, posted(handle, *FORM), "POST")
    assert response.status == 200
    (relayed,) = pages.saw.requests
    assert relayed.values(CHALLENGE)[0].startswith(f"https://{LOGIN}/.ostiary/device/prove?return=".encode())
    assert not relayed.aliases("X-Ostiary-Session")
    client.close()


@pytest.mark.parametrize(
    "fields",
    [
        (*NAVIGATION, "Sec-Fetch-Site: cross-site", FORM[-1]),
        (*NAVIGATION, "Sec-Fetch-Site: same-site", FORM[-1]),
        (*NAVIGATION, "Sec-Fetch-Site: none", FORM[-1]),
        (*NAVIGATION, FORM[-1]),
        (*NAVIGATION, "Origin: https://evil.test", FORM[-1]),
        (*NAVIGATION, "Origin: null", FORM[-1]),
        (*NAVIGATION, f"Origin: https://{HOST}.evil.test", FORM[-1]),
        (*FORM, "Origin: https://evil.test"),
        (*FORM, f"Origin: https://{HOST}", "Origin: https://evil.test"),
        (*FORM[:-1], "Content-Type: application/json"),
        (*FORM[:-1],),
        ("Accept: text/html", "Sec-Fetch-Mode: cors", *FORM[3:]),
        ("Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", *FORM[3:]),
        ("Accept: application/json", f"Origin: https://{HOST}", FORM[-1]),
    ],
)
async def test_what_another_site_or_a_program_posted_is_not_kept(
    stack: Stack, pages: RecordingOrigin, fields: tuple[str, ...]
) -> None:
    response, client = await sent(stack, posted("none", *fields), "POST")
    client.close()
    assert response.status == 401
    assert not pages.saw.octets
    assert not stack.origin.saw.octets


@pytest.mark.parametrize("origin", [f"https://{HOST}", None])
async def test_an_older_browser_says_it_by_origin(stack: Stack, pages: RecordingOrigin, origin: str | None) -> None:
    fields = ("Accept: text/html", *([f"Origin: {origin}"] if origin else []), FORM[-1])
    response, client = await sent(stack, posted("none", *fields), "POST")
    client.close()
    assert response.status == (200 if origin else 401)
    assert len(pages.saw.requests) == int(origin is not None)


async def test_a_form_that_is_too_large_is_not_kept(stack: Stack, pages: RecordingOrigin) -> None:
    response, client = await sent(stack, posted("none", *FORM, body="a" * 2049), "POST")
    client.close()
    assert response.status == 401
    assert not pages.saw.octets


async def test_our_pages_hear_of_the_certificate_from_us_only(stack: Stack, pages: RecordingOrigin) -> None:
    pair, sha256 = certificate(stack, "laptop-3.devices.test")
    await known(stack, "laptop-3", sha256=sha256)
    client = await stack.connect(tls=HOST, pair=pair)
    await client.send(asked("none", "GET /.ostiary/whoami HTTP/1.1", *FORGED))
    assert await client.response() is not None
    (relayed,) = pages.saw.requests
    assert relayed.values("X-Ostiary-Certificate") == [sha256.encode()]
    assert relayed.values("X-Ostiary-Device") == [b"laptop-3"]
    assert len(relayed.aliases("X-Ostiary-Certificate")) == len(relayed.aliases("X-Ostiary-Device")) == 1
    assert not relayed.aliases(TARGET)
    assert not relayed.aliases(CHALLENGE)
    assert not relayed.aliases("X-Ostiary-Session")
    client.close()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/.ostiary/device/prove", True),
        ("/.ostiary/device/proof", True),
        ("/.ostiary/logout", True),
        ("/.ostiary/whoami", False),
        ("/.ostiary/login", False),
        ("/.ostiary/factors", False),
        ("/.ostiary/device/remove", False),
    ],
)
async def test_without_its_device_a_session_opens_only_the_pages_that_show_it(
    stack: Stack, pages: RecordingOrigin, path: str, told: bool
) -> None:
    device = await known(stack, "laptop-4")
    bound = Bound(device=device, binding="certificate", certificate="00" * 32)
    handle = await handle_of(stack, bound, host=LOGIN)
    response, client = await sent(stack, asked(handle, f"GET {path} HTTP/1.1", host=LOGIN))
    client.close()
    assert response.status == 200
    (relayed,) = pages.saw.requests
    assert bool(relayed.aliases("X-Ostiary-Session")) is told


async def test_the_portal_asks_for_the_device_first(stack: Stack, pages: RecordingOrigin) -> None:
    device = await known(stack, "laptop-4")
    handle = await handle_of(stack, Bound(device=device, binding="certificate", certificate="00" * 32), host=LOGIN)
    response, client = await sent(stack, asked(handle, "GET / HTTP/1.1", *NAVIGATION, host=LOGIN))
    client.close()
    assert response.values("Location") == [f"https://{LOGIN}/.ostiary/device/prove?return=https://{LOGIN}/".encode()]
    assert not pages.saw.octets
