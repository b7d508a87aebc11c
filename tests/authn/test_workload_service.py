"""What is remembered of tokens, keys and uses: through outages, over reloads, and no longer than it may be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Clock
from lying_provider import KEYS, NOW, ROGUE, LyingProvider, jwk
from workload_world import ORIGIN, Make, Spiffe, job_token

from proxy.authn.jwks import MIN_INTERVAL
from proxy.authn.workload.service import REFUSED, REMEMBERED, Workloads, WorkloadsUnusable
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.memory import MemoryStore
from proxy.sessions.store import StoreUnavailable
from proxy.settings import schema


class TestMemory:
    async def test_the_same_token_is_the_same_identity_until_it_is_looked_at_again(
        self, idp: LyingProvider, workloads: Make
    ) -> None:
        judge, token = workloads(), job_token(idp, {})
        found = await judge.verify(token, ORIGIN, NOW)
        assert isinstance(found, Identity)
        assert found.claims == {
            "sub": "repo:acme/app:ref:refs/heads/main",
            "repository": "acme/app",
            "repository_owner": "acme",
            "ref": "refs/heads/main",
            "ref_protected": True,
        }
        assert found.provider == "ci"
        assert judge.cached(token, ORIGIN, NOW + REMEMBERED - 1) is found
        assert judge.cached(token, ORIGIN, NOW + REMEMBERED) is None
        assert judge.cached(token, ORIGIN, NOW - 1) is None, "the clock was set back"
        assert judge.cached(token + b"A", ORIGIN, NOW) is None

    async def test_no_longer_than_the_token_lives(self, idp: LyingProvider, workloads: Make) -> None:
        judge, token = workloads(), job_token(idp, {"claims": {"exp": "now-50", "iat": "now-99", "nbf": None}})
        assert isinstance(await judge.verify(token, ORIGIN, NOW), Identity)
        assert judge.cached(token, ORIGIN, NOW + 9) is not None
        assert judge.cached(token, ORIGIN, NOW + 10) is None
        assert await judge.verify(token, ORIGIN, NOW + 10) is Reason.TOKEN_INVALID

    async def test_a_refusal_is_remembered_for_seconds(self, idp: LyingProvider, workloads: Make, clock: Clock) -> None:
        judge, token = workloads(), job_token(idp, {"claims": {"nbf": "now+62"}})
        assert await judge.verify(token, ORIGIN, NOW) is Reason.TOKEN_INVALID
        assert judge.cached(token, ORIGIN, NOW + REFUSED - 1) is Reason.TOKEN_INVALID
        assert judge.cached(token, ORIGIN, NOW + REFUSED) is None
        assert isinstance(await judge.verify(token, ORIGIN, NOW + REFUSED), Identity)
        assert isinstance(judge.cached(token, ORIGIN, NOW + REFUSED), Identity)

    async def test_a_jwt_svid_for_one_route_is_none_for_another(
        self, idp: LyingProvider, spiffe: Spiffe, http: aiohttp.ClientSession, clock: Clock
    ) -> None:
        judge = Workloads(spiffe.settings(), http, clock, MemoryStore().first_seen)
        claims = {"sub": "spiffe://example.org/a", "aud": ORIGIN, "exp": NOW + 60}
        token = idp.sign(claims, None, "ES256").encode()
        assert isinstance(await judge.verify(token, ORIGIN, NOW), Identity)
        assert judge.cached(token, "https://other.example", NOW) is None
        assert await judge.verify(token, "https://other.example", NOW) is Reason.TOKEN_INVALID
        assert isinstance(judge.cached(token, ORIGIN, NOW), Identity)

    async def test_both_memories_are_bounded(self, idp: LyingProvider, workloads: Make) -> None:
        judge, token = workloads(), job_token(idp, {})
        await judge.verify(token, ORIGIN, NOW)
        for number in range(9000):
            judge._bad[number.to_bytes(4, "big"), ORIGIN] = judge._good[next(iter(judge._good))]
            judge._source(token + b"x%d" % number, number.to_bytes(4, "big"))
        assert (len(judge._bad), len(judge._sources)) == (4096, 8192)
        assert isinstance(judge.cached(token, ORIGIN, NOW), Identity), "a flood of refusals displaces nobody"


class TestKeys:
    async def test_keys_outlive_their_issuer(self, idp: LyingProvider, workloads: Make, clock: Clock) -> None:
        judge = workloads()
        assert isinstance(await judge.verify(job_token(idp, {}), ORIGIN, NOW), Identity)
        idp.lie = {"keys": {"status": 500}, "discovery": {"status": 500}}
        clock.now += 3000
        later = job_token(idp, {"claims": {"jti": "job-2", "exp": "now+3300", "iat": "now+3000", "nbf": None}})
        assert isinstance(await judge.verify(later, ORIGIN, clock.now), Identity)

    async def test_without_keys_nobody_can_tell(self, idp: LyingProvider, workloads: Make) -> None:
        idp.lie = {"keys": {"status": 500}}
        assert await workloads().verify(job_token(idp, {}), ORIGIN, NOW) is Reason.PROVIDER_UNAVAILABLE

    @pytest.mark.parametrize(
        "lie",
        [
            {"discovery": {"issuer": "https://evil.example"}},
            {"discovery": {"jwks_uri": None}},
            {"discovery": {"jwks_uri": "ftp://evil.example/keys"}},
            {"discovery": {"raw": "[]"}},
            {"discovery": {"size": 600_000}},
            {"discovery": {"status": 302, "location": "https://evil.example"}},
        ],
    )
    async def test_a_discovery_that_does_not_fit(
        self, lie: dict[str, Any], idp: LyingProvider, workloads: Make
    ) -> None:
        idp.lie = lie
        assert await workloads().verify(job_token(idp, {}), ORIGIN, NOW) is Reason.PROVIDER_UNAVAILABLE

    async def test_made_up_key_ids_ask_the_issuer_once_a_minute(
        self, idp: LyingProvider, workloads: Make, clock: Clock
    ) -> None:
        judge = workloads()
        await judge.verify(job_token(idp, {}), ORIGIN, NOW)
        for second in range(int(MIN_INTERVAL)):
            clock.now = NOW + second
            token = job_token(idp, {"header": {"kid": f"made-up-{second}"}})
            assert await judge.verify(token, ORIGIN, clock.now) is Reason.TOKEN_INVALID, "the issuer has answered"
        assert idp.asked("/keys") == 1
        clock.now = NOW + MIN_INTERVAL
        await judge.verify(job_token(idp, {"header": {"kid": "another"}}), ORIGIN, clock.now)
        assert idp.asked("/keys") == 2

    async def test_a_key_id_that_an_issuer_in_trouble_might_know(
        self, idp: LyingProvider, workloads: Make, clock: Clock
    ) -> None:
        judge = workloads()
        await judge.verify(job_token(idp, {}), ORIGIN, NOW)
        idp.lie = {"keys": {"status": 500}}
        for clock.now in (NOW + MIN_INTERVAL, NOW + MIN_INTERVAL + 30):
            token = job_token(idp, {"header": {"kid": f"new-{clock.now}"}})
            assert await judge.verify(token, ORIGIN, clock.now) is Reason.PROVIDER_UNAVAILABLE
        idp.lie = {}
        clock.now = NOW + 2 * MIN_INTERVAL
        token = job_token(idp, {"header": {"kid": "made-up"}})
        assert await judge.verify(token, ORIGIN, clock.now) is Reason.TOKEN_INVALID

    async def test_a_new_key_works_at_once_and_many_ask_as_one(
        self, idp: LyingProvider, workloads: Make, clock: Clock
    ) -> None:
        judge = workloads()
        await judge.verify(job_token(idp, {}), ORIGIN, NOW)
        idp.keys = [*KEYS, jwk(ROGUE, "RS256", kid="new", use="sig")]
        clock.now += MIN_INTERVAL
        idp.open.clear()
        tokens = [
            job_token(idp, {"signing": "rogue-key", "header": {"kid": "new"}, "claims": {"jti": f"job-{number}"}})
            for number in range(20)
        ]
        waiting = asyncio.gather(*(judge.verify(token, ORIGIN, clock.now) for token in tokens))
        await idp.until_asked("/keys", 2)
        idp.open.set()
        assert all(isinstance(found, Identity) for found in await waiting)
        assert idp.asked("/keys") == 2

    async def test_the_key_of_another_issuer_counts_for_its_own_tokens_only(
        self, idp: LyingProvider, http: aiohttp.ClientSession, clock: Clock
    ) -> None:
        async with LyingProvider() as other:
            other.keys = [jwk(ROGUE, "RS256", kid="rsa", use="sig")]
            issuers = tuple(
                schema.TokenIssuer(name=name, issuer=one.issuer, audiences=("https://deploy.example",), service="{sub}")
                for name, one in (("ci", idp), ("lab", other))
            )
            judge = Workloads(schema.Workloads(issuers=issuers), http, clock, MemoryStore().first_seen)
            rogue = {"signing": "rogue-key", "claims": {"sub": "job"}}
            assert await judge.verify(job_token(idp, rogue), ORIGIN, NOW) is Reason.TOKEN_INVALID
            found = await judge.verify(job_token(other, rogue), ORIGIN, NOW)
            assert isinstance(found, Identity)
            assert found.subject == "lab:job"

    @pytest.mark.parametrize("kind", ["file", "address"])
    async def test_an_issuer_without_discovery(
        self, kind: str, idp: LyingProvider, workloads: Make, tmp_path: Path
    ) -> None:
        file = tmp_path / "keys.json"
        file.write_text(json.dumps({"keys": KEYS}))
        judge = workloads(jwks=str(file) if kind == "file" else f"{idp.issuer}/keys")
        assert isinstance(await judge.verify(job_token(idp, {}), ORIGIN, NOW), Identity)
        assert idp.asked("/.well-known/openid-configuration") == 0
        assert idp.asked("/keys") == (kind == "address")


class TestUses:
    async def test_without_a_window_a_token_is_used_as_often_as_it_lives(
        self, idp: LyingProvider, workloads: Make
    ) -> None:
        judge, token = workloads(), job_token(idp, {})
        for moment in (NOW, NOW + 100, NOW + 300):
            assert isinstance(await judge.verify(token, ORIGIN, moment), Identity)

    async def test_once_only_in_all_workers(self, idp: LyingProvider, workloads: Make) -> None:
        here, there = workloads(reuse=0), workloads(reuse=0)
        token = job_token(idp, {})
        found = await asyncio.gather(*(judge.verify(token, ORIGIN, NOW) for judge in [here, there] * 10))
        assert sorted(isinstance(one, Identity) for one in found).count(True) == 1
        assert {one for one in found if not isinstance(one, Identity)} == {Reason.TOKEN_REPLAYED}
        assert not isinstance(here.cached(token, ORIGIN, NOW), Identity)
        assert await here.verify(token, ORIGIN, NOW + 90) is Reason.TOKEN_REPLAYED
        other = job_token(idp, {"claims": {"jti": "job-2"}})
        assert isinstance(await here.verify(other, ORIGIN, NOW), Identity)

    async def test_within_its_window_and_not_after(self, idp: LyingProvider, workloads: Make) -> None:
        judge, token = workloads(reuse=30), job_token(idp, {})
        assert isinstance(await judge.verify(token, ORIGIN, NOW), Identity)
        assert isinstance(judge.cached(token, ORIGIN, NOW + 29), Identity)
        assert judge.cached(token, ORIGIN, NOW + 30) is None
        assert await judge.verify(token, ORIGIN, NOW + 30) is Reason.TOKEN_REPLAYED
        reloaded = workloads(judge, reuse=30)
        assert await reloaded.verify(token, ORIGIN, NOW + 31) is Reason.TOKEN_REPLAYED

    async def test_the_same_claims_signed_again_are_the_same_use(self, idp: LyingProvider, workloads: Make) -> None:
        judge = workloads(reuse=0)
        assert isinstance(await judge.verify(job_token(idp, {"signing": "PS256"}), ORIGIN, NOW), Identity)
        assert await judge.verify(job_token(idp, {"signing": "ES256"}), ORIGIN, NOW) is Reason.TOKEN_REPLAYED

    async def test_a_token_without_jti_cannot_be_counted(self, idp: LyingProvider, workloads: Make) -> None:
        judge, token = workloads(reuse=0), job_token(idp, {"claims": {"jti": None}})
        assert await judge.verify(token, ORIGIN, NOW) is Reason.TOKEN_INVALID
        assert isinstance(await workloads().verify(token, ORIGIN, NOW), Identity), "where nobody counts"

    async def test_a_refused_token_uses_nothing_up(self, idp: LyingProvider, workloads: Make) -> None:
        judge = workloads(reuse=0)
        assert await judge.verify(job_token(idp, {"claims": {"ref": "x"}}), ORIGIN, NOW) is Reason.TOKEN_INVALID
        assert isinstance(await judge.verify(job_token(idp, {}), ORIGIN, NOW), Identity)

    async def test_a_store_that_does_not_answer_lets_nobody_in(
        self, idp: LyingProvider, http: aiohttp.ClientSession, clock: Clock
    ) -> None:
        async def broken(_key: str, _now: float, _expires: float) -> float:
            raise StoreUnavailable("gone")

        issuer = schema.TokenIssuer(
            name="ci", issuer=idp.issuer, audiences=("https://deploy.example",), service="{sub}", reuse=0
        )
        judge, token = Workloads(schema.Workloads(issuers=(issuer,)), http, clock, broken), job_token(idp, {})
        with pytest.raises(StoreUnavailable):
            await judge.verify(token, ORIGIN, NOW)
        assert judge.cached(token, ORIGIN, NOW) is None


class TestReload:
    async def test_an_issuer_that_stays_the_same_keeps_its_keys(self, idp: LyingProvider, workloads: Make) -> None:
        first = workloads()
        await first.verify(job_token(idp, {}), ORIGIN, NOW)
        second = workloads(first)
        assert second.cached(job_token(idp, {}), ORIGIN, NOW) is None, "what it decided is decided anew"
        idp.lie = {"keys": {"status": 500}}
        assert isinstance(await second.verify(job_token(idp, {}), ORIGIN, NOW), Identity)
        assert idp.asked("/keys") == 1

    async def test_one_that_changed_is_another(self, idp: LyingProvider, workloads: Make) -> None:
        first = workloads()
        second = workloads(first, claims={"repository_owner": "other"})
        assert await second.verify(job_token(idp, {}), ORIGIN, NOW) is Reason.TOKEN_INVALID
        assert isinstance(await first.verify(job_token(idp, {}), ORIGIN, NOW), Identity)

    async def test_keys_in_a_file_are_read_again(self, idp: LyingProvider, workloads: Make, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        file.write_text(json.dumps({"keys": [jwk(ROGUE, "RS256", kid="rsa")]}))
        first = workloads(jwks=str(file))
        assert await first.verify(job_token(idp, {}), ORIGIN, NOW) is Reason.TOKEN_INVALID
        file.write_text(json.dumps({"keys": KEYS}))
        assert isinstance(await workloads(first, jwks=str(file)).verify(job_token(idp, {}), ORIGIN, NOW), Identity)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"jwks": "/nowhere/keys.json"}, "/nowhere/keys.json: No such file"),
            ({"ca": "/nowhere/ca.pem"}, "/nowhere/ca.pem: No such file"),
            ({"service": "{a}{b}"}, "need a /, : or @ between"),
            ({"service": "a b"}, "letters, digits"),
            ({"claims": {"a": []}}, "name at least one value"),
            ({"claims": {"a": None}}, "cannot be compared"),
            ({"claims": {"a": "x**"}}, "has \\*\\*"),
            ({"issuer": "http://ci.example"}, "must be an https address"),
        ],
    )
    async def test_what_cannot_work_says_so(self, changes: dict[str, Any], says: str, workloads: Make) -> None:
        with pytest.raises(WorkloadsUnusable, match=f"workloads.issuers, ci: .*{says}"):
            workloads(**changes)
