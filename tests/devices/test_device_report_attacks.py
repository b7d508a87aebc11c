"""Reports as somebody who wants in would send them: `reports.yaml`, with real keys and real bytes."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from device_people import GOOD, LOGIN, Laptop, World, b64, person

from proxy.devices.errors import DeviceRefused
from proxy.devices.reports import checked
from proxy.model.device import Bound
from proxy.model.report import ENROL_TYPE, PROOF_TYPE, REPORT_TYPE, SEQ_AHEAD

CASES = yaml.safe_load((Path(__file__).parent / "reports.yaml").read_text())


def changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


async def sent(world: World, case: dict[str, Any], mine: Laptop, other: Laptop) -> str:
    """The bytes of one case."""
    nonce = await world.devices.nonce(mine.id, world.now)
    claims = mine.claims(nonce, world.now - case.get("age", 0), attributes={**GOOD, **case.get("attributes", {})})
    changes = dict(case.get("claims", {}))
    if changes.get("device") == "other":
        changes["device"] = other.id
    if changes.get("nonce") == "other":
        changes["nonce"] = await world.devices.nonce(other.id, world.now)
    claims = changed(claims, changes)
    if name := case.get("long"):
        claims["attributes"][name] = "x" * claims["attributes"][name]
    claims.get("attributes", {}) and isinstance(claims["attributes"], dict) and claims["attributes"].update(
        {f"custom.n{number}": 1 for number in range(case.get("many", 0))}
    )
    payload = json.dumps(claims).encode()
    if "raw_claims" in case:
        payload = case["raw_claims"].encode("latin-1")
    if "deep" in case:
        payload = b'{"attributes":' * case["deep"] + b"1" + b"}" * case["deep"]
    payload += b" " * case.get("huge", 0)
    header = changed({"alg": "ES256", "typ": REPORT_TYPE, "kid": mine.id}, case.get("header", {}))
    head = json.dumps(header).encode()
    again = {where: text.encode() + b", " for where, text in case.get("again", {}).items()}
    head = head.replace(b"{", b"{" + again.get("header", b""), 1)
    payload = payload.replace(b'"attributes": {', b'"attributes": {' + again.get("attributes", b""))
    payload = payload.replace(b"{", b"{" + again.get("claims", b""), 1)
    text = f"{b64(head)}.{b64(payload)}"
    if case.get("unsigned"):
        return text + "."
    if case.get("hmac"):
        return f"{text}.{b64(hmac.digest(json.dumps(mine.key).encode(), text.encode(), hashlib.sha256))}"
    signer = other if case.get("signer") == "other" else mine
    return signer.sign(head, payload)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_refused_and_nothing_learned(world: World, case: dict[str, Any]) -> None:
    mine, other = await world.enrolled(), await world.enrolled(person("eve"))
    await world.reported(mine)
    before = await world.store.get(mine.id)
    token = await sent(world, case, mine, other)
    with pytest.raises(DeviceRefused, match=case["why"]):
        await world.devices.report(token, world.now)
    assert await world.store.get(mine.id) == before
    await world.reported(mine)


class TestInOrder:
    async def test_replayed(self, world: World) -> None:
        mine = await world.enrolled()
        token = mine.report(await world.devices.nonce(mine.id, world.now), world.now)
        await world.devices.report(token, world.now)
        with pytest.raises(DeviceRefused, match="nonce was used before"):
            await world.devices.report(token, world.now + 1)

    async def test_reordered(self, world: World) -> None:
        mine = await world.enrolled()
        early = mine.report(await world.devices.nonce(mine.id, world.now), world.now)
        late = mine.report(await world.devices.nonce(mine.id, world.now), world.now)
        await world.devices.report(late, world.now)
        with pytest.raises(DeviceRefused, match="seq must be greater than 2"):
            await world.devices.report(early, world.now)

    async def test_held_back(self, world: World) -> None:
        """A report caught on the way is worth nothing a minute later, though its nonce would be."""
        mine = await world.enrolled()
        token = mine.report(await world.devices.nonce(mine.id, world.now), world.now)
        with pytest.raises(DeviceRefused, match="clock differs"):
            await world.devices.report(token, world.now + 61)

    async def test_a_nonce_is_good_for_five_minutes(self, world: World) -> None:
        mine = await world.enrolled()
        nonce = await world.devices.nonce(mine.id, world.now)
        world.now += 301
        with pytest.raises(DeviceRefused, match="older than 5 minutes"):
            await world.devices.report(mine.report(nonce, world.now), world.now)

    async def test_from_a_revoked_device(self, world: World) -> None:
        mine = await world.enrolled()
        token = mine.report(await world.devices.nonce(mine.id, world.now), world.now)
        await world.devices.revoke(mine.id, world.now)
        with pytest.raises(DeviceRefused, match="was removed"):
            await world.devices.report(token, world.now)

    async def test_revoked_in_another_worker_a_moment_ago(self, world: World) -> None:
        """The store has the last word, whatever this worker still believes."""
        mine = await world.enrolled()
        token = mine.report(await world.devices.nonce(mine.id, world.now), world.now)
        other = World(world.store)
        await other.devices.start()
        await other.devices.revoke(mine.id, world.now)
        with pytest.raises(DeviceRefused, match="was removed"):
            await world.devices.report(token, world.now)


class TestProofs:
    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace('"iat"', '"iat": 1, "iat"'),
            lambda text: text.replace('"device"', '"device": "d", "device"'),
            lambda text: text.replace('"iat": 1', '"iat": ' + "9" * 400),
        ],
    )
    async def test_ambiguous(self, world: World, change: Any) -> None:
        mine = await world.enrolled()
        challenge = world.devices.challenge("sid", world.now)
        claims = {"device": mine.id, "aud": LOGIN, "challenge": challenge, "iat": int(world.now)}
        token = mine.sign({"alg": "ES256", "typ": PROOF_TYPE, "kid": mine.id}, change(json.dumps(claims)).encode())
        with pytest.raises(DeviceRefused, match="claims are not those of a proof"):
            await world.devices.prove(token, challenge_for="sid", person=person(), now=world.now)
        good = mine.proof(challenge, world.now)
        assert await world.devices.prove(good, challenge_for="sid", person=person(), now=world.now) == mine.id


class TestNumbers:
    async def test_up_to_a_year_ahead(self, world: World) -> None:
        mine = await world.enrolled()
        nonce = await world.devices.nonce(mine.id, world.now)
        ahead = int(world.now) + SEQ_AHEAD
        with pytest.raises(DeviceRefused, match="at most a year ahead"):
            await world.devices.report(mine.report(nonce, world.now, seq=ahead + 1), world.now)
        nonce = await world.devices.nonce(mine.id, world.now)
        await world.devices.report(mine.report(nonce, world.now, seq=ahead), world.now)

    def test_no_number_is_too_large_to_be_refused(self) -> None:
        for name in ("patch_age_days", "custom.a"):
            for number in (10**400, -(10**400), 1e308, float("inf"), float("nan")):
                with pytest.raises(DeviceRefused, match="must be"):
                    checked({name: number})


class TestEnrolling:
    @pytest.mark.parametrize(
        ("header", "changes", "why"),
        [
            ({"alg": "none"}, {}, "header must hold"),
            ({"kid": "d"}, {}, "kid must be left out"),
            ({"jwk": {}}, {}, "nothing else"),
            ({"typ": REPORT_TYPE}, {}, "typ must be ostiary-enrol"),
            ({"typ": PROOF_TYPE}, {}, "typ must be ostiary-enrol"),
            ({}, {"code": "0000-0000-0000"}, "not known"),
            ({}, {"code": "x" * 5000}, "no enrolment code"),
            ({}, {"aud": LOGIN + ".evil.test"}, "meant for"),
            ({}, {"iat": 0}, "clock differs"),
            ({}, {"iat": int("9" * 400)}, "claims are not those"),
            ({}, {"iat": -int("9" * 400)}, "claims are not those"),
            ({}, {"name": ""}, "needs a name"),
            ({}, {"name": "a\u202eb"}, "printable"),
            ({}, {"serial": "x" * 65}, "at most 64"),
            ({}, {"os": "Linux; rm -rf"}, "must be a word"),
            ({}, {"storage": "cloud"}, "claims are not those"),
            ({}, {"key": {"kty": "oct", "k": "AAAA"}}, "claims are not those"),
            ({}, {"key": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}}, "not one of P-256"),
            ({}, {"key": {"kty": "EC", "crv": "P-256", "x": "A", "y": "B"}}, "not one of P-256"),
        ],
    )
    async def test_refused(self, world: World, header: dict, changes: dict, why: str) -> None:
        laptop = Laptop()
        code = await world.devices.new_code(person(), world.now)
        claims = {"code": code, "aud": LOGIN, "iat": int(world.now), "key": laptop.key, "name": "x", "os": "linux"}
        token = laptop.sign({"alg": "ES256", "typ": "ostiary-enrol+jwt", **header}, {**claims, **changes})
        with pytest.raises(DeviceRefused, match=why):
            await world.devices.enrol(token, world.now)
        assert list(await world.store.list()) == []
        await world.devices.enrol(laptop.wish(code, world.now), world.now)

    @pytest.mark.parametrize("member", ["aud", "iat", "key", "code"])
    async def test_a_member_twice(self, world: World, member: str) -> None:
        laptop = Laptop()
        code = await world.devices.new_code(person(), world.now)
        claims = {"code": code, "aud": LOGIN, "iat": int(world.now), "key": laptop.key, "name": "x", "os": "linux"}
        twice = json.dumps(claims)[:-1] + f", {json.dumps(member)}: {json.dumps(claims[member])}}}"
        with pytest.raises(DeviceRefused, match="repeats a name"):
            await world.devices.enrol(laptop.sign({"alg": "ES256", "typ": ENROL_TYPE}, twice.encode()), world.now)
        await world.devices.enrol(laptop.wish(code, world.now), world.now)

    async def test_a_tpm_that_proves_nothing_counts_as_a_file(self, world: World) -> None:
        laptop = await world.enrolled(storage="tpm")
        await world.reported(laptop)
        kept = await world.store.get(laptop.id)
        assert (kept.storage, kept.voucher) == ("tpm", None)
        known = world.devices.facts(Bound(device=laptop.id, binding="agent"), None)
        assert known.attributes["disk_encrypted"].assurance.name == "SELF_REPORTED"


async def test_a_session_bound_to_a_device_is_worthless_elsewhere(world: World) -> None:
    mine = await world.enrolled()
    bound = Bound(device=mine.id, binding="agent", proved_at=world.now, address="10.0.0.7")
    standing = world.devices.standing
    assert standing(bound, None, "10.0.0.7", world.now + 599) is None
    assert standing(bound, None, "10.0.0.7", world.now + 600), "the proof is old"
    assert standing(bound, None, "10.0.0.8", world.now), "from elsewhere"
    assert standing(bound, None, "", world.now), "from nowhere"
    assert standing(bound, None, None, world.now)
    assert standing(bound, None, "10.0.0.7", world.now - 61), "proved in the future"
    assert standing(Bound(binding="agent", proved_at=world.now, address="10.0.0.7"), None, "10.0.0.7", world.now)
