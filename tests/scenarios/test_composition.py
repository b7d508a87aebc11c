"""A configuration is put into force whole or not at all, and what did not change is carried over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from scenario_world import SECRET, App, Inside, employed, eventually, eventually_so, free_port, running

from proxy.app.errors import Unusable
from proxy.app.reload import restart_needed
from proxy.app.worker import Worker
from proxy.pki.authority import new_key, private_pem
from proxy.settings.load import load


async def test_a_provider_keeps_what_it_knows_until_something_about_it_changes(world: Inside, app: App):
    world.route("app", app.url)
    (world.folder / "idp-ca.pem").write_bytes((world.certs / "servers-ca.crt").read_bytes())
    async with employed(world, ca="idp-ca.pem"), running(world):
        first = world.worker.plan.providers["corp"]
        world.route("more", app.url)
        world.reload()
        assert world.worker.plan.providers["corp"] is first
        (world.folder / "idp-ca.pem").write_bytes((world.certs / "clients-ca.crt").read_bytes())
        world.reload()
        second = world.worker.plan.providers["corp"]
        assert second is not first, "its authority is another"
        (world.folder / "client-secret").write_text("another secret")
        world.reload()
        third = world.worker.plan.providers["corp"]
        assert third is not second, "its secret is another"
        world.config["login"]["providers"][0]["title"] = "Corporate"
        world.reload()
        assert world.worker.plan.providers["corp"] is not third


async def test_what_was_prepared_and_dropped_leaves_no_trace(world: Inside, app: App):
    world.route("app", app.url)
    async with employed(world), running(world):
        before = world.worker.plan
        (world.folder / "client-secret").write_text("a secret that never came into force")
        world.worker.prepare(load(world.write()))
        world.worker.discard()
        world.worker.commit()
        assert world.worker.plan is before
        world.reload()
        assert world.worker.plan.providers["corp"] is not before.providers["corp"], "now it did"
        (world.folder / "client-secret").write_text(SECRET)


async def test_what_fails_to_build_changes_nothing(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world):
        before = world.worker.plan
        world.route("new", app.url, public=True)
        settings = load(world.write())
        (world.certs / "assertion.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n")
        with pytest.raises(Unusable, match=r"assertion\.key"):
            world.worker.prepare(settings)
        world.worker.commit()
        assert world.worker.plan is before
        assert (await world.ask("app")).status == 200
        assert (await world.ask("new")).status == 404


def wrong_curve() -> bytes:
    return ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def break_assertion_key(world: Inside) -> None:
    (world.certs / "assertion.key").write_bytes(wrong_curve())


def break_pair(world: Inside) -> None:
    (world.certs / "apps.key").write_bytes(private_pem(new_key()))


def break_revocation_list(world: Inside) -> None:
    (world.certs / "clients.crl").write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")


def break_provider_authority(world: Inside) -> None:
    (world.folder / "idp-ca.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def lose_provider_secret(world: Inside) -> None:
    (world.folder / "client-secret").unlink()


def break_app_authority(world: Inside) -> None:
    (world.folder / "app-ca.pem").write_bytes(b"nothing\n")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (break_assertion_key, r"assertion\.key.*P-256"),
        (break_pair, r"apps\.crt with key .*apps\.key: .*do not belong together"),
        (break_revocation_list, r"clients\.crl: "),
        (break_provider_authority, r"login\.providers, corp: .*idp-ca\.pem: "),
        (lose_provider_secret, r"login\.providers, corp: .*client-secret: no such file"),
        (break_app_authority, r"app-ca\.pem: "),
    ],
)
async def test_unusable_files_are_named(world: Inside, app: App, harm: Any, told: str):
    """They were good when they were checked, and broke before they were used."""
    world.route("app", app.url)
    for name in ("idp-ca.pem", "app-ca.pem"):
        (world.folder / name).write_bytes((world.certs / "servers-ca.crt").read_bytes())
    world.route("secure", "https://127.0.0.1:1", upstream_tls={"ca": "../app-ca.pem"})
    async with employed(world, ca="idp-ca.pem"):
        settings = load(world.write())
        harm(world)
        with pytest.raises(Unusable, match=f"(?s){told}"):
            await Worker(settings, world.sockets, 0).build()


def changed(world: Inside, **more: Any) -> str:
    before = load(world.write())
    world.config |= more
    return restart_needed(before, load(world.write()))


async def test_what_takes_a_restart_is_named(world: Inside, app: App):
    world.route("app", app.url)
    tls = world.config["listeners"][0]
    plain = world.config["listeners"][1]
    assert changed(world, sessions={"idle": "2h"}, limits={"keepalive": "5s"}) == ""
    assert changed(world, listeners=[tls | {"trusted_proxies": ["10.0.0.0/8"]}, plain]) == ""
    assert changed(world, state="sqlite:var/other.db") == "state: a change here takes a restart"
    assert "admin, workers" in changed(world, workers=3, admin={"address": f"127.0.0.1:{free_port()}"})
    address = f"127.0.0.1:{free_port()}"
    assert changed(world, listeners=[tls, {"address": address}]) == (
        f"listeners ({address} is new), listeners (127.0.0.1:{world.http} is gone): a change here takes a restart"
    )


async def test_limits_and_trusted_proxies_change_without_a_restart(world: Inside, app: App):
    world.config["listeners"][1] |= {"cleartext": "proxy", "trusted_proxies": ["127.0.0.0/8"]}
    world.route("app", app.url, public=True)
    async with running(world):
        long = [("X-Long", "x" * 2000)]
        assert (await world.ask("app", headers=long)).status == 200
        world.config["limits"] = {"header_bytes": "1KiB"}
        world.reload()
        assert (await world.ask("app", headers=long)).status == 431
        world.config["limits"] = {"connections_per_address": 1}
        world.reload()
        await eventually(lambda: not world.worker.ticker.watched, "earlier connections are gone")
        async with await world.line("app") as only:
            assert (await only.request("GET", "/", world.host("app"))).status == 200
            with pytest.raises(ConnectionError):
                await world.line("app")


async def test_shorter_sessions_hold_for_those_that_exist(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        assert (await world.ask("app", cookie=cookie)).status == 200
        world.config["sessions"] = {"lifetime": "1s"}
        world.reload()
        await eventually_so(lambda: status(world, cookie, 401), "her session is over")


async def status(world: Inside, cookie: str, wanted: int) -> bool:
    return (await world.ask("app", cookie=cookie)).status == wanted


async def test_a_route_that_is_gone_ends_what_is_under_way_on_it_and_nothing_else(world: Inside, app: App):
    """A reload decides again about everything that is open, of nobody in particular as well."""
    world.route("app", app.url, public=True)
    world.route("other", app.url, public=True)
    async with running(world), await world.line("app") as gone, await world.line("other") as stays:
        for line, host in ((gone, "app"), (stays, "other")):
            line.ask("GET", "/stream", world.host(host))
            await line.until(b"data: 1\n\n")
        del world.routes[0]
        world.reload()
        await gone.closed()
        await stays.until(b"data: 9\n\n")
        assert (await world.ask("app")).status == 404
        assert (await world.recorded(route="app", path="/stream"))["reason"] == "no-route"


async def test_nothing_is_left_in_the_temporary_folder(world: Inside, app: App, monkeypatch, tmp_path: Path):
    place = tmp_path / "t"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    world.route("app", app.url)
    async with running(world):
        assert len(list(place.iterdir())) == 1
    assert not list(place.iterdir())
