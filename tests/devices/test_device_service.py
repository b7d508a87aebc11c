"""A laptop's life: it is enrolled, reports, proves itself, is approved and removed."""

from __future__ import annotations

import pytest
from device_people import GOOD, LOGIN, NOON, Laptop, World, person

from proxy.devices.errors import DeviceRefused
from proxy.model.device import Assurance, Bound
from proxy.model.reasons import Reason


def value(world: World, laptop: Laptop, name: str) -> object:
    known = world.devices.facts(Bound(device=laptop.id, binding="agent"), None)
    one = None if known is None else known.attributes.get(name)
    return None if one is None else one.value


class TestLife:
    async def test_enrolled_then_reported_then_known(self, world: World) -> None:
        laptop = await world.enrolled()
        assert value(world, laptop, "approved") is True
        assert value(world, laptop, "disk_encrypted") is None
        await world.reported(laptop)
        assert value(world, laptop, "disk_encrypted") is True
        assert world.told == [laptop.id, laptop.id]
        known = world.devices.facts(Bound(device=laptop.id, binding="agent"), None)
        assert known.id == laptop.id
        assert known.binding == "agent"
        one = known.attributes["disk_encrypted"]
        assert (one.source, one.assurance, one.observed) == ("agent", Assurance.SELF_REPORTED, NOON)
        assert one.expires == NOON + world.settings.report_expiry
        assert "serial" not in known.attributes, "its serial number is its own word"

    async def test_the_same_object_until_something_changes(self, world: World) -> None:
        laptop = await world.enrolled()
        bound = Bound(device=laptop.id, binding="agent")
        first = world.devices.facts(bound, None)
        world.now += 30
        assert world.devices.facts(Bound(device=laptop.id, binding="agent"), None) is first
        await world.devices.changed(laptop.id, world.now)
        await world.devices.changed("", world.now)
        assert world.devices.facts(bound, None) is first, "nothing is new"
        await world.reported(laptop)
        assert world.devices.facts(bound, None) is not first

    async def test_what_it_does_not_say_any_more_is_unknown(self, world: World) -> None:
        laptop = await world.enrolled()
        await world.reported(laptop, secure_boot=True)
        assert value(world, laptop, "secure_boot") is True
        await world.reported(laptop)
        assert value(world, laptop, "secure_boot") is None

    async def test_until_approved_its_word_counts_for_nothing(self, store: object) -> None:
        world = World(store, enrolment="approval")
        laptop = await world.enrolled()
        await world.reported(laptop)
        assert value(world, laptop, "approved") is False
        assert value(world, laptop, "disk_encrypted") is None
        assert await world.devices.approve(laptop.id)
        assert value(world, laptop, "approved") is True
        assert value(world, laptop, "disk_encrypted") is True
        assert value(world, laptop, "serial") == "SN-1"

    async def test_the_answer_says_what_to_mend(self, world: World) -> None:
        laptop = await world.enrolled()
        nonce = await world.devices.nonce(laptop.id, world.now)
        bad = laptop.report(nonce, world.now, attributes={**GOOD, "firewall": False})
        answer = await world.devices.report(bad, world.now)
        assert answer.note == "The firewall is off."
        again = await world.devices.report(laptop.report(answer.nonce, world.now), world.now)
        assert again.note == ""
        assert again.interval == 900

    async def test_removed_it_is_nobody(self, world: World) -> None:
        laptop = await world.enrolled()
        await world.reported(laptop)
        bound = Bound(device=laptop.id, binding="agent", proved_at=world.now, address="10.0.0.7")
        assert world.devices.standing(bound, None, "10.0.0.7", world.now) is None
        assert await world.devices.revoke(laptop.id, world.now)
        assert world.ended == [laptop.id]
        assert world.devices.facts(bound, None) is None
        assert world.devices.standing(bound, None, "10.0.0.7", world.now) is Reason.DEVICE_PROOF_REQUIRED
        with pytest.raises(DeviceRefused, match="removed"):
            await world.devices.nonce(laptop.id, world.now)
        assert not await world.devices.revoke(laptop.id, world.now)

    async def test_its_owner_proves_it(self, world: World) -> None:
        laptop = await world.enrolled()
        challenge = world.devices.challenge("sid-1", world.now)
        proof = laptop.proof(challenge, world.now)
        assert await world.devices.prove(proof, challenge_for="sid-1", person=person(), now=world.now) == laptop.id
        with pytest.raises(DeviceRefused, match="challenge was used before"):
            await world.devices.prove(proof, challenge_for="sid-1", person=person(), now=world.now)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"sid": "sid-2"}, "for something else"),
            ({"person": person("bob")}, "somebody else"),
            ({"person": person(provider="other")}, "somebody else"),
            ({"later": 121}, "clock differs"),
            ({"aud": LOGIN + "/"}, "meant for"),
        ],
    )
    async def test_a_proof_is_for_one_session_of_its_owner(self, world: World, change: dict, why: str) -> None:
        laptop = await world.enrolled()
        challenge = world.devices.challenge("sid-1", world.now)
        proof = laptop.proof(challenge, world.now, **({"aud": change["aud"]} if "aud" in change else {}))
        with pytest.raises(DeviceRefused, match=why):
            await world.devices.prove(
                proof,
                challenge_for=change.get("sid", "sid-1"),
                person=change.get("person", person()),
                now=world.now + change.get("later", 0),
            )


class TestEnrolment:
    async def test_a_code_works_once(self, world: World) -> None:
        code = await world.devices.new_code(person(), world.now)
        await world.devices.enrol(Laptop().wish(code, world.now), world.now)
        with pytest.raises(DeviceRefused, match="was used"):
            await world.devices.enrol(Laptop().wish(code, world.now), world.now)

    async def test_however_it_was_typed(self, world: World) -> None:
        code = await world.devices.new_code(person(), world.now)
        typed = f" {code.lower().replace('-', ' ')} ".replace("0", "o").replace("1", "l")
        await world.devices.enrol(Laptop().wish(typed, world.now), world.now)

    async def test_a_code_that_nobody_signed_for_is_not_used_up(self, world: World) -> None:
        code = await world.devices.new_code(person(), world.now)
        mine, other = Laptop(), Laptop()
        with pytest.raises(DeviceRefused, match="signature"):
            await world.devices.enrol(other.wish(code, world.now, key=mine.key), world.now)
        await world.devices.enrol(mine.wish(code, world.now), world.now)

    async def test_a_late_code(self, world: World) -> None:
        code = await world.devices.new_code(person(), world.now)
        world.now += 900
        with pytest.raises(DeviceRefused, match="older than 15 minutes"):
            await world.devices.enrol(Laptop().wish(code, world.now), world.now)

    async def test_a_key_that_is_known(self, world: World) -> None:
        laptop = await world.enrolled()
        await world.devices.revoke(laptop.id, world.now)
        code = await world.devices.new_code(person("eve"), world.now)
        with pytest.raises(DeviceRefused, match="key is known already"):
            await world.devices.enrol(laptop.wish(code, world.now), world.now)

    async def test_so_many_and_no_more(self, store: object) -> None:
        world = World(store, per_person=2)
        first = await world.enrolled()
        await world.enrolled()
        with pytest.raises(DeviceRefused, match="2 devices already"):
            await world.enrolled()
        await world.devices.revoke(first.id, world.now)
        await world.enrolled()

    async def test_nobody_where_it_is_off(self, store: object) -> None:
        world = World(store, enrolment="off")
        with pytest.raises(DeviceRefused, match="cannot be enrolled"):
            await world.devices.new_code(person(), world.now)
