"""What management systems tell, about which device; and how nobody gets the good word meant for another."""

from __future__ import annotations

import pytest
from device_people import NOON, World, certificate, person, record

from proxy.devices.errors import DeviceRefused
from proxy.model.device import Assurance, Bound
from proxy.settings import schema

DAY = 86400.0


def value(world: World, device: str, name: str) -> object:
    known = world.devices.facts(Bound(device=device), None)
    one = None if known is None else known.attributes.get(name)
    return None if one is None else one.value


async def told(world: World, matches: dict[str, str], source: str = "intune", **values: object) -> str:
    return await world.devices.observe(source, matches, values, world.now, world.now)


class TestWhichDevice:
    async def test_one_nobody_knows_is_added(self, world: World) -> None:
        device = await told(world, {"id": "guid-1", "serial": "SN-9", "email": "Ann@Example.com"}, managed=True)
        kept = await world.store.get(device)
        assert (device, kept.owner, kept.email, kept.key, kept.vouched) == ("guid-1", "", "ann@example.com", None, True)
        known = world.devices.facts(Bound(device=device), None)
        one = known.attributes["managed"]
        assert (one.value, one.source, one.assurance) == (True, "management:intune", Assurance.MANAGED)
        assert one.expires == NOON + DAY
        assert known.attributes["serial"].value == "SN-9"

    async def test_the_same_again_by_its_id_or_serial_or_certificate(self, world: World) -> None:
        device = await told(world, {"id": "guid-1", "serial": "SN-9"}, cert_sha256="AB" * 32)
        assert await told(world, {"id": "guid-1"}, compliant=True) == device
        assert await told(world, {"id": "falcon-7", "serial": " sn-9"}, source="falcon", score=88) == device
        assert await told(world, {"id": "falcon-7"}, source="falcon", score=12) == device, "it is known by that id now"
        assert await told(world, {"cert_sha256": "ab" * 32}, risk="low") == device
        assert [value(world, device, name) for name in ("compliant", "score", "risk")] == [True, 12, "low"]
        assert len(await world.store.list()) == 1

    async def test_by_owner_and_name_when_nothing_better_is_told(self, world: World) -> None:
        mine = await world.enrolled(name="studio", serial="")
        await world.devices.approve(mine.id)
        assert await told(world, {"email": "ANN@example.com", "name": "studio"}, compliant=True) == mine.id
        assert await told(world, {"email": "bob@example.com", "name": "studio"}, compliant=True) != mine.id

    async def test_what_many_machines_call_their_serial_means_none(self, world: World) -> None:
        one = await told(world, {"id": "a", "serial": "To Be Filled By O.E.M."}, compliant=True)
        two = await told(world, {"id": "b", "serial": "To Be Filled By O.E.M."}, compliant=False)
        assert one != two
        assert value(world, one, "compliant") is True

    async def test_what_is_not_theirs_to_say(self, world: World) -> None:
        for name, said in (
            ("approved", True),
            ("id", "x"),
            ("tags", ("a",)),
            ("disk_encrypted", "yes"),
            ("root", True),
        ):
            with pytest.raises(DeviceRefused):
                await told(world, {"id": "guid-1"}, **{name: said})
        assert list(await world.store.list()) == []


class TestNobodyGetsAnothersWord:
    async def test_a_serial_that_a_device_claims_finds_nothing(self, world: World) -> None:
        """Eve enrols her own machine under the serial number of one that complies."""
        eves = await world.enrolled(person("eve"), serial="SN-9")
        device = await told(world, {"id": "guid-1", "serial": "SN-9"}, managed=True, compliant=True)
        assert device != eves.id
        assert value(world, eves.id, "managed") is None
        assert value(world, eves.id, "serial") is None

    async def test_nor_does_it_when_the_good_one_was_there_first(self, world: World) -> None:
        await told(world, {"id": "guid-1", "serial": "SN-9"}, managed=True)
        eves = await world.enrolled(person("eve"), serial="SN-9")
        await told(world, {"id": "guid-1", "serial": "SN-9"}, compliant=True)
        assert value(world, eves.id, "managed") is None

    async def test_who_is_approved_takes_over_what_was_known(self, world: World) -> None:
        await told(world, {"id": "guid-1", "serial": "SN-1"}, managed=True)
        mine = await world.enrolled()
        assert value(world, mine.id, "managed") is None
        await world.devices.approve(mine.id)
        assert value(world, mine.id, "managed") is True
        assert await told(world, {"id": "guid-1"}, compliant=False) == mine.id, "its id there leads here now"
        assert len(await world.store.list()) == 1

    async def test_two_that_claim_one_serial_are_not_both_approved(self, world: World) -> None:
        mine, eves = await world.enrolled(), await world.enrolled(person("eve"))
        await world.devices.approve(mine.id)
        with pytest.raises(DeviceRefused, match="has serial number SN-1 already"):
            await world.devices.approve(eves.id)

    async def test_revoked_it_is_told_of_and_stays_revoked(self, world: World) -> None:
        device = await told(world, {"id": "guid-1", "serial": "SN-9"}, managed=True)
        await world.devices.revoke(device, world.now)
        assert await told(world, {"id": "guid-1", "serial": "SN-9"}, compliant=True) == device
        assert await told(world, {"serial": "SN-9"}, compliant=True) == device
        assert world.devices.facts(Bound(device=device), None) is None
        with pytest.raises(DeviceRefused, match="enrolled again"):
            await world.devices.approve(device)

    async def test_enrolled_anew_after_it_was_revoked(self, world: World) -> None:
        old = await world.enrolled()
        await world.devices.approve(old.id)
        await world.devices.revoke(old.id, world.now)
        new = await world.enrolled()
        await world.devices.approve(new.id)
        assert await told(world, {"serial": "SN-1"}, compliant=True) == new.id


class TestTime:
    async def test_an_older_word_changes_nothing_that_was_said_later(self, world: World) -> None:
        async def said(ago: float, matches: dict[str, str], **values: object) -> None:
            await world.devices.observe("jamf", {"id": "a", **matches}, values, world.now - ago, world.now)

        await said(300, {"cert_sha256": "aa" * 32}, managed=True)
        await said(100, {"cert_sha256": "bb" * 32}, managed=True)
        await said(200, {"cert_sha256": "aa" * 32}, managed=False, compliant=True)
        assert [value(world, "a", name) for name in ("managed", "compliant")] == [True, True]
        assert value(world, "a", "cert_sha256") == "bb" * 32, "its certificate was renewed meanwhile"
        assert (await world.store.get("a")).last_seen == world.now - 100

    async def test_another_sources_word_when_the_winners_has_expired(self, world: World) -> None:
        mine = await world.enrolled()
        await world.devices.approve(mine.id)
        await told(world, {"serial": "SN-1"}, firewall=True)
        world.now += DAY - 100
        await world.reported(mine, firewall=False)
        bound = Bound(device=mine.id)
        before = world.devices.facts(bound, None)
        assert before.attributes["firewall"].source == "management:intune"
        assert world.devices.facts(bound, None) is before
        world.now += 101
        after = world.devices.facts(bound, None)
        assert (after.attributes["firewall"].source, after.attributes["firewall"].value) == ("agent", False)
        assert world.devices.facts(bound, None) is after
        world.now += 3600
        assert world.devices.facts(bound, None) is after, "what has expired stays, to explain: policy sees the expiry"

    async def test_the_configured_expiry(self, store: object) -> None:
        ref = schema.SecretRef(env="X")
        world = World(store, management=(schema.Webhook(name="mdm", secret=ref, expiry=schema.Duration(60)),))
        device = await told(world, {"id": "a"}, source="mdm", compliant=True)
        assert world.devices.facts(Bound(device=device), None).attributes["compliant"].expires == NOON + 60


class TestNames:
    @pytest.mark.parametrize(
        ("how", "shown", "found"),
        [
            ({"by": "fingerprint"}, {"sha256": "ab" * 32}, True),
            ({"by": "fingerprint"}, {"sha256": "cd" * 32}, False),
            ({"by": "serial"}, {"subject_serial": "sn-1"}, True),
            ({"by": "serial"}, {"subject_serial": ""}, False),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("urn:device:d1",)}, True),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("URN:device:guid-1", "x.test")}, True),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("urn:device:d1/x",)}, False),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("urn:device:d1", "urn:device:d2")}, False),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("urn:device:d1", "urn:device:guid-1")}, True),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("urn:device:d1", "urn:device:nobody")}, False),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("urn:device:nobody", "urn:device:d1")}, False),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("urn:device:d1", "urn:other:x")}, True),
            ({"by": "uri", "pattern": "urn:device:{id}"}, {"names": ("urn:device:d3",)}, False),
            ({"by": "dns", "pattern": "{id}.devices.example.org"}, {"names": ("d1.devices.example.org",)}, True),
            ({"by": "dns", "pattern": "{id}.devices.example.org"}, {"names": ("d1.devicesXexample.org",)}, False),
            ({"by": "dns", "pattern": "{id}.devices.example.org"}, {"names": ("urn:d1.devices.example.org",)}, False),
        ],
    )
    async def test_which_device_a_certificate_names(self, store: object, how: dict, shown: dict, found: bool) -> None:
        world = World(store, certificates=schema.DeviceCertificates(**how))
        await store.add(record("d1", serial="SN-1", vouched=True, cert_sha256="ab" * 32, aliases=("guid-1",)))
        await store.add(record("d2", serial="SN-2"))
        await world.devices.start()
        one = certificate(**{"sha256": "00" * 32, **shown})
        assert world.devices.of_certificate(one) == ("d1" if found else "")
        known = world.devices.facts(None, one)
        assert (known is not None) is found
        if found:
            assert known.binding == "certificate"
            assert world.devices.facts(None, one) is known
            tied = Bound(device="d1", binding="certificate", certificate=one.sha256)
            assert world.devices.standing(tied, one, None, NOON) is None
            assert world.devices.standing(tied, None, None, NOON)
            assert world.devices.standing(tied, certificate("11" * 32), None, NOON)
            assert world.devices.standing(Bound(device="d2"), one, None, NOON), "another device than the session's"
            await world.devices.revoke("d1", NOON)
            assert world.devices.of_certificate(one) == ""
            assert world.devices.facts(None, one) is None

    async def test_no_certificate_names_anything_unless_configured(self, store: object) -> None:
        world = World(store)
        await store.add(record("d1", cert_sha256="ab" * 32))
        await world.devices.start()
        assert world.devices.of_certificate(certificate()) == ""
