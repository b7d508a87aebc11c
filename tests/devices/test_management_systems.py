"""Management systems on real sockets: pages, limits, tokens that end, garbage; turns taken once; webhooks taken in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from device_people import NOON, World
from management_vendor import SECRET, Answer, Stage, Vendor

from proxy.devices.management.build import Asked, ManagementUnusable, Systems
from proxy.devices.management.service import Management
from proxy.devices.management.signature import WebhookRefused, sign
from proxy.sessions.store import StoreUnavailable
from proxy.settings import schema

ANSWERS = yaml.safe_load((Path(__file__).parent / "management_answers.yaml").read_text(encoding="utf-8"))


@pytest.fixture
async def stage(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setenv("OSTIARY_TEST_SECRET", SECRET)
    monkeypatch.setenv("OSTIARY_TEST_HUSH", "hush")
    async with Vendor() as vendor, aiohttp.ClientSession() as http:
        yield Stage(vendor, world, http)


def good(vendor: str) -> list[dict[str, Any]]:
    return [case["answer"] for case in ANSWERS[vendor] if case["matches"]]


KINDS = ("intune", "crowdstrike", "fleet")


class TestAsking:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_all_pages(self, kind: str, stage: Stage) -> None:
        stage.vendor.rows = good(kind)
        assert await stage.ask(kind) == len(good(kind))
        for case in ANSWERS[kind]:
            if case["matches"] and kind != "fleet":
                told = stage.attributes(case["matches"]["id"])
                assert {name: told.get(name) for name in case["values"]} | {"score": 0} == case["values"] | {"score": 0}
        if kind == "intune":
            assert len([line for line in stage.vendor.requests if "managedDevices" in line]) == 2

    async def test_many_pages_of_fleet(self, stage: Stage) -> None:
        stage.vendor.rows = [{"uuid": f"h{n}", "seen_time": "2027-01-15T07:59:50Z"} for n in range(200)]
        assert await stage.ask("fleet") == 200
        assert [line.rpartition("=")[2] for line in stage.vendor.requests] == ["0", "1", "2"]

    @pytest.mark.parametrize(
        ("headers", "waited"),
        [
            ({"Retry-After": "7"}, 7),
            ({"Retry-After": "99999"}, 120),
            ({"Retry-After": "0"}, 1),
            ({"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30),
            ({"Retry-After": "soon"}, 1),
            ({"X-RateLimit-RetryAfter": str(int(NOON) + 9)}, 9),
            ({}, 1),
        ],
    )
    async def test_waits_as_long_as_it_is_told(self, headers: dict[str, str], waited: float, stage: Stage) -> None:
        stage.vendor.rows = good("intune")[:1]
        stage.vendor.script = [lambda _: web.Response(status=429, headers=headers)]
        assert await stage.ask("intune") == 1
        assert stage.waits == [waited]

    async def test_gives_up_until_the_next_turn(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        stage.vendor.script = [lambda _: web.Response(status=503)] * 9
        assert await stage.ask("fleet") == 0
        assert stage.waits == [1, 2, 4, 8, 16]
        assert "asks to wait again and again" in caplog.text
        assert SECRET not in caplog.text

    async def test_a_token_that_ended_is_renewed_once(self, stage: Stage) -> None:
        stage.vendor.rows = good("intune")[:1]
        asked = stage.systems("intune").asked["intune"]
        assert await stage.management.ask(asked) == 1
        assert stage.vendor.tokens == 1
        stage.vendor.tokens += 1  # what we have counts no longer
        await stage.management.ask(asked)
        assert stage.vendor.tokens == 3
        stage.world.now += 1799 - 60
        await stage.management.ask(asked)
        assert stage.vendor.tokens == 4, "renewed before its end"
        stage.vendor.script = [lambda _: web.Response(status=401)] * 2
        await stage.management.ask(asked)
        assert stage.vendor.tokens == 5

    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            (lambda _: web.Response(text="<html>"), "not JSON"),
            (lambda _: web.Response(text="[" * 50_000), "not JSON"),
            (lambda _: web.json_response([]), "no JSON object"),
            (lambda _: web.json_response({}), "has no list"),
            (lambda _: web.json_response({"value": 7}), "has no list"),
            (lambda _: web.Response(status=403), "status 403"),
            (lambda _: web.Response(status=302, headers={"Location": "https://evil.example/"}), "status 302"),
            (lambda _: web.json_response({"value": [], "@odata.nextLink": "https://evil.example/x"}), "not followed"),
            (lambda _: web.json_response({"value": [], "@odata.nextLink": 7}), "no end"),
            (lambda _: web.Response(headers={"Content-Encoding": "br"}, body=b"x"), "managedDevices"),
        ],
    )
    async def test_garbage(self, answer: Answer, says: str, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        stage.vendor.script = [answer]
        assert await stage.ask("intune") == 0
        assert says in caplog.text
        assert len(stage.vendor.requests) == 2, "the token, and one page"

    async def test_an_endless_answer(
        self, stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("proxy.devices.management.api._MAX_BODY", 1_000_000)
        stage.vendor.script = [lambda _: web.Response(body=b" " * 2_000_000)]
        assert await stage.ask("intune") == 0
        assert "larger than" in caplog.text

    async def test_hosts_of_which_none_was_assessed(self, stage: Stage) -> None:
        stage.vendor.rows = good("crowdstrike")[1:2]
        asked = stage.systems("crowdstrike").asked["crowdstrike"]
        truth = stage.vendor._truth

        def hosts(request: web.Request, body: bytes) -> dict[str, Any]:
            if "zero-trust" in request.path:
                raise web.HTTPNotFound
            return truth(request, body)

        stage.vendor._truth = hosts  # type: ignore[method-assign]  # the vendor as it is when nothing was assessed
        assert await stage.management.ask(asked) == 1
        assert "score" not in stage.attributes("b1")

    async def test_pages_in_a_circle(
        self, stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("proxy.devices.management.crowdstrike._MOST_PAGES", 5)
        stage.vendor.rows = good("crowdstrike")[:1]
        page = {"resources": ["b1"], "meta": {"pagination": {"offset": "at0"}}}
        asked = stage.systems("crowdstrike").asked["crowdstrike"]
        stage.vendor._truth = lambda request, body: {**page, "resources": ["b1"]}  # type: ignore[method-assign]  # a lie
        assert await stage.management.ask(asked) == 0
        assert "no end" in caplog.text


class TestWriting:
    async def test_what_is_said_again_is_not_written_again(self, stage: Stage) -> None:
        stage.vendor.rows = [dict(row) for row in good("intune")]
        asked = stage.systems("intune").asked["intune"]
        assert [await stage.management.ask(asked) for _ in range(3)] == [4, 0, 0]
        stage.vendor.rows[0]["isEncrypted"] = False
        assert await stage.management.ask(asked) == 1
        assert stage.attributes("2f7d6a53-8a0e-4c5e-9a9b-0d5a4d7e1f00")["disk_encrypted"] is False

    async def test_but_when_it_was_heard_from_long_after(self, stage: Stage) -> None:
        stage.vendor.rows = [dict(good("intune")[0])]
        asked = stage.systems("intune", expiry=3600.0).asked["intune"]
        assert await stage.management.ask(asked) == 1
        stage.world.now += 1800
        stage.vendor.rows[0]["lastSyncDateTime"] = "2027-01-15T08:29:10Z"
        assert await stage.management.ask(asked) == 1
        stage.vendor.rows[0]["lastSyncDateTime"] = "2027-01-15T08:29:30Z"
        assert await stage.management.ask(asked) == 0
        known = stage.attributes("2f7d6a53-8a0e-4c5e-9a9b-0d5a4d7e1f00")
        assert known["last_seen"] == NOON + 29 * 60 + 10, "it is known within half the expiry"

    async def test_what_is_too_old_to_count_is_left_out(self, stage: Stage) -> None:
        stage.vendor.rows = good("intune")
        stage.world.now += 86_400
        assert await stage.ask("intune") == 0

    async def test_one_device_that_is_refused_does_not_keep_the_others_out(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        policies = {"last_seen": "Firewall on"}
        stage.vendor.rows = [{**good("fleet")[0]}, {"uuid": "ok", "seen_time": "2027-01-15T07:59:50Z"}]
        assert await stage.ask("fleet", policies=policies) == 1
        assert "fleet tells what cannot be meant" in caplog.text


class TestTurns:
    async def test_one_worker_takes_each(self, stage: Stage) -> None:
        stage.vendor.rows = good("fleet")[:1]
        world, turned = stage.world, asyncio.Event()

        async def sleep(seconds: float) -> None:
            stage.waits.append(seconds)
            turned.set()
            await asyncio.Event().wait()

        workers = [Management(world.devices, world.consumed.consume, lambda: world.now, sleep) for _ in "123"]
        for worker in workers:
            worker.adopt(stage.systems("fleet", interval=300.0))
        while len(stage.waits) < 3:
            turned.clear()
            await turned.wait()
        assert stage.waits == [300.0] * 3
        assert len(stage.vendor.requests) == 1
        for worker in workers:
            await worker.close()

    async def test_a_reload_starts_stops_and_leaves_alone(self, stage: Stage) -> None:
        async def sleep(_: float) -> None:
            await asyncio.Event().wait()

        world = stage.world
        management = Management(world.devices, world.consumed.consume, lambda: world.now, sleep)
        management.adopt(stage.systems("fleet"))
        first = management._tasks["fleet"]
        management.adopt(stage.systems("fleet"))
        assert management._tasks["fleet"] is first
        management.adopt(stage.systems("fleet", interval=60.0))
        assert management._tasks["fleet"] is not first
        management.adopt(Systems({}, {}))
        assert not management._tasks
        await asyncio.gather(first, return_exceptions=True)
        assert first.cancelled()
        await management.close()

    async def test_a_fault_of_ours_is_not_the_last_turn(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        class Broken:
            async def devices(self) -> AsyncIterator[Any]:
                raise RuntimeError("oops")
                yield

        await stage.management._turn(Asked(schema.Fleet(name="f", token=schema.SecretRef(env="X")), Broken()))
        assert "management system f" in caplog.text

    @pytest.mark.parametrize(
        ("kind", "changes", "says"),
        [
            ("webhook", {"secret": schema.SecretRef(env="OSTIARY_TEST_HUSH")}, "jamf: the secret is shorter than 16"),
            ("webhook", {"secret": schema.SecretRef(env="OSTIARY_TEST_NONE")}, "jamf: "),
            ("fleet", {"ca": "/nowhere/ca.pem"}, "fleet: /nowhere/ca.pem: No such file"),
        ],
    )
    async def test_what_cannot_work_says_so(self, kind: str, changes: Any, says: str, stage: Stage) -> None:
        with pytest.raises(ManagementUnusable, match=f"devices.management, {says}"):
            stage.systems(kind, **changes)


class TestWebhooks:
    @pytest.fixture(autouse=True)
    def adopted(self, stage: Stage) -> None:
        stage.management.adopt(stage.systems("webhook"))

    def signed(self, stage: Stage, body: bytes) -> tuple[str, str, bytes]:
        return "jamf", sign(SECRET.encode(), body, stage.world.now), body

    async def test_taken_in_once(self, stage: Stage) -> None:
        laptop = await stage.world.enrolled(serial="C02AB")
        body = json.dumps(
            {
                "devices": [
                    {"match": {"id": laptop.id}, "attributes": {"managed": True, "custom.site": "Berlin"}},
                    {"match": {"serial": "NEW1", "email": "bob@example.com"}, "attributes": {"compliant": False}},
                    {"match": {"id": "x"}, "attributes": {"approved": True}},
                ]
            }
        ).encode()
        received = await stage.management.receive(*self.signed(stage, body))
        assert received.taken == 2
        assert received.refused == ("devices[2]: 'approved' is not for a management system to say",)
        assert stage.attributes(laptop.id)["managed"] is True
        with pytest.raises(WebhookRefused, match="taken in before"):
            await stage.management.receive(*self.signed(stage, body))
        stage.world.now += 1
        assert (await stage.management.receive(*self.signed(stage, body))).taken == 2

    async def test_delivered_late_it_is_as_old_as_its_signature(self, stage: Stage) -> None:
        """Tried again after the message that came after it: the later one still counts, and so does its like."""
        now = stage.world.now

        async def delivered(value: bool, signed: float) -> int:
            body = json.dumps({"devices": [{"match": {"id": "a"}, "attributes": {"managed": value}}]}).encode()
            header = sign(SECRET.encode(), body, signed)
            return (await stage.management.receive("jamf", header, body)).taken

        for value, ago in ((True, 250), (False, 200), (False, 100), (True, 150)):
            assert await delivered(value, now - ago) == 1
            stage.world.now += 1
        assert stage.attributes("a")["managed"] is False
        assert await delivered(True, now - 100) == 1, "signed in the same second: the one that comes later"
        assert stage.attributes("a")["managed"] is True
        with pytest.raises(WebhookRefused, match="from the future"):
            await delivered(False, stage.world.now + 61)

    async def test_numbers_that_no_attribute_takes(self, stage: Stage) -> None:
        body = b'{"devices": [{"match": {"id": "a"}, "attributes": {"patch_age_days": -1}}]}'
        received = await stage.management.receive(*self.signed(stage, body))
        assert received.refused == ("devices[0]: 'patch_age_days' cannot be negative",)

    async def test_refused_without_a_trace(self, stage: Stage) -> None:
        good = b'{"devices": [{"match": {"serial": "A"}, "attributes": {"managed": true}}]}'
        name, header, _ = self.signed(stage, good)
        for attempt in (
            (name, "", good),
            (name, header, good + b" "),
            ("other", header, good),
            (name, sign(b"x" * 32, good, NOON), good),
        ):
            with pytest.raises(WebhookRefused):
                await stage.management.receive(*attempt)
        assert await stage.world.store.get("A") is None
        assert not stage.management.receives("other")
        assert (await stage.management.receive(name, header, good)).taken == 1, "nobody used its signature up"

    async def test_a_store_that_does_not_answer(self, stage: Stage) -> None:
        async def broken(*_: Any) -> str:
            raise StoreUnavailable("gone")

        stage.world.devices.observe = broken  # type: ignore[method-assign]  # a store that fails
        with pytest.raises(StoreUnavailable):
            await stage.management.receive(
                *self.signed(stage, b'{"devices": [{"match": {"serial": "A"}, "attributes": {}}]}')
            )
