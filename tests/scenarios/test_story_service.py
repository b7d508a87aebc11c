"""A service calls another with its client certificate, and is told exactly what is wrong when it may not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from scenario_world import CUT, App, Inside, eventually, running

from proxy.pki.authority import DAY, Authority, Issued

BILLING = "spiffe://example.org/billing"
ORDERS = {"allow": [{"name": "services", "services": [BILLING, "backup.example.org"]}]}


def keep(world: Inside, name: str, issued: Issued) -> None:
    """Put a certificate where `service=name` finds it."""
    (world.certs / f"{name}.crt").write_bytes(issued.cert_pem)
    (world.certs / f"{name}.key").write_bytes(issued.key_pem)


def spiffe(name: str = BILLING) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(name)]


async def test_is_admitted_by_name_and_the_app_is_told_which(world: Inside, app: App):
    world.route("orders", app.url, **ORDERS)
    async with running(world):
        for service, name in (("billing", BILLING), ("backup", "backup.example.org")):
            assert (await world.ask("orders", "/new", method="POST", body=b"{}", service=service)).status == 200
            assert app.last().header("x-ostiary-user") is not None
            line = await world.recorded(route="orders", identity=name)
            assert (line["kind"], line["rule"], line["outcome"]) == ("service", "services", "allow")
            assert len(line["device"]) == 64


async def test_another_service_is_refused_by_policy(world: Inside, app: App):
    world.route("orders", app.url, **ORDERS)
    world.authorities.spiffe("spiffe://example.org/mailer", now=time.time(), file="mailer")
    async with running(world):
        answer = await world.ask("orders", service="mailer")
        assert (answer.status, answer.json["reason"], answer.json["rule"]) == (403, "no-rule-allows", "services")
        assert (await world.recorded(outcome="deny"))["identity"] == "spiffe://example.org/mailer"
        assert not app.seen


async def test_without_a_certificate_is_told_that_one_is_needed(world: Inside, app: App):
    world.route("strict", app.url, client_certificate="required", **ORDERS)
    async with running(world):
        answer = await world.ask("strict")
        assert (answer.status, answer.json["reason"]) == (401, "certificate-required")
        assert (await world.ask("strict", service="billing")).status == 200


Make = Callable[[Authority, float], Issued]
WRONG: dict[str, tuple[str, Make]] = {
    "expired": (
        "certificate-expired",
        lambda ca, now: ca.issue(spiffe(), ["client"], now=now, not_before=now - 90, not_after=now - 60),
    ),
    "not yet valid": (
        "certificate-not-yet-valid",
        lambda ca, now: ca.issue(spiffe(), ["client"], now=now, not_before=now + DAY, not_after=now + 2 * DAY),
    ),
    "for servers only": (
        "certificate-purpose",
        lambda ca, now: ca.issue(spiffe(), ["server"], now=now, not_after=now + DAY),
    ),
    "foreign": (
        "certificate-untrusted",
        lambda ca, now: Authority.create("elsewhere", now=now).spiffe(BILLING, now=now),
    ),
    "foreign, of the same name": (
        "certificate-untrusted",
        lambda ca, now: Authority.create("test CA for clients", now=now).spiffe(BILLING, now=now),
    ),
    "an authority itself": (
        "certificate-purpose",
        lambda ca, now: ca.issue(spiffe(), ["client"], now=now, not_after=now + DAY, ca=True),
    ),
    "naming an address only": (
        "certificate-name",
        lambda ca, now: ca.issue([x509.RFC822Name("billing@example.org")], ["client"], now=now, not_after=now + DAY),
    ),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_certificate_that_is(world: Inside, app: App, what: str):
    reason, make = WRONG[what]
    world.route("orders", app.url, **ORDERS)
    world.route("strict", app.url, client_certificate="required", **ORDERS)
    keep(world, "odd", make(world.authorities.authority("clients"), time.time()))
    async with running(world):
        for name in ("orders", "strict"):
            answer = await world.ask(name, service="odd")
            assert (answer.status, answer.json["reason"]) == (403, reason)
            assert answer.json["reference"]
            await world.recorded(route=name, reason=reason, outcome="deny")
        assert not app.seen


async def test_a_revoked_certificate_is_refused_and_its_stream_cut(world: Inside, app: App):
    world.route("orders", app.url, **ORDERS)
    async with running(world):
        async with await world.line("orders", "billing") as line:
            line.ask("GET", "/stream", world.host("orders"))
            await line.until(b"data: 2\n\n")
            world.authorities.revoke(str(world.certs / "billing.crt"), now=time.time())
            world.reload()
            await line.closed(within=CUT)
        assert (await world.recorded(path="/stream"))["reason"] == "certificate-revoked"
        answer = await world.ask("orders", service="billing")
        assert (answer.status, answer.json["reason"]) == (403, "certificate-revoked")
        assert (await world.ask("orders", service="backup")).status == 200


async def test_a_kept_connection_is_judged_anew_after_a_revocation(world: Inside, app: App):
    world.route("orders", app.url, **ORDERS)
    async with running(world), await world.line("orders", "billing") as line:
        assert (await line.request("GET", "/", world.host("orders"))).status == 200
        world.authorities.revoke(str(world.certs / "billing.crt"), now=time.time())
        world.reload()
        answer = await line.request("GET", "/", world.host("orders"))
        assert (answer.status, answer.json["reason"]) == (403, "certificate-revoked")


async def test_a_certificate_that_expires_while_a_stream_is_open(world: Inside, app: App):
    """Its stream ends within a second, on the same connection the next request is refused."""
    world.route("orders", app.url, **ORDERS)
    now = time.time()
    issued = world.authorities.authority("clients").issue(spiffe(), ["client"], now=now, not_after=now + 2)
    keep(world, "brief", issued)
    async with (
        running(world),
        await world.line("orders", "brief") as line,
        await world.line("orders", "brief") as other,
    ):
        line.ask("GET", "/stream", world.host("orders"))
        await line.until(b"data: 1\n\n")
        assert (await other.request("GET", "/", world.host("orders"))).status == 200
        ends = issued.certificate.not_valid_after_utc.timestamp()
        await line.closed()
        assert time.time() < ends + CUT
        answer = await other.request("GET", "/", world.host("orders"))
        assert (answer.status, answer.json["reason"]) == (403, "certificate-expired")
        assert (await world.recorded(path="/stream"))["reason"] == "certificate-expired"


async def test_a_stale_revocation_list_admits_nobody(world: Inside, app: App):
    world.route("orders", app.url, **ORDERS)
    world.authorities.crl("clients", now=time.time() - 3 * DAY, lifetime=DAY)
    async with running(world):
        answer = await world.ask("orders", service="billing")
        assert (answer.status, answer.json["reason"]) == (403, "certificate-crl-stale")


async def test_a_listener_may_require_certificates_of_everybody(world: Inside, app: App):
    world.config["listeners"][0]["tls"]["client_certificate"] = "required"
    world.route("orders", app.url, public=True)
    async with running(world):
        answer = await world.ask("orders")
        assert (answer.status, answer.json["reason"]) == (401, "certificate-required")
        assert (await world.ask("orders", "/.ostiary/whoami")).status == 401
        assert (await world.ask("orders", service="billing")).status == 200


async def test_a_person_with_a_bad_certificate_is_still_a_person(world: Inside, app: App):
    """A browser may offer any certificate it has: it gives nothing, and takes nothing away."""
    world.route("wiki", app.url)
    keep(world, "odd", Authority.create("elsewhere", now=time.time()).spiffe(BILLING, now=time.time()))
    async with running(world):
        cookie = (await world.login("ann", "wiki"))["wiki"]
        assert (await world.ask("wiki", service="odd", cookie=cookie)).status == 200
        assert app.last().header("x-ostiary-email") == "ann@example.com"
        await eventually(lambda: world.lines(route="wiki"), "the request is on record")
        assert "device" not in world.lines(route="wiki")[-1]


async def test_the_folder_of_certificates_is_all_an_operator_needs(world: Inside, app: App, tmp_path: Path):
    """A new service: issue, hand over, allowed by a reload; no restart."""
    world.route("orders", app.url, **ORDERS)
    async with running(world):
        world.authorities.spiffe("spiffe://example.org/new", now=time.time(), file="new")
        assert (await world.ask("orders", service="new")).status == 403
        world.routes[0]["allow"][0]["services"].append("spiffe://example.org/new")
        world.reload()
        assert (await world.ask("orders", service="new")).status == 200
