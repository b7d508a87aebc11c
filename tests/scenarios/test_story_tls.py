"""Names on a connection: which certificate is shown, which host may be asked for, what may be resumed."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time

import pytest
from cryptography import x509
from scenario_http import Line
from scenario_world import App, Inside, running, serving

from proxy.net.tls import hook_works
from proxy.pki.authority import Authority


def shown_names(line: Line) -> list[str]:
    der = line.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.DNSName)


def test_refusals_can_be_explained_on_this_machine():
    """Should this fail, a bad client certificate ends the handshake without a word (see net.peer)."""
    assert hook_works()


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("app.apps.test", "*.apps.test"),
        ("login.apps.test", "*.apps.test"),
        ("blue.teams.test", "*.teams.test"),
        ("INNER.test", "*.teams.test"),
        ("unknown.example", "*.apps.test"),
        (None, "*.apps.test"),
    ],
)
async def test_the_certificate_is_chosen_by_the_name_asked_for(world: Inside, name: str | None, first: str):
    async with running(world), await Line.open(world.https, world.tls(), name) as line:
        assert shown_names(line)[0] == first


@pytest.mark.parametrize(
    ("sni", "host", "status"),
    [
        ("app.apps.test", "app.apps.test", 200),
        ("app.apps.test", "APP.apps.TEST", 200),
        ("app.apps.test", "app.apps.test.", 200),
        ("other.apps.test", "app.apps.test", 421),
        ("blue.teams.test", "app.apps.test", 421),
        ("login.apps.test", "app.apps.test", 421),
        (None, "app.apps.test", 421),
    ],
)
async def test_a_connection_is_for_the_host_it_was_opened_for(
    world: Inside, app: App, sni: str | None, host: str, status: int
):
    world.route("app", app.url, public=True)
    world.route("other", app.url, public=True)
    world.route("teams", app.url, public=True, at="*.teams.test")
    async with running(world), await Line.open(world.https, world.tls(), sni) as line:
        answer = await line.request("GET", "/", f"{host}:{world.https}")
        assert answer.status == status
        assert len(app.seen) == (status == 200)
        if status == 421:
            assert answer.json["reason"] == "misdirected"
            await world.recorded(reason="misdirected", host="app.apps.test")


async def test_a_trailing_dot_in_the_server_name_is_the_same_name(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await Line.open(world.https, world.tls(), "app.apps.test.") as line:
        assert (await line.request("GET", "/", world.host("app"))).status == 200


async def test_a_session_of_one_host_cannot_be_resumed_when_certificates_are_asked(world: Inside, app: App):
    """Else the identity of an earlier handshake would come along, unseen by the checks of this one."""
    world.route("app", app.url, public=True)
    world.route("other", app.url, public=True)
    async with running(world):
        context = world.tls("billing")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.minimum_version = context.maximum_version = version
            session = await asyncio.to_thread(handshake, world, context, "app.apps.test", None)
            assert await asyncio.to_thread(handshake, world, context, "other.apps.test", session) is False
            assert await asyncio.to_thread(handshake, world, context, "app.apps.test", session) is False


def handshake(
    world: Inside, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None
) -> ssl.SSLSession | bool | None:
    """Connect, ask something, and return the session to resume; with a session: whether it was resumed."""
    with (
        socket.create_connection(("127.0.0.1", world.https)) as raw,
        context.wrap_socket(raw, server_hostname=name, session=session) as tls,
    ):
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}:{world.https}\r\n\r\n".encode())
        assert tls.recv(12) == b"HTTP/1.1 200"
        return tls.session if session is None else tls.session_reused


async def test_certificates_are_replaced_without_dropping_a_connection(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await world.line("app") as old:
        assert (await old.request("GET", "/", world.host("app"))).status == 200
        before = old.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        world.authorities.server(["*.apps.test", "login.apps.test"], now=time.time(), file="apps", force=True)
        world.reload()
        assert (await old.request("GET", "/", world.host("app"))).status == 200
        async with await world.line("app") as new:
            assert new.writer.get_extra_info("ssl_object").getpeercert(binary_form=True) != before
            assert (await new.request("GET", "/", world.host("app"))).status == 200


async def test_a_new_client_authority_counts_from_the_reload_on(world: Inside, app: App):
    world.route("app", app.url, allow=[{"name": "any", "services": ["spiffe://example.org/billing"]}])
    fresh = Authority.create("next year", now=time.time())
    issued = fresh.spiffe("spiffe://example.org/billing", now=time.time())
    (world.certs / "next.crt").write_bytes(issued.cert_pem)
    (world.certs / "next.key").write_bytes(issued.key_pem)
    async with running(world), await world.line("app", "billing") as old:
        assert (await old.request("GET", "/", world.host("app"))).status == 200
        assert (await world.ask("app", service="next")).json["reason"] == "certificate-untrusted"
        (world.certs / "clients-ca.crt").write_bytes(fresh.cert_pem)
        world.config["listeners"][0]["tls"]["client_crl"] = []
        world.reload()
        assert (await old.request("GET", "/", world.host("app"))).json["reason"] == "certificate-untrusted"
        assert (await world.ask("app", service="next")).status == 200


@pytest.mark.parametrize(("allowed", "version"), [("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3)])
async def test_the_oldest_protocol_spoken_is_a_setting(world: Inside, app: App, allowed: str, version: ssl.TLSVersion):
    world.config["listeners"][0]["tls"]["min_version"] = allowed
    world.route("app", app.url, public=True)
    async with running(world):
        context = world.tls()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if version is ssl.TLSVersion.TLSv1_3:
            with pytest.raises((ssl.SSLError, OSError)):
                await Line.open(world.https, context, "app.apps.test")
        else:
            async with await Line.open(world.https, context, "app.apps.test") as line:
                assert (await line.request("GET", "/", world.host("app"))).status == 200


# --- clear text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "host", "location"),
    [
        ("GET", "/a%20b?c=d", "app.apps.test", "/a%20b?c=d"),
        ("POST", "/", "APP.apps.test:80", "/"),
        ("GET", "/../x", "app.apps.test", None),
        ("GET", "/", "blue.teams.test", "/"),
        ("GET", "/", "evil.example", None),
        ("GET", "//evil.example/", "app.apps.test", None),
    ],
)
async def test_the_plain_listener_only_redirects(
    world: Inside, app: App, method: str, target: str, host: str, location: str | None
):
    world.route("app", app.url, public=True)
    world.route("teams", app.url, public=True, at="*.teams.test")
    async with running(world), await Line.open(world.http) as line:
        answer = await line.request(method, target, host, body=b"password" if method == "POST" else None)
        where = answer.header("location")
        if location is not None:
            name = host.partition(":")[0].lower()
            assert (answer.status, where) == (308, f"https://{name}:{world.https}{location}")
        else:
            assert where is None or where.startswith(f"https://app.apps.test:{world.https}/")
        assert not app.seen


async def test_a_trusted_front_is_believed_about_its_clients(world: Inside):
    async with serving(App()) as app:
        front = {"cleartext": "proxy", "trusted_proxies": ["127.0.0.0/8", "10.1.0.0/16"]}
        world.config["listeners"][1] |= front
        allow = [{"name": "office", "networks": ["192.0.2.0/24"], "anyone": True}]
        world.route("app", app.url, allow=allow)
        async with running(world), await Line.open(world.http) as line:
            for said, status, address in (
                ("192.0.2.7", 200, "192.0.2.7"),
                ("192.0.2.7, 10.1.2.3", 200, "192.0.2.7"),
                ("192.0.2.7, 203.0.113.9", 403, "203.0.113.9"),
                ("203.0.113.9", 403, "203.0.113.9"),
                (None, 403, "127.0.0.1"),
            ):
                headers = [("X-Forwarded-For", said)] if said else []
                answer = await line.request("GET", "/", world.host("app"), headers)
                assert answer.status == status, said
                if status == 200:
                    assert (app.last().header("x-forwarded-for") or "").endswith(address)
                await world.recorded(route="app", address=address, status=status)


async def test_nobody_else_is_believed(world: Inside, app: App):
    world.route("app", app.url, allow=[{"name": "office", "networks": ["192.0.2.0/24"], "anyone": True}])
    async with running(world):
        answer = await world.ask("app", headers=[("X-Forwarded-For", "192.0.2.7")])
        assert answer.status in (401, 403)
        assert (await world.recorded(route="app"))["address"] == "127.0.0.1"
