"""Metadata by address: asked for again in time, kept through outages; and our own metadata."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from lxml import etree
from saml_idp import ACS, ENTITY, NOW, OUR_SLO, Idp, instant
from saml_signer import MORE, certificate, certificate_pem, certificate_text, ec_key, pem_of, rsa_key
from saml_stage import US, Clock, Make, login

from proxy.authn.errors import LoginRefused, ProviderMisconfigured, ProviderUnavailable
from proxy.authn.saml import Keys, SamlProvider, make_key
from proxy.authn.saml.signature import verified
from proxy.authn.saml.strict_xml import parse
from proxy.settings import schema

MD = "{urn:oasis:names:tc:SAML:2.0:metadata}"
TEN_MINUTES = schema.Duration(600)


class Site:
    """Serves metadata, and counts."""

    def __init__(self) -> None:
        self.document = Idp().metadata()
        self.status = 200
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(0)
        return web.Response(body=self.document, status=self.status)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site, app = Site(), web.Application()
    app.router.add_get("/metadata", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}/metadata"
    yield site
    await runner.cleanup()


# --- by address ------------------------------------------------------------------------------------------------------


async def test_it_is_asked_for_once_by_all_and_again_when_it_is_old(
    site: Site, idp: Idp, make: Make, clock: Clock
) -> None:
    provider = make(url=site.url, metadata_refresh=TEN_MINUTES)
    assert site.asked == 0, "nothing is asked before somebody logs in"
    await asyncio.gather(*(login(provider, idp.response()) for _ in range(5)))
    assert site.asked == 1
    clock.now += 599
    await login(provider, idp.response())
    assert site.asked == 1
    clock.now += 1
    await login(provider, idp.response())
    assert site.asked == 2


async def test_the_document_may_ask_for_sooner_but_not_for_each_minute(
    site: Site, idp: Idp, make: Make, clock: Clock
) -> None:
    site.document = idp.metadata(attributes=' cacheDuration="PT5S"')
    provider = make(url=site.url, metadata_refresh=TEN_MINUTES)
    for _ in range(3):
        await login(provider, idp.response())
        clock.now += 30
    assert site.asked == 2


async def test_what_is_known_outlives_an_outage(site: Site, idp: Idp, make: Make, clock: Clock) -> None:
    provider = make(url=site.url, metadata_refresh=TEN_MINUTES)
    await login(provider, idp.response())
    for fault in ("status", "rubbish"):
        site.status, site.document = (500, b"") if fault == "status" else (200, b"<html/>")
        clock.now += 600
        await login(provider, idp.response())
        await login(provider, idp.response())
    assert site.asked == 3, "once each"
    site.document = Idp(rsa_key("idp-new")).metadata()
    clock.now += 60
    with pytest.raises(LoginRefused, match="no certificate"):
        await login(provider, idp.response())


async def test_nothing_known_serves_nobody(site: Site, idp: Idp, make: Make, clock: Clock) -> None:
    site.status = 404
    provider = make(url=site.url)
    for _ in range(2):
        with pytest.raises(ProviderMisconfigured, match="404"):
            await login(provider, idp.response())
    assert site.asked == 1, "not asked again within a second"
    site.status = 200
    clock.now += 1
    assert await login(provider, idp.response())


async def test_metadata_that_has_ended_is_not_kept_and_not_taken(
    site: Site, idp: Idp, make: Make, clock: Clock
) -> None:
    site.document = idp.metadata(attributes=f' validUntil="{instant(NOW + 300)}"')
    provider = make(url=site.url)
    await login(provider, idp.response())
    clock.now += 300
    with pytest.raises(ProviderUnavailable, match="expired"):
        await login(provider, idp.response())
    site.document = idp.metadata()
    clock.now += 3600
    assert await login(provider, idp.response())


async def test_a_document_that_has_ended_does_not_replace_a_good_one(
    site: Site, idp: Idp, make: Make, clock: Clock
) -> None:
    provider = make(url=site.url)
    await login(provider, idp.response())
    site.document = Idp(rsa_key("idp-new")).metadata(attributes=f' validUntil="{instant(NOW)}"')
    clock.now += 3600
    assert await login(provider, idp.response())


async def test_a_new_key_is_learnt_at_once_but_strangers_cannot_make_us_ask(
    site: Site, idp: Idp, make: Make, clock: Clock
) -> None:
    provider = make(url=site.url)
    await login(provider, idp.response())
    new = Idp(ec_key("idp-new"))
    site.document = Idp(rsa_key("idp"), ec_key("idp-new")).metadata()
    clock.now += 61
    turned = new.response(lies={"method": MORE + "ecdsa-sha256"})
    await asyncio.gather(*(login(provider, turned) for _ in range(3)))
    assert site.asked == 2
    await login(provider, idp.response())
    for _ in range(20):
        clock.now += 1
        with pytest.raises(LoginRefused, match="no certificate"):
            await login(provider, Idp(rsa_key("mallory")).response())
    assert site.asked == 2
    clock.now += 60
    with pytest.raises(LoginRefused, match="no certificate"):
        await login(provider, Idp(rsa_key("mallory")).response())
    assert site.asked == 3


# --- ours ------------------------------------------------------------------------------------------------------------


def used(root: etree._Element, use: str) -> list[str]:
    found = root.iterfind(f"{MD}SPSSODescriptor/{MD}KeyDescriptor[@use='{use}']")
    return ["".join(str(text) for text in each.itertext()).strip() for each in found]


def test_ours_is_signed_and_says_who_and_where(make: Make) -> None:
    root = verified(parse(make(name_id="persistent").metadata()), [certificate(rsa_key("sp"))])
    assert root.get("entityID") == ENTITY
    (acs,) = root.iter(f"{MD}AssertionConsumerService")
    assert (acs.get("Location"), acs.get("isDefault")) == (ACS, "true")
    assert {each.get("Location") for each in root.iter(f"{MD}SingleLogoutService")} == {OUR_SLO}
    (role,) = root.iter(f"{MD}SPSSODescriptor")
    assert role.get("WantAssertionsSigned") == role.get("AuthnRequestsSigned") == "true"
    (name,) = root.iter(f"{MD}NameIDFormat")
    assert str(name.text).endswith(":persistent")
    assert used(root, "signing") == used(root, "encryption") == [certificate_text(rsa_key("sp"))]
    assert b"PRIVATE" not in etree.tostring(root)


def test_while_we_change_our_key_both_are_announced(make: Make) -> None:
    root = parse(make(previous="sp-before").metadata())
    assert len(used(root, "signing")) == 2
    assert used(root, "encryption") == [certificate_text(rsa_key("sp"))], "only the new one is to be encrypted for"


async def test_a_key_of_our_own_making(idp: Idp, http: aiohttp.ClientSession, clock: Clock, make: Make) -> None:
    settings = make().settings
    key, made = make_key("ostiary", NOW)
    provider = SamlProvider(settings, US, Keys(key=key, certificate=made), http, clock)
    assert provider.metadata().count(b"X509Certificate>") == 4
    assert b"PRIVATE" not in repr(Keys(key=key, certificate=made)).encode()
    with pytest.raises(ProviderMisconfigured, match="does not belong"):
        SamlProvider(settings, US, Keys(key=key, certificate=certificate_pem(rsa_key("sp"))), http, clock)
    with pytest.raises(ProviderMisconfigured, match="not a PEM"):
        SamlProvider(settings, US, Keys(key=b"x", certificate=made), http, clock)
    assert "PRIVATE" not in repr(provider)


def test_an_elliptic_key_signs_but_opens_nothing(http: aiohttp.ClientSession, clock: Clock, make: Make) -> None:
    settings, key = make().settings, ec_key("sp")
    keys = Keys(key=pem_of(key), certificate=certificate_pem(key))
    root = verified(parse(SamlProvider(settings, US, keys, http, clock).metadata()), [certificate(key)])
    assert used(root, "encryption") == []
    demanding = make(require_encryption=True).settings
    with pytest.raises(ProviderMisconfigured, match="RSA"):
        SamlProvider(demanding, US, keys, http, clock)
