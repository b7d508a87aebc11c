"""What is known of a device changes: everything open from it ends within a second, in every worker."""

from __future__ import annotations

import asyncio
import time

import msgspec
from scenario_processes import Outside
from scenario_world import CUT, App, eventually
from test_story_admin import begin

from proxy.devices.record import DeviceRecord
from proxy.devices.store import open_device_store
from proxy.model.device import Bound
from proxy.sessions.store import open_store

FIT = [{"name": "fit", "groups": ["engineering"], "device": {"tags": ["fit"]}}]


async def known_laptop(proxy: Outside, who: str) -> str:
    """A device of the inventory, tagged as fit, that the person's session is tied to."""
    state = f"sqlite:{proxy.folder / 'var' / 'state.db'}"
    devices, store = open_device_store(state), open_store(state)
    try:
        record = DeviceRecord(id="d-1", owner="corp:" + who, name="laptop", os="linux", approved=True, tags=("fit",))
        assert await devices.add(record, most=10) == "added"
        (listed,) = await store.list(user=who)
        found = await store.get(listed.record.sid)
        assert found is not None
        assert await store.update(msgspec.structs.replace(found, device=Bound(device="d-1")))
    finally:
        await devices.close()
        await store.close()
    return "d-1"


async def test_a_tag_taken_away_ends_what_is_open_in_every_worker_at_once(proxy: Outside, app: App):
    proxy.route("app", app.url, allow=FIT)
    await proxy.start()
    cookie = ("Cookie", (await proxy.login("ann", "app"))["app"])
    device = await known_laptop(proxy, "ann")
    code, said = await proxy.command("devices", "approve", device)
    assert code == 0, said
    streams = await proxy.lines_on_every_worker("app")
    try:
        await asyncio.gather(*(begin(proxy, stream, kind, cookie) for kind, stream in enumerate(streams)))
        await eventually(lambda: len(proxy.lines(path="/warm")) == len(streams), "they are on record")
        assert len({row["run"] for row in proxy.lines(path="/warm")}) == 2, "the connections reach both workers"
        code, said = await proxy.command("devices", "tag", device, "--remove", "fit")
        done = time.monotonic()
        assert code == 0, said
        await asyncio.gather(*(stream.closed(within=CUT) for stream in streams))
        assert time.monotonic() - done < CUT
    finally:
        for stream in streams:
            stream.writer.transport.abort()
    refused = await proxy.ask("app", cookie=cookie[1])
    assert (refused.status, refused.json["reason"]) == (403, "device-not-compliant")
    assert await proxy.metric("ostiary_stream_cut_seconds_count", cause="device") >= 1
