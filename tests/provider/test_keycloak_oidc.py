"""Keycloak as OpenID provider of the whole product: groups, and logout in both directions."""

from __future__ import annotations

import pytest
from keycloak import Keycloak
from partner_people import Employee
from scenario_app import App
from scenario_processes import Outside
from scenario_world import eventually_so

from proxy.web.endpoints import LOGGED_OUT, LOGOUT

pytestmark = pytest.mark.keycloak


@pytest.fixture
async def office(proxy: Outside, app: App, keycloak: Keycloak) -> Outside:
    """The running product with Keycloak as its only provider, as an administrator writes it down."""
    secret = proxy.folder / "keycloak-secret"
    secret.write_text("a secret of Keycloak's")
    secret.chmod(0o600)
    proxy.config["login"]["providers"] = [
        {
            "name": "keycloak",
            "issuer": keycloak.issuer,
            "client_id": "ostiary",
            "client_secret": {"file": "keycloak-secret"},
        }
    ]
    proxy.config["sessions"] = {"refresh": "1s"}
    proxy.route("wiki", app.url, allow=[{"name": "staff", "groups": ["staff"]}])
    proxy.route("pager", app.url, allow=[{"name": "on-call", "groups": ["sre"]}])
    await keycloak.add_oidc_client(proxy.origin("login"))
    await proxy.start()
    return proxy


def employee(office: Outside, name: str) -> Employee:
    return Employee(office, name, password=f"{name}'s own password")


async def status(person: Employee, url: str) -> int:
    return (await person.fetch(url)).status


async def test_employees_are_in_the_groups_keycloak_names(office: Outside, app: App) -> None:
    ann, bob = employee(office, "ann"), employee(office, "bob")
    page = await ann.open(office.origin("wiki") + "/reports?q=1")
    assert (page.status, page.url) == (200, office.origin("wiki") + "/reports?q=1")
    assert app.last().header("x-ostiary-email") == "ann@partner.example"
    assert app.last().header("x-ostiary-groups") == "sre,staff"
    assert (await ann.open(office.origin("pager") + "/")).status == 200
    assert (await bob.open(office.origin("wiki") + "/")).status == 200
    assert (await bob.open(office.origin("pager") + "/")).status == 403


async def test_logging_out_here_ends_the_session_there(office: Outside, keycloak: Keycloak) -> None:
    ann = employee(office, "ann")
    before = await keycloak.sessions("ann")
    await ann.open(office.origin("wiki") + "/")
    assert await keycloak.sessions("ann") == before + 1
    page = await ann.submit(office.origin("wiki") + LOGOUT, {})
    assert page.url.startswith(office.origin("login") + LOGGED_OUT)
    assert "here and at keycloak" in page.text
    assert await status(ann, office.origin("wiki") + "/") == 401
    assert await keycloak.sessions("ann") == before


async def test_logging_out_there_ends_the_session_here(office: Outside, keycloak: Keycloak) -> None:
    ann, bob = employee(office, "ann"), employee(office, "bob")
    for person in (ann, bob):
        await person.open(office.origin("wiki") + "/")
    await keycloak.end_sessions("ann")

    async def ended() -> bool:
        return await status(ann, office.origin("wiki") + "/") == 401

    await eventually_so(ended, "the end of her session")
    assert (await ann.fetch(office.origin("wiki") + "/")).json["reason"] == "session-revoked"
    assert await status(bob, office.origin("wiki") + "/") == 200
    await office.recorded(type="revocation", reason="session-revoked")


async def test_groups_are_read_again(office: Outside, keycloak: Keycloak) -> None:
    bob = employee(office, "bob")
    await bob.open(office.origin("wiki") + "/")
    assert (await bob.open(office.origin("pager") + "/")).status == 403
    await keycloak.change_group("bob", "sre", member=True)
    try:

        async def admitted() -> bool:
            return await status(bob, office.origin("pager") + "/") == 200

        await eventually_so(admitted, "his new group")
    finally:
        await keycloak.change_group("bob", "sre", member=False)

    async def refused() -> bool:
        return await status(bob, office.origin("pager") + "/") == 403

    await eventually_so(refused, "the end of it")
    assert await status(bob, office.origin("wiki") + "/") == 200
