"""SAML providers of a configuration: keys made once, what is known carried over, and broken ones change nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from saml_idp import Idp
from saml_signer import certificate_pem, pem_of, rsa_key
from scenario_world import App, Inside, running

from proxy.app import saml_providers
from proxy.app.channel import Channel, Message, Order, packed
from proxy.app.errors import Unusable
from proxy.app.process import Process
from proxy.app.saml_providers import build_saml_providers
from proxy.authn.saml import make_key
from proxy.settings.load import load
from proxy.web.endpoints import SAML_ACS, SAML_METADATA

ACS = SAML_ACS.format(provider="partner")
FORM = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "https://idp.partner.example")]


@pytest.fixture
def partner(world: Inside, app: App) -> Inside:
    """A world with one SAML provider, known from a file."""
    (world.folder / "idp.xml").write_bytes(Idp().metadata())
    entry = {"name": "partner", "type": "saml", "metadata": "idp.xml", "domains": ["partner.example"]}
    world.config["login"]["providers"] = [entry]
    world.route("app", app.url)
    return world


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


async def certificate(world: Inside) -> str:
    answer = await world.ask("login", SAML_METADATA.format(provider="partner"))
    assert answer.status == 200
    return answer.text.split("X509Certificate>")[1]


async def test_its_key_is_made_once_and_kept_beside_the_state(partner: Inside) -> None:
    async with running(partner):
        assert mode(partner.folder / "var" / "state.db.saml-partner.pem") == 0o600
        first = await certificate(partner)
        partner.config["login"]["providers"][0]["title"] = "Partner Ltd"
        partner.reload()
        assert await certificate(partner) == first
        # as another worker does, or the next start: a provider imports our metadata once
        elsewhere = build_saml_providers(load(partner.write()).configuration, {}, partner.worker._http, time.time)
        assert elsewhere["partner"].provider.metadata().decode().split("X509Certificate>")[1] == first


async def test_a_running_worker_makes_keys_in_a_thread(partner: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """One takes up to a second, and nobody who asks for something meanwhile is to wait for it."""
    threads: list[int] = []

    def noted(subject: str, now: float) -> tuple[bytes, bytes]:
        threads.append(threading.get_ident())
        return make_key(subject, now)

    monkeypatch.setattr(saml_providers, "make_key", noted)
    ours, theirs = socket.socketpair()
    sockets = {address: os.dup(one.fileno()) for address, one in partner.sockets.items()}
    worker = asyncio.create_task(Process(Order(0, theirs.detach(), sockets, str(partner.folder))).run())
    supervisor = await Channel.over(ours)
    said = supervisor.messages()
    supervisor.say(Message("build", data=packed(load(partner.write()))))
    assert (await heard(said, "built")).ok
    assert len(threads) == 1
    first = partner.config["login"]["providers"][0]
    partner.config["login"]["providers"].append(first | {"name": "second", "domains": ["second.example"]})
    supervisor.say(Message("prepare", 1, data=packed(load(partner.write()))))
    assert (await heard(said, "answer")).ok
    supervisor.say(Message("drain"))
    assert await worker == 0
    gc.unfreeze()  # a worker keeps what it was built of out of the collector's sight
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def heard(said: AsyncIterator[Message], word: str) -> Message:
    async for message in said:
        if message.word == word:
            return message
    raise AssertionError(f"the worker never said {word}")


async def test_a_key_of_ones_own_is_taken(partner: Inside) -> None:
    (partner.folder / "sp.key").write_bytes(pem_of(rsa_key("sp")))
    (partner.folder / "sp.key").chmod(0o600)
    (partner.folder / "sp.crt").write_bytes(certificate_pem(rsa_key("sp")))
    partner.config["login"]["providers"][0] |= {"key": "sp.key", "certificate": "sp.crt"}
    async with running(partner):
        pem = "".join(certificate_pem(rsa_key("sp")).decode().splitlines()[1:-1])
        assert (await certificate(partner)).startswith(pem)
        assert not (partner.folder / "var" / "state.db.saml-partner.pem").exists()


async def test_it_keeps_what_it_knows_until_something_about_it_changes(partner: Inside) -> None:
    async with running(partner):
        first = partner.worker.plan.saml["partner"]
        partner.route("more", None, redirect="https://example.org/")
        partner.routes.pop()
        partner.reload()
        assert partner.worker.plan.saml["partner"] is first
        (partner.folder / "idp.xml").write_bytes(Idp(rsa_key("new"), rsa_key("idp")).metadata())
        partner.reload()
        second = partner.worker.plan.saml["partner"]
        assert second is not first, "its metadata is another"
        partner.config["login"]["providers"][0]["idp_initiated"] = True
        partner.reload()
        assert partner.worker.plan.saml["partner"] is not second
        assert partner.worker.plan.providers == {}, "nothing of it is renewed like an OpenID provider"


@pytest.mark.parametrize("content", [b"<x/>", b"<!DOCTYPE x><x/>", Idp().metadata(services="")])
async def test_metadata_that_is_none_never_replaces_what_is_in_force(partner: Inside, content: bytes) -> None:
    async with running(partner):
        before = partner.worker.plan
        (partner.folder / "idp.xml").write_bytes(content)
        with pytest.raises(Unusable, match=r"login\.providers, partner"):
            partner.worker.prepare(load(partner.write()))
        assert partner.worker.plan is before


async def test_a_file_that_is_not_there_is_named(partner: Inside) -> None:
    (partner.folder / "idp.xml").unlink()
    with pytest.raises(Exception, match=r"idp\.xml"):
        async with running(partner):
            pass


async def test_a_large_response_passes_the_gateway_and_a_larger_one_does_not(partner: Inside) -> None:
    async with running(partner):
        read = await partner.ask("login", ACS, method="POST", headers=FORM, body=b"SAMLResponse=" + b"A" * 340_000)
        assert read.status == 403, "it was read, and is no response"
        for size in (480_000, 600_000):
            answer = await partner.ask("login", ACS, method="POST", headers=FORM, body=b"SAMLResponse=" + b"A" * size)
            assert answer.status == 413
