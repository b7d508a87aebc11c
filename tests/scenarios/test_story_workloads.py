"""Programs without a secret of ours: a CI job with its token, a mesh with its SVIDs, the proxy with its own."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from scenario_app import Seen
from scenario_world import App, Inside, eventually, running, serving

from proxy.pki.authority import Authority, Issued

ISSUER = "https://ci.example"
DEPLOY = [{"name": "deploy", "services": ["ci:acme/app"], "methods": ["POST"]}]
MESHED = [{"name": "deploy", "services": ["spiffe://mesh.example/deploy"], "methods": ["POST"]}]


class Signer:
    """Whoever signs tokens; `document` is what is published of it."""

    def __init__(self, kid: str, use: str = "sig") -> None:
        self._kid = kid
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(self._key.public_key()))
        self.jwk = {**public, "kid": kid, "use": use}

    def token(self, **claims: Any) -> str:
        now = int(time.time())
        full = {"iat": now, "exp": now + 300, **claims}
        return jwt.encode(full, self._key, algorithm="ES256", headers={"kid": self._kid})


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")]


def job(signer: Signer, **claims: Any) -> str:
    return signer.token(
        **{"iss": ISSUER, "aud": "https://deploy", "sub": "repo:acme/app", "repository": "acme/app", **claims}
    )


@pytest.fixture
def ci(world: Inside) -> Signer:
    """A CI system whose jobs may be named in rules."""
    signer = Signer("ci-1")
    (world.folder / "ci.json").write_text(json.dumps({"keys": [signer.jwk]}))
    world.config["workloads"] = {
        "issuers": [
            {
                "name": "ci",
                "issuer": ISSUER,
                "jwks": "ci.json",
                "audiences": ["https://deploy"],
                "service": "{repository}",
            }
        ]
    }
    return signer


@pytest.fixture
def mesh(world: Inside) -> Authority:
    """A mesh whose authority is in a bundle, and is none of the listener's own."""
    authority = Authority.create("mesh", now=time.time())
    publish(world, authority)
    world.config["workloads"] = {"trust_domains": [{"name": "mesh.example", "bundle": "mesh.pem"}]}
    return authority


def publish(world: Inside, *authorities: Authority) -> None:
    (world.folder / "mesh.pem").write_bytes(b"".join(one.cert_pem for one in authorities))


def keep(world: Inside, name: str, issued: Issued) -> None:
    (world.certs / f"{name}.crt").write_bytes(issued.cert_pem)
    (world.certs / f"{name}.key").write_bytes(issued.key_pem)
    (world.certs / f"{name}.key").chmod(0o600)


async def test_a_ci_job_deploys_with_the_token_it_was_given(world: Inside, app: App, ci: Signer):
    world.route("deploy", app.url, allow=DEPLOY)
    async with running(world):
        token = job(ci)
        answer = await world.ask("deploy", "/go", method="POST", body=b"{}", headers=bearer(token))
        assert answer.status == 200
        seen = app.last()
        assert seen.header("authorization") is None
        assert token not in str(seen.headers), "the token never reaches the app"
        assert seen.header("x-ostiary-user") == "ci:acme/app"
        line = await world.recorded(route="deploy", identity="ci:acme/app")
        assert (line["kind"], line["rule"], line["outcome"]) == ("service", "deploy", "allow")
        text = (world.folder / "var" / "audit.jsonl").read_text()
        assert token.split(".")[2] not in text


async def test_another_repository_is_known_and_refused(world: Inside, app: App, ci: Signer):
    world.route("deploy", app.url, allow=DEPLOY)
    async with running(world):
        for repository in ("acme/app2", "evil/app"):
            answer = await world.ask(
                "deploy", method="POST", headers=bearer(job(ci, repository=repository, sub=f"repo:{repository}"))
            )
            assert (answer.status, answer.json["reason"]) == (403, "no-rule-allows")
        assert not app.seen


@pytest.mark.parametrize("public", [False, True])
async def test_a_bad_token_is_refused_and_not_passed_on(world: Inside, app: App, ci: Signer, public: bool):
    world.route("deploy", app.url, **({"public": True} if public else {"allow": DEPLOY}))
    async with running(world):
        for token in (
            job(ci, exp=int(time.time()) - 100, iat=int(time.time()) - 200),
            job(ci, aud="https://other"),
            job(Signer("ci-1")),
        ):
            answer = await world.ask("deploy", method="POST", headers=bearer(token))
            assert (answer.status, answer.json["reason"]) == (401, "token-invalid")
            assert any(one.startswith("Bearer ") for one in answer.all("www-authenticate"))
        assert not app.seen


async def test_a_token_of_somebody_else_is_the_apps_own(world: Inside, app: App, ci: Signer):
    world.route("deploy", app.url, public=True)
    async with running(world):
        token = job(ci, iss="https://apps-own.example")
        assert (await world.ask("deploy", headers=bearer(token))).status == 200
        assert app.last().header("authorization") == f"Bearer {token}"


async def test_used_once_in_all_and_over_a_reload(world: Inside, app: App, ci: Signer):
    world.config["workloads"]["issuers"][0]["reuse"] = "0s"
    world.route("deploy", app.url, allow=DEPLOY)
    async with running(world):
        token = job(ci, jti="run-1")
        assert (await world.ask("deploy", method="POST", headers=bearer(token))).status == 200
        again = await world.ask("deploy", method="POST", headers=bearer(token))
        assert (again.status, again.json["reason"]) == (401, "token-replayed")
        world.reload()
        assert (await world.ask("deploy", method="POST", headers=bearer(token))).status == 401
        assert len(app.seen) == 1


async def test_keys_that_are_published_anew_count_after_a_reload(world: Inside, app: App, ci: Signer):
    world.route("deploy", app.url, allow=DEPLOY)
    async with running(world):
        fresh = Signer("ci-2")
        assert (await world.ask("deploy", method="POST", headers=bearer(job(fresh)))).status == 401
        (world.folder / "ci.json").write_text(json.dumps({"keys": [fresh.jwk]}))
        world.reload()
        assert (await world.ask("deploy", method="POST", headers=bearer(job(fresh)))).status == 200
        assert (await world.ask("deploy", method="POST", headers=bearer(job(ci)))).status == 401, "withdrawn"


async def test_a_mesh_workload_shows_its_x509_svid(world: Inside, app: App, mesh: Authority):
    del world.config["listeners"][0]["tls"]["client_ca"], world.config["listeners"][0]["tls"]["client_crl"]
    now = time.time()
    keep(world, "svid", mesh.spiffe("spiffe://mesh.example/deploy", now=now))
    keep(world, "stranger", mesh.spiffe("spiffe://other.example/deploy", now=now))
    keep(world, "host", mesh.client("backup.example.org", now=now))
    world.route("deploy", app.url, client_certificate="required", allow=MESHED)
    async with running(world):
        assert (await world.ask("deploy", method="POST", service="svid")).status == 200
        assert app.last().header("x-ostiary-user") == "spiffe://mesh.example/deploy"
        for name in ("stranger", "host"):
            answer = await world.ask("deploy", method="POST", service=name)
            assert (answer.status, answer.json["reason"]) == (403, "certificate-untrusted")
        following = Authority.create("mesh", now=now)
        keep(world, "svid", following.spiffe("spiffe://mesh.example/deploy", now=now))
        assert (await world.ask("deploy", method="POST", service="svid")).status == 403
        publish(world, mesh, following)
        world.reload()
        assert (await world.ask("deploy", method="POST", service="svid")).status == 200


async def test_the_listeners_authorities_and_a_bundle_side_by_side(world: Inside, app: App, mesh: Authority):
    """An SVID of a trust domain with a bundle counts by the bundle only, also when client_ca signed it."""
    now = time.time()
    keep(world, "svid", mesh.spiffe("spiffe://mesh.example/deploy", now=now))
    world.authorities.spiffe("spiffe://mesh.example/deploy", now=now, file="usurper")
    world.route("deploy", app.url, allow=[*MESHED, {"name": "hosts", "services": ["backup.example.org"]}])
    async with running(world):
        assert (await world.ask("deploy", method="POST", service="svid")).status == 200
        assert (await world.ask("deploy", method="POST", service="backup")).status == 200
        answer = await world.ask("deploy", method="POST", service="usurper")
        assert (answer.status, answer.json["reason"]) == (403, "certificate-untrusted")


async def test_a_mesh_workload_shows_its_jwt_svid(world: Inside, app: App):
    signer = Signer("j-1", use="jwt-svid")
    (world.folder / "mesh.json").write_text(json.dumps({"keys": [signer.jwk], "spiffe_sequence": 1}))
    world.config["workloads"] = {"trust_domains": [{"name": "mesh.example", "bundle": "mesh.json"}]}
    world.route("deploy", app.url, allow=MESHED)
    world.route("other", app.url, allow=MESHED)
    async with running(world):
        token = signer.token(sub="spiffe://mesh.example/deploy", aud=world.origin("deploy"))
        assert (await world.ask("deploy", method="POST", headers=bearer(token))).status == 200
        assert app.last().header("x-ostiary-user") == "spiffe://mesh.example/deploy"
        assert (await world.ask("other", method="POST", headers=bearer(token))).status == 401, "for another route"
        bad = signer.token(sub="spiffe://elsewhere.example/deploy", aud=world.origin("deploy"))
        await world.ask("deploy", method="POST", headers=bearer(bad))
        assert len(app.seen) == 1


def presented_by(world: Inside, name: str, clients: Authority) -> ssl.SSLContext:
    """An app's TLS with the certificate `name`, which asks for clients of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.certs / f"{name}.crt", world.certs / f"{name}.key")
    context.load_verify_locations(cadata=clients.cert_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
async def meshed(world: Inside, mesh: Authority) -> AsyncIterator[App]:
    """An app in the mesh: spiffe://mesh.example/app."""
    now = time.time()
    keep(world, "app-svid", mesh.spiffe("spiffe://mesh.example/app", now=now))
    keep(world, "proxy-svid", mesh.spiffe("spiffe://mesh.example/proxy/1", now=now))
    async with serving(App(), tls=presented_by(world, "app-svid", mesh)) as app:
        yield app


OURS = {"cert": "../certs/proxy-svid.crt", "key": "../certs/proxy-svid.key"}


async def test_an_upstream_proves_its_spiffe_id_before_a_byte_is_sent(world: Inside, meshed: App):
    to = meshed.url.replace("http:", "https:")
    for name, spiffe_id in (("app", "app"), ("other", "app2"), ("below", "app/x")):
        world.route(name, to, public=True, upstream_tls=OURS | {"spiffe_id": f"spiffe://mesh.example/{spiffe_id}"})
    world.route("plain", to, public=True, upstream_tls=OURS)
    async with running(world):
        assert (await world.ask("app")).status == 200
        assert meshed.client_names == [(("URI", "spiffe://mesh.example/proxy/1"),)]
        for name in ("other", "below", "plain"):
            answer = await world.ask(name, method="POST", body=b"secret")
            assert (answer.status, answer.json["reason"]) == (502, "upstream-unreachable")
        assert [type(seen) for seen in meshed.seen] == [Seen], "nobody but the right route has sent anything"


async def test_the_right_name_by_an_authority_outside_the_bundle(world: Inside, mesh: Authority):
    now = time.time()
    keep(world, "proxy-svid", mesh.spiffe("spiffe://mesh.example/proxy/1", now=now))
    keep(world, "fake", Authority.create("mesh", now=now).spiffe("spiffe://mesh.example/app", now=now))
    async with serving(App(), tls=presented_by(world, "fake", mesh)) as app:
        wanted = OURS | {"spiffe_id": "spiffe://mesh.example/app"}
        world.route("app", app.url.replace("http:", "https:"), public=True, upstream_tls=wanted)
        async with running(world):
            assert (await world.ask("app")).status == 502
            assert not app.seen


async def test_our_own_svid_rotates_while_downloads_go_on(world: Inside, mesh: Authority, meshed: App):
    to = meshed.url.replace("http:", "https:")
    world.route("app", to, public=True, upstream_tls=OURS | {"spiffe_id": "spiffe://mesh.example/app"})
    async with running(world):
        assert (await world.ask("app")).status == 200
        slow = asyncio.create_task(world.ask("app", "/hold/1000"))
        await eventually(lambda: len(meshed.seen) == 2, "the download has begun")
        keep(world, "proxy-svid", mesh.spiffe("spiffe://mesh.example/proxy/2", now=time.time()))
        world.reload()
        assert (await world.ask("app")).status == 200
        assert meshed.client_names[-1] == (("URI", "spiffe://mesh.example/proxy/2"),)
        meshed.gate.set()
        answer = await slow
        assert (answer.status, answer.body) == (200, b"a" * 1000 + b"b" * 1000)
        await eventually(lambda: meshed.open == 1, "the connection made with the old certificate is closed")
