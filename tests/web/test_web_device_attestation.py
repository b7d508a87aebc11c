"""A TPM vouches for a laptop's key over our own pages; the TPM here does in Python what real ones do in
tests/scenarios/test_story_attested.py."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from device_people import b64
from device_tpm import EK_PURPOSE, RSA, Maker, Tpm, name_of
from web_laptops import configure, enrolled, report, send
from web_stage import LOGIN, Browser, Stage, staged

from proxy.devices.endorsement import Authorities
from proxy.model.report import ACTIVATE_TYPE, ATTEST_TYPE, Credential


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged("corp") as made:
        configure(made, enrolment="open")
        yield made


async def test_from_the_nonce_to_the_word_on_the_portal(stage: Stage) -> None:
    browser, agent, maker, tpm = Browser(stage), Browser(stage), Maker(now=stage.clock()), Tpm()
    stage.devices.trust(Authorities([maker.certificate]))
    await browser.open(f"{LOGIN}/")
    laptop = await enrolled(stage, browser)
    public = tpm.make(laptop)
    assert "key in its TPM" not in (await browser.open(f"{LOGIN}/")).text

    common = {"device": laptop.id, "aud": LOGIN, "iat": int(stage.clock())}
    _, given = await send(agent, "nonce", device=laptop.id)
    certificate = maker.certify(RSA.public_key(), purpose=EK_PURPOSE).public_bytes(Encoding.DER)
    wish = {**common, "nonce": given["nonce"], "certificate": b64(certificate), "public": b64(public)}
    first = laptop.sign({"alg": "ES256", "typ": ATTEST_TYPE, "kid": laptop.id}, wish)
    status, asked = await send(agent, "attest", jws=first)
    assert status == 200
    secret = tpm.activate(Credential(**asked), name_of(public))
    answer = {**common, "state": asked["state"], "secret": b64(secret)}
    second = laptop.sign({"alg": "ES256", "typ": ACTIVATE_TYPE, "kid": laptop.id}, answer)
    assert await send(agent, "activate", jws=second) == (200, {"issuer": "CN=Maker"})

    assert "key in its TPM" in (await browser.open(f"{LOGIN}/")).text
    (event,) = stage.events_called("device-attested")
    assert (event["device"], event["issuer"]) == (laptop.id, "CN=Maker")
    for step, again in (("attest", first), ("activate", second)):
        status, told = await send(agent, step, jws=again)
        assert (status, told["reason"]) == (403, "device-refused")
        assert "was used before" in told["detail"]


async def test_where_no_tpm_is_asked_one_is_told(stage: Stage) -> None:
    browser = Browser(stage)
    await browser.open(f"{LOGIN}/")
    laptop = await enrolled(stage, browser)
    _, told = await report(stage, laptop)
    assert told["attest"] is False
    status, told = await send(Browser(stage), "attest", jws="x")
    assert (status, told["reason"]) == (403, "device-refused")
    assert "devices.tpm_authorities is not set" in told["detail"]


@pytest.mark.parametrize("step", ["attest", "activate"])
async def test_what_is_too_long_or_comes_too_often(stage: Stage, step: str) -> None:
    browser = Browser(stage)
    status, told = await send(browser, step, jws="x" * 70_000)
    assert (status, told["reason"]) == (413, "body-too-large")
    status, told = await send(browser, step, other="x")
    assert (status, told["reason"]) == (400, "bad-request")
    statuses = [(await send(browser, step, jws="x"))[0] for _ in range(12)]
    assert (statuses[0], statuses[-1]) == (403, 429)
