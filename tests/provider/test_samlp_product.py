"""npm `samlp`, another maker's provider, before the whole product: what one provider forgives another may not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from partner_people import Employee
from real_saml_provider import POST, SamlpProvider
from scenario_app import App
from scenario_processes import Outside

from proxy.web.endpoints import LOGGED_OUT, LOGOUT, SAML_METADATA

pytestmark = pytest.mark.provider
GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
CBC = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"


class Office:
    """The running product with `partner`, made of samlp."""

    def __init__(self, proxy: Outside, idp: SamlpProvider) -> None:
        self.proxy, self.idp = proxy, idp
        self.wiki, self.pager, self.login = (proxy.origin(name) for name in ("wiki", "pager", "login"))

    async def open(self, settings: dict[str, object] | None = None, **told: object) -> None:
        """Start it; `settings` are ours, what is `told` is the provider's about us."""
        [provider] = self.proxy.config["login"]["providers"]
        provider |= settings or {}
        await self.proxy.start()
        metadata = (await self.proxy.ask("login", SAML_METADATA.format(provider="partner"))).text
        await self.idp.register(metadata, **told)

    def employee(self, name: str = "ann") -> Employee:
        return Employee(self.proxy, name, password="any")

    async def status(self, person: Employee) -> int:
        return (await person.fetch(self.wiki + "/")).status


@pytest.fixture
async def office(proxy: Outside, app: App) -> AsyncIterator[Office]:
    """Not open yet."""
    async with SamlpProvider() as idp:
        proxy.config["login"]["providers"] = [
            {"name": "partner", "type": "saml", "metadata": idp.metadata, "domains": ["partner.example"]}
        ]
        proxy.route("wiki", app.url, allow=[{"name": "staff", "groups": ["staff"]}])
        proxy.route("pager", app.url, allow=[{"name": "on-call", "groups": ["sre"]}])
        yield Office(proxy, idp)


async def test_groups_decide_what_opens(office: Office, app: App) -> None:
    await office.open()
    ann, bob = office.employee(), office.employee("bob")
    page = await ann.open(office.wiki + "/reports?q=1")
    assert (page.status, page.url) == (200, office.wiki + "/reports?q=1"), page.text
    assert app.last().header("x-ostiary-email") == "ann@partner.example"
    assert app.last().header("x-ostiary-groups") == "sre,staff"
    assert (await ann.open(office.pager + "/")).status == 200
    assert (await bob.open(office.wiki + "/")).status == 200
    assert (await bob.open(office.pager + "/")).status == 403


@pytest.mark.parametrize("algorithm", [GCM, CBC])
async def test_encrypted_assertions_are_opened(office: Office, algorithm: str) -> None:
    """CBC only under a signed response: unsigned, whoever is on the way could try it bit by bit."""
    await office.open({"require_encryption": True}, encrypt=algorithm, signResponse=algorithm == CBC)
    ann = office.employee()
    assert (await ann.open(office.wiki + "/")).status == 200
    assert "EncryptedAssertion" in ann.sent("SAMLResponse")


async def test_an_assertion_in_clear_is_refused_where_encryption_is_asked_for(office: Office) -> None:
    await office.open({"require_encryption": True})
    page = await office.employee().open(office.wiki + "/")
    assert page.status == 403
    assert "require_encryption" in page.text


@pytest.mark.parametrize("binding", ["redirect", "post"])
async def test_logging_out_here_logs_out_there(office: Office, binding: str) -> None:
    await office.open(**({"binding": POST} if binding == "post" else {}))
    ann = office.employee()
    await ann.open(office.wiki + "/")
    typed = len(ann.asked)
    page = await ann.submit(office.wiki + LOGOUT, {})
    assert page.url.startswith(office.login + LOGGED_OUT), page.text
    assert "here and at partner" in page.text
    assert await office.status(ann) == 401
    await ann.open(office.wiki + "/")
    assert len(ann.asked) == typed + 1, "the provider asked who she is"


@pytest.mark.parametrize("binding", ["redirect", "post"])
async def test_logging_out_there_logs_out_here(office: Office, binding: str) -> None:
    await office.open(**({"binding": POST} if binding == "post" else {}))
    ann, twin = office.employee(), office.employee()
    for browser in (ann, twin):
        await browser.open(office.wiki + "/")
    page = await ann.open(office.idp.origin + "/logout")
    assert (page.status, page.url.startswith(office.idp.origin)) == (200, True), page.text
    assert await office.status(ann) == 401
    assert await office.status(twin) == 200
    await office.proxy.recorded(type="revocation", reason="session-revoked")
