"""A program presents a bearer token: whose it is, and what becomes of each lie about it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from conftest import Clock
from lying_provider import KEYS, NOW, ROGUE, LyingProvider, b64, changed, jwk
from workload_world import ORIGIN, Make, Spiffe, job_token

from proxy.authn.workload.service import Workloads
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.memory import MemoryStore
from proxy.settings import schema

HERE = Path(__file__).parent
LIES: list[dict[str, Any]] = yaml.safe_load((HERE / "workload_lies.yaml").read_text(encoding="utf-8"))
SVIDS: list[dict[str, Any]] = yaml.safe_load((HERE / "workload_svids.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", LIES, ids=[case["name"] for case in LIES])
async def test_a_job_presents_a_token(
    case: dict[str, Any], idp: LyingProvider, workloads: Make, caplog: pytest.LogCaptureFixture
) -> None:
    idp.lie = case.get("lie", {})
    if case.get("keys") == "rogue-first":
        idp.keys = [jwk(ROGUE, "RS256", kid="rsa"), *KEYS]
    only = {"claims": {}} if "service" in case.get("issuer", {}) else {}
    judge = workloads(**{**only, **case.get("issuer", {})})
    token = job_token(idp, idp.lie)
    assert judge.recognises(token), "whatever is wrong with it, no app may see it"
    await agrees(judge, token, case, caplog)


async def agrees(judge: Workloads, token: bytes, case: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The verdict is the one the case wants, the second time as well; the log says why, and never the token."""
    assert judge.cached(token, ORIGIN, NOW) is None
    with caplog.at_level(logging.WARNING, "proxy.authn.workload"):
        found = await judge.verify(token, ORIGIN, NOW)
    assert judge.cached(token, ORIGIN, NOW) is found
    assert token.decode() not in caplog.text
    if "want" in case:
        assert isinstance(found, Identity), caplog.text
        assert (found.kind, found.subject, found.auth_time) == ("service", case["want"], None)
    else:
        assert found is Reason.TOKEN_INVALID
        assert case["says"] in caplog.text


@pytest.mark.parametrize("case", SVIDS, ids=[case["name"] for case in SVIDS])
async def test_a_workload_presents_a_jwt_svid(
    case: dict[str, Any],
    spiffe: Spiffe,
    idp: LyingProvider,
    http: aiohttp.ClientSession,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lie = case.get("lie", {})
    truth = {"sub": "spiffe://example.org/ci/deploy", "aud": [ORIGIN], "exp": int(NOW) + 300}
    header = lie.get("header")
    signing = lie.get("signing", "RS256")
    if case.get("key_of") == "partner.example":
        header, signing = {"kid": "partner"}, "rogue-key"
    token = idp.sign(changed(truth, lie.get("claims")), header, signing).encode()
    settings = spiffe.settings(tuple(case.get("audiences", ())))
    judge = Workloads(settings, http, clock, MemoryStore().first_seen)
    assert judge.recognises(token)
    await agrees(judge, token, case, caplog)
    if "want" in case:
        found = await judge.verify(token, ORIGIN, NOW)
        assert isinstance(found, Identity)
        assert found.provider == "", "rules and apps see the name alone, as with an X.509-SVID"


class TestWhoseItIs:
    @pytest.mark.parametrize(
        "token",
        [
            b"",
            b"opaque",
            b"a.b.c",
            b"eyJhbGciOiJub25lIn0.e30.",
            b"....",
            b"\xff\xfe.\xff.\xff",
            b"{}",
            b'{"payload": 7}',
            b"[" * 3000,
        ],
    )
    async def test_what_is_the_apps_own(self, token: bytes, workloads: Make) -> None:
        assert not workloads().recognises(token)

    async def test_a_token_of_another_issuer_is_the_apps_own(self, idp: LyingProvider, workloads: Make) -> None:
        assert not workloads().recognises(job_token(idp, {"claims": {"iss": "https://elsewhere.example"}}))
        assert not workloads().recognises(job_token(idp, {"claims": {"iss": None}}))
        assert not workloads().recognises(job_token(idp, {"claims": {"iss": ["x"]}}))

    async def test_without_configuration_nothing_is_ours(self, idp: LyingProvider, http: aiohttp.ClientSession) -> None:
        nobody = Workloads(schema.Workloads(), http, lambda: NOW, MemoryStore().first_seen)
        assert not nobody.recognises(job_token(idp, {}))

    @pytest.mark.parametrize(
        "claims",
        [
            b'{"iss":"ISSUER"}junk',
            b'{"iss":"ISSUER"}{}',
            b'{"iss":"ISSUER","x":"\xff"}',
            b'{"iss":"ISSUER","x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
            b'{"iss":"ISSUER","x":' + b"1" * 6_000 + b"}",
            b'{"iss":"ISSUER"',
            b'[{"iss":"ISSUER"}]',
        ],
        ids=["junk behind", "two of them", "no UTF-8", "deep", "long number", "cut short", "in a list"],
    )
    async def test_a_jwt_that_cannot_be_read_is_nobodys_and_refused(
        self, claims: bytes, idp: LyingProvider, workloads: Make
    ) -> None:
        judge = workloads()
        payload = b64(claims.replace(b"ISSUER", idp.issuer.encode())).encode()
        token = b64(b'{"alg":"RS256","kid":"rsa"}').encode() + b"." + payload + b".AAAA"
        assert judge.recognises(token)
        assert await judge.verify(token, ORIGIN, NOW) is Reason.TOKEN_INVALID
        assert not judge.recognises(b64(b'{"typ":"x"}').encode() + b"." + payload + b".AAAA"), "no JWT at all"

    async def test_a_repeated_name_does_not_hide_it(self, idp: LyingProvider, workloads: Make) -> None:
        for text in (f'{{"iss":"x","iss":"{idp.issuer}"}}', f'{{"iss":"{idp.issuer}","iss":"x"}}'):
            assert workloads().recognises(f"e30.{b64(text.encode())}.AA".encode())

    async def test_a_spiffe_id_of_ours_goes_before_the_issuer(
        self, idp: LyingProvider, spiffe: Spiffe, http: aiohttp.ClientSession, clock: Clock
    ) -> None:
        """An issuer we trust for names of its own cannot vouch for a workload of a trust domain."""
        issuer = schema.TokenIssuer(name="ci", issuer=idp.issuer, audiences=(ORIGIN,), service="{sub}")
        both = schema.Workloads(trust_domains=spiffe.settings().trust_domains, issuers=(issuer,))
        judge = Workloads(both, http, clock, MemoryStore().first_seen)
        claims = {"sub": "spiffe://example.org/admin", "aud": ORIGIN}
        token = job_token(idp, {"claims": claims, "header": {"kid": "ed"}, "signing": "EdDSA"})
        assert await judge.verify(token, ORIGIN, NOW) is Reason.TOKEN_INVALID
        assert idp.requests == [], "its keys were not even asked for"
