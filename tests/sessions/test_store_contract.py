"""What every session store must do. Runs over each of `session_people.KINDS`."""

from __future__ import annotations

import math

import msgspec
from session_people import NOON, person, record

from proxy.model.device import Bound, Observation
from proxy.model.reasons import Reason
from proxy.sessions.session import SessionEvent, hashed
from proxy.sessions.store import HANDLES_PER_HOST, KEEP, KEEP_EVENTS, LONGEST_LEASE, SessionStore

APP = "grafana.apps.localhost"


class TestRecords:
    async def test_what_was_written_comes_back(self, store: SessionStore) -> None:
        written = record(
            refresh_at=math.inf,
            identity=person(
                session="s1", name="Ann “Ö” O'Neil", claims={"dept": {"id": 7}}, amr=("pwd", "otp"), auth_time=NOON - 5
            ),
        )
        await store.create(written)
        assert await store.get("s1") == written

    async def test_the_device_it_is_tied_to_comes_back_and_can_change(self, store: SessionStore) -> None:
        seen = Observation(value=("a", "b"), source="claims:corp", observed=NOON, expires=NOON + 9)
        bound = Bound(device="laptop-7", binding="agent", proved_at=NOON, address="10.0.0.7", claims={"tags": seen})
        await store.create(record(device=bound))
        assert (await store.get("s1")).device == bound
        assert await store.update(record(device=None))
        assert (await store.get("s1")).device is None

    async def test_the_living_sessions_of_a_device(self, store: SessionStore) -> None:
        for sid, device in (("s1", "laptop-7"), ("s2", "laptop-7"), ("s3", "laptop-8"), ("s4", "laptop-7"), ("s5", "")):
            await store.create(record(sid, device=Bound(device=device, binding="agent")))
        await store.create(record("s6"))
        await store.revoke("s4", Reason.SESSION_REVOKED, NOON)
        assert list(await store.by_device("laptop-7")) == ["s1", "s2"]
        assert list(await store.by_device("laptop-9")) == []
        assert list(await store.by_device("")) == [], "no device is not a device"
        await store.update(record("s1", device=None))
        assert list(await store.by_device("laptop-7")) == ["s2"]

    async def test_news_of_a_device_reaches_whoever_follows(self, store: SessionStore) -> None:
        cursor = await store.latest_event()
        await store.publish(SessionEvent(kind="device", sid="laptop-7", at=NOON))
        assert [(each.kind, each.sid) for each in await store.events_after(cursor)] == [("device", "laptop-7")]

    async def test_unknown_is_none(self, store: SessionStore) -> None:
        assert await store.get("s1") is None
        assert await store.by_handle(hashed(b"x")) is None

    async def test_update_replaces_what_a_refresh_brings_and_nothing_else(self, store: SessionStore) -> None:
        await store.create(record())
        await store.touch([("s1", NOON + 60)])
        changed = record(identity=person(groups=frozenset({"hr"})), tokens=b"new", refresh_at=NOON + 600, created=1.0)
        assert await store.update(changed)
        assert await store.get("s1") == msgspec.structs.replace(changed, created=NOON, last_seen=NOON + 60)

    async def test_an_update_never_brings_a_session_back(self, store: SessionStore) -> None:
        await store.create(record())
        await store.revoke("s1", Reason.SESSION_REVOKED, NOON)
        assert not await store.update(record(tokens=b"late refresh"))
        found = await store.get("s1")
        assert found is not None
        assert (found.ended, found.tokens) == (Reason.SESSION_REVOKED, b"")
        assert not await store.update(record("unknown"))

    async def test_touch_passes_over_the_unknown_and_the_ended(self, store: SessionStore) -> None:
        await store.create(record("s1"))
        await store.create(record("s2"))
        await store.revoke("s2", Reason.SESSION_REVOKED, NOON)
        await store.touch([("s1", NOON + 9), ("s2", NOON + 9), ("s3", NOON + 9)])
        assert (await store.get("s1")).last_seen == NOON + 9
        assert (await store.get("s2")).last_seen == NOON


class TestHandles:
    async def test_a_handle_leads_to_its_session_and_host(self, store: SessionStore) -> None:
        await store.create(record())
        assert await store.add_handle(hashed(b"h"), "s1", APP, NOON + 10)
        assert await store.by_handle(hashed(b"h")) == (record(), APP)

    async def test_no_handle_for_the_unknown_or_the_ended(self, store: SessionStore) -> None:
        assert not await store.add_handle(hashed(b"h"), "s1", APP, NOON + 10)
        await store.create(record())
        await store.revoke("s1", Reason.SESSION_REVOKED, NOON)
        assert not await store.add_handle(hashed(b"h"), "s1", APP, NOON + 10)

    async def test_the_handle_of_an_ended_session_says_so(self, store: SessionStore) -> None:
        await store.create(record())
        await store.add_handle(hashed(b"h"), "s1", APP, NOON + 10)
        await store.revoke("s1", Reason.SESSION_EXPIRED, NOON + 3)
        found, _ = await store.by_handle(hashed(b"h"))
        assert (found.ended, found.ended_at) == (Reason.SESSION_EXPIRED, NOON + 3)

    async def test_only_the_newest_handles_of_a_host_are_kept(self, store: SessionStore) -> None:
        await store.create(record())
        await store.add_handle(hashed(b"other host"), "s1", "wiki.apps.localhost", NOON + 10)
        for number in range(HANDLES_PER_HOST + 2):
            await store.add_handle(hashed(b"%d" % number), "s1", APP, NOON + 10)
        alive = [n for n in range(HANDLES_PER_HOST + 2) if await store.by_handle(hashed(b"%d" % n))]
        assert alive == list(range(2, HANDLES_PER_HOST + 2))
        assert await store.by_handle(hashed(b"other host"))

    async def test_dropped_handles_lead_nowhere_and_the_session_lives_on(self, store: SessionStore) -> None:
        for sid in ("s1", "s2"):
            await store.create(record(sid))
            await store.add_handle(hashed(sid.encode()), sid, APP, NOON + 10)
        await store.add_handle(hashed(b"h2"), "s1", "wiki.apps.localhost", NOON + 10)
        start = await store.latest_event()

        assert await store.drop_handles("s1", NOON + 1) == 2

        assert await store.by_handle(hashed(b"s1")) is None
        assert await store.by_handle(hashed(b"h2")) is None
        assert (await store.get("s1")).ended is None
        assert await store.by_handle(hashed(b"s2"))
        assert [(each.kind, each.sid) for each in await store.events_after(start)] == [("handles", "s1")]
        assert await store.add_handle(hashed(b"new"), "s1", APP, NOON + 10)

    async def test_nothing_to_drop_tells_nothing(self, store: SessionStore) -> None:
        start = await store.latest_event()
        assert await store.drop_handles("unknown", NOON) == 0
        assert list(await store.events_after(start)) == []


class TestRevocation:
    async def test_it_is_true_once_and_erases_tokens(self, store: SessionStore) -> None:
        await store.create(record())
        assert await store.revoke("s1", Reason.SESSION_REVOKED, NOON + 1)
        assert not await store.revoke("s1", Reason.SESSION_EXPIRED, NOON + 2)
        assert not await store.revoke("never was", Reason.SESSION_REVOKED, NOON)
        found = await store.get("s1")
        assert (found.ended, found.ended_at, found.tokens) == (Reason.SESSION_REVOKED, NOON + 1, b"")

    async def test_several_at_once_tells_which_were_alive(self, store: SessionStore) -> None:
        for sid in ("a", "b", "c"):
            await store.create(record(sid))
        await store.revoke("b", Reason.SESSION_REVOKED, NOON)
        ended = await store.revoke_many(["a", "b", "c", "d"], Reason.SESSION_REVOKED, NOON)
        assert sorted(ended) == ["a", "c"]
        assert list(await store.revoke_many([], Reason.SESSION_REVOKED, NOON)) == []

    async def test_one_that_was_seen_meanwhile_is_spared(self, store: SessionStore) -> None:
        await store.create(record("idle"))
        await store.create(record("busy"))
        await store.touch([("busy", NOON + 100)])
        ended = await store.revoke_many(["idle", "busy"], Reason.SESSION_EXPIRED, NOON + 200, unseen_since=NOON)
        assert list(ended) == ["idle"]


class TestListing:
    async def test_newest_first_with_hosts_and_without_tokens(self, store: SessionStore) -> None:
        await store.create(record("old", created=NOON - 9))
        await store.create(record("new"))
        for number, host in enumerate(["b.x", "a.x", "b.x"]):
            await store.add_handle(hashed(b"%d" % number), "new", host, NOON + 10)
        found = await store.list()
        assert [(each.record.sid, each.hosts) for each in found] == [("new", ("a.x", "b.x")), ("old", ())]
        assert {each.record.tokens for each in found} == {b""}
        assert [each.record.sid for each in await store.list(limit=1)] == ["new"]

    async def test_by_person(self, store: SessionStore) -> None:
        await store.create(record("1", "ann"))
        await store.create(record("2", "bob"))
        await store.create(record("3", "eve", identity=person("eve", email="")))

        async def of(user: str) -> list[str]:
            return [each.record.sid for each in await store.list(user=user)]

        assert await of("ann@example.com") == ["1"]
        assert await of("Ann@Example.COM") == ["1"]
        assert await of("sub-bob") == ["2"]
        assert await of("corp:sub-bob") == ["2"]
        assert await of("other:sub-bob") == []
        assert await of("") == []
        assert await of("%") == []

    async def test_ended_ones_only_when_asked_for(self, store: SessionStore) -> None:
        await store.create(record())
        await store.revoke("s1", Reason.SESSION_REVOKED, NOON)
        assert list(await store.list()) == []
        assert [each.record.sid for each in await store.list(ended=True)] == ["s1"]


class TestBackChannelLogout:
    async def test_sub_and_sid_narrow_each_other(self, store: SessionStore) -> None:
        await store.create(record("a1", "ann", provider_sid="laptop"))
        await store.create(record("a2", "ann", provider_sid="phone"))
        await store.create(record("b1", "bob", provider_sid="laptop"))
        await store.create(record("other", "ann", provider="partner", provider_sid="laptop"))
        await store.create(record("over", "ann", provider_sid="laptop"))
        await store.revoke("over", Reason.SESSION_REVOKED, NOON)

        async def meant(subject: str, provider_sid: str) -> list[str]:
            return list(await store.by_provider_session("corp", subject, provider_sid))

        assert await meant("sub-ann", "") == ["a1", "a2"]
        assert await meant("", "laptop") == ["a1", "b1"]
        assert await meant("sub-ann", "laptop") == ["a1"]
        assert await meant("sub-ann", "unknown") == []
        assert await meant("", "") == []


class TestLeases:
    async def test_exclusive_until_it_ends(self, store: SessionStore) -> None:
        assert await store.lease("refresh:s1", "me", 30, NOON)
        assert not await store.lease("refresh:s1", "you", 30, NOON + 29)
        assert await store.lease("refresh:s2", "you", 30, NOON)
        assert await store.lease("refresh:s1", "you", 30, NOON + 30)
        assert not await store.lease("refresh:s1", "me", 30, NOON + 31)

    async def test_its_holder_may_renew_it_and_only_its_holder_release_it(self, store: SessionStore) -> None:
        await store.lease("l", "me", 30, NOON)
        assert await store.lease("l", "me", 30, NOON + 20)
        await store.release("l", "you")
        assert not await store.lease("l", "you", 30, NOON + 40)
        await store.release("l", "me")
        assert await store.lease("l", "you", 30, NOON + 40)

    async def test_one_taken_by_a_clock_far_ahead_holds_nobody(self, store: SessionStore) -> None:
        await store.lease("l", "me", 30, NOON + 86400)
        assert await store.lease("l", "you", 30, NOON)

    async def test_its_length_is_bounded(self, store: SessionStore) -> None:
        await store.lease("l", "me", 1e9, NOON)
        assert await store.lease("l", "you", 30, NOON + LONGEST_LEASE)


class TestEvents:
    async def test_ends_and_changes_are_told_in_order(self, store: SessionStore) -> None:
        start = await store.latest_event()
        await store.create(record("a"))
        await store.create(record("b"))
        await store.update(record("a"))
        await store.revoke_many(["a", "b"], Reason.SESSION_EXPIRED, NOON + 1)
        events = await store.events_after(start)
        assert [(e.kind, e.sid) for e in events] == [("changed", "a"), ("ended", "a"), ("ended", "b")]
        assert [e.reason for e in events[1:]] == [Reason.SESSION_EXPIRED] * 2
        assert [e.id for e in events] == sorted({e.id for e in events})
        assert [e.id for e in await store.events_after(events[0].id)] == [e.id for e in events[1:]]
        assert list(await store.events_after(events[-1].id)) == []
        assert await store.latest_event() == events[-1].id

    async def test_what_changed_nothing_tells_nothing(self, store: SessionStore) -> None:
        start = await store.latest_event()
        await store.revoke("unknown", Reason.SESSION_REVOKED, NOON)
        await store.update(record("unknown"))
        assert list(await store.events_after(start)) == []

    async def test_published_events_are_told(self, store: SessionStore) -> None:
        start = await store.latest_event()
        number = await store.publish(SessionEvent(kind="changed", sid="x", at=NOON))
        assert [(e.id, e.sid) for e in await store.events_after(start)] == [(number, "x")]

    async def test_a_reader_from_elsewhere_must_verify_everything(self, store: SessionStore) -> None:
        start = await store.latest_event()
        for stranger in (start - 1, start + 1, -5):
            assert [(e.kind, e.id) for e in await store.events_after(stranger)] == [("reset", start)]

    async def test_a_reader_that_slept_too_long_must_verify_everything(self, store: SessionStore) -> None:
        start = await store.latest_event()
        for at in (NOON, NOON + KEEP_EVENTS):
            await store.publish(SessionEvent(kind="changed", sid="x", at=at))
        await store.purge(NOON + KEEP_EVENTS + 1, idle=1e9)
        assert [e.kind for e in await store.events_after(start)] == ["reset"]
        assert [e.kind for e in await store.events_after(start + 1)] == ["changed"]

    async def test_at_most_a_thousand_at_once(self, store: SessionStore) -> None:
        start = await store.latest_event()
        sids = [f"s{number}" for number in range(1001)]
        for sid in sids:
            await store.create(record(sid))
        await store.revoke_many(sids, Reason.SESSION_REVOKED, NOON)
        first = await store.events_after(start)
        rest = await store.events_after(first[-1].id)
        assert [e.sid for e in [*first, *rest]] == sids
        assert (len(first), len(rest)) == (1000, 1)


class TestPurge:
    async def test_it_ends_the_expired_and_the_idle_and_leaves_the_rest(self, store: SessionStore) -> None:
        await store.create(record("expired", expires=NOON + 10))
        await store.create(record("idle", last_seen=NOON - 3600))
        await store.create(record("live"))
        start = await store.latest_event()
        assert await store.purge(NOON + 10, idle=3600) == 2
        assert sorted(e.sid for e in await store.events_after(start)) == ["expired", "idle"]
        assert (await store.get("live")).ended is None
        assert await store.purge(NOON + 10, idle=3600) == 0

    async def test_rows_outlive_their_expiry_by_a_day(self, store: SessionStore) -> None:
        await store.create(record(expires=NOON))
        await store.add_handle(hashed(b"h"), "s1", APP, NOON)
        await store.purge(NOON + KEEP - 1, idle=1e9)
        assert (await store.by_handle(hashed(b"h")))[0].ended is Reason.SESSION_EXPIRED
        await store.purge(NOON + KEEP, idle=1e9, delete=False)
        assert await store.get("s1") is not None
        await store.purge(NOON + KEEP, idle=1e9)
        assert await store.get("s1") is None
        assert await store.by_handle(hashed(b"h")) is None


async def test_close_may_be_called_twice(store: SessionStore) -> None:
    await store.create(record())
    await store.close()
    await store.close()
