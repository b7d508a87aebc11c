"""Keycloak as SAML provider of the whole product: a partner company, its groups, and logout in both directions."""

from __future__ import annotations

import pytest
from keycloak import Keycloak
from partner_people import Employee
from scenario_app import App
from scenario_http import Line
from scenario_processes import Outside
from scenario_world import CUT, eventually_so

from proxy.web.endpoints import LOGGED_OUT, LOGOUT, SAML_ACS, SAML_METADATA

pytestmark = pytest.mark.keycloak
UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@pytest.fixture
async def office(proxy: Outside, app: App, keycloak: Keycloak) -> Outside:
    """The running product with Keycloak as its only provider: six lines, and our metadata imported there."""
    proxy.config["login"]["providers"] = [
        {
            "name": "partner",
            "type": "saml",
            "title": "Partner Ltd",
            "metadata": keycloak.saml_metadata,
            "domains": ["partner.example"],
        }
    ]
    proxy.route("wiki", app.url, allow=[{"name": "staff", "groups": ["staff"]}])
    proxy.route("pager", app.url, allow=[{"name": "on-call", "groups": ["sre"]}])
    await proxy.start()
    metadata = (await proxy.ask("login", SAML_METADATA.format(provider="partner"))).text
    await keycloak.add_saml_client(metadata, proxy.origin("login"))
    return proxy


def employee(office: Outside, name: str) -> Employee:
    return Employee(office, name, password=f"{name}'s own password")


async def status(person: Employee, url: str) -> int:
    return (await person.fetch(url)).status


async def stream(office: Outside, person: Employee) -> Line:
    """An open WebSocket of this person."""
    host = office.host("wiki").partition(":")[0]
    line = await office.line("wiki")
    line.ask(
        "GET",
        "/ws",
        office.host("wiki"),
        [*UPGRADE, ("Cookie", person.cookie(host)), ("Origin", office.origin("wiki"))],
    )
    assert (await line.head()).status == 101
    await line.until(b"hello.")
    return line


async def test_employees_of_a_partner_are_in_the_groups_their_assertion_names(office: Outside, app: App) -> None:
    ann, bob = employee(office, "ann"), employee(office, "bob")
    page = await ann.open(office.origin("wiki") + "/reports?q=a%26b")
    assert (page.status, page.url) == (200, office.origin("wiki") + "/reports?q=a%26b"), page.text
    assert app.last().header("x-ostiary-email") == "ann@partner.example"
    assert app.last().header("x-ostiary-groups") == "sre,staff"
    told = (await ann.fetch(office.origin("wiki") + "/.ostiary/whoami")).json
    assert (told["provider"], told["groups"]) == ("partner", ["sre", "staff"])
    assert (await ann.open(office.origin("pager") + "/")).status == 200
    assert (await bob.open(office.origin("wiki") + "/")).status == 200
    assert (await bob.open(office.origin("pager") + "/")).status == 403
    await office.recorded(type="login", outcome="allow")


async def test_encrypted_assertions_are_opened(office: Outside, keycloak: Keycloak) -> None:
    metadata = (await office.ask("login", SAML_METADATA.format(provider="partner"))).text
    encrypting = {"saml.encrypt": "true", "saml.server.signature": "true", "saml.assertion.signature": "true"}
    await keycloak.add_saml_client(metadata, office.origin("login"), attributes=encrypting)
    ann = employee(office, "ann")
    assert (await ann.open(office.origin("wiki") + "/")).status == 200
    assert "EncryptedAssertion" in ann.sent("SAMLResponse")
    assert "partner.example" not in ann.sent("SAMLResponse")


async def test_a_response_counts_once_and_in_the_browser_that_asked_for_it(office: Outside) -> None:
    ann, victim = employee(office, "ann"), employee(office, "bob")
    await ann.open(office.origin("wiki") + "/")
    [response] = ann.posted
    page = await victim.post(response, "http://127.0.0.1:1/")
    assert page.status in (400, 403)
    assert await status(victim, office.origin("wiki") + "/") == 401
    again = await ann.post(response, "http://127.0.0.1:1/")
    assert again.status in (400, 403)


async def test_a_mail_address_of_another_company_is_not_believed(office: Outside, app: App) -> None:
    mallory = employee(office, "mallory")
    assert (await mallory.open(office.origin("wiki") + "/")).status == 403
    told = (await mallory.fetch(office.origin("wiki") + "/.ostiary/whoami")).json
    assert not told.get("email")


async def test_logging_out_here_ends_the_session_there(office: Outside, keycloak: Keycloak) -> None:
    ann = employee(office, "ann")
    before = await keycloak.sessions("ann")
    await ann.open(office.origin("wiki") + "/")
    assert await keycloak.sessions("ann") == before + 1
    page = await ann.submit(office.origin("wiki") + LOGOUT, {})
    assert page.url.startswith(office.origin("login") + LOGGED_OUT), page.text
    assert "here and at Partner Ltd" in page.text
    assert await status(ann, office.origin("wiki") + "/") == 401
    assert await keycloak.sessions("ann") == before


async def test_logging_out_there_in_the_browser_ends_the_session_and_its_streams(
    office: Outside, keycloak: Keycloak
) -> None:
    ann, twin = employee(office, "ann"), employee(office, "ann")
    for browser in (ann, twin):
        await browser.open(office.origin("wiki") + "/")
    line = await stream(office, ann)
    page = await ann.open(f"{keycloak.issuer}/protocol/openid-connect/logout")
    page = await ann.confirm(page)
    assert page.url.startswith(keycloak.origin), page.text
    await line.closed(CUT)
    assert (await ann.fetch(office.origin("wiki") + "/")).json["reason"] == "session-revoked"
    assert await status(twin, office.origin("wiki") + "/") == 200, "her other browser is another session there"
    await office.recorded(type="revocation", reason="session-revoked")


async def test_an_administrator_there_ends_her_sessions_without_a_browser(office: Outside, keycloak: Keycloak) -> None:
    metadata = (await office.ask("login", SAML_METADATA.format(provider="partner"))).text
    await keycloak.add_saml_client(metadata, office.origin("login"), frontchannelLogout=False)
    ann, bob = employee(office, "ann"), employee(office, "bob")
    for person in (ann, bob):
        await person.open(office.origin("wiki") + "/")
    line = await stream(office, ann)
    await keycloak.end_sessions("ann")
    await line.closed()

    async def ended() -> bool:
        return await status(ann, office.origin("wiki") + "/") == 401

    await eventually_so(ended, "the end of her session")
    assert await status(bob, office.origin("wiki") + "/") == 200


async def test_the_provider_steps_up_where_it_is_asked_for_a_fresh_login(office: Outside) -> None:
    ann = employee(office, "ann")
    await ann.open(office.origin("wiki") + "/")
    asked = len(ann.asked)
    page = await ann.open(office.origin("login") + "/.ostiary/login?return=/&prompt=login")
    assert page.url == office.origin("login") + "/"
    assert len(ann.asked) == asked + 1, "ForceAuthn: she typed her password again"


async def test_the_metadata_carries_what_a_provider_needs(office: Outside) -> None:
    answer = await office.ask("login", SAML_METADATA.format(provider="partner"))
    assert answer.header("content-type") == "application/samlmetadata+xml"
    assert office.origin("login") + SAML_ACS.format(provider="partner") in answer.text
    again = await office.ask("login", SAML_METADATA.format(provider="partner"))
    one, other = (set(text.split("X509Certificate>")[1::2]) for text in (answer.text, again.text))
    assert one & other, "whichever worker answers, the key is one"
