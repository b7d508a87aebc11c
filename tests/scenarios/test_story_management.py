"""A management system tells of a laptop, and what may be opened with it follows."""

from __future__ import annotations

import json
import time

from scenario_world import App, Inside, eventually, running

from proxy.devices.management.signature import HEADER, sign
from proxy.model.device import Bound

SECRET = "a shared secret of a good length"
PATH = "/.ostiary/devices/jamf/webhook"


async def test_a_signed_webhook_is_taken_in_and_a_forged_one_is_not(world: Inside, app: App):
    (world.folder / "jamf").write_text(SECRET)
    (world.folder / "jamf").chmod(0o600)
    world.config["devices"] = {"management": [{"name": "jamf", "type": "webhook", "secret": {"file": "jamf"}}]}
    world.route("app", app.url)
    body = json.dumps({"devices": [{"match": {"id": "laptop-7"}, "attributes": {"managed": True}}]}).encode()
    async with running(world):

        async def send(secret: str, at: str = "login", path: str = PATH) -> tuple[int, dict[str, object]]:
            headers = [(HEADER, sign(secret.encode(), body, time.time()))]
            answer = await world.ask(at, path, method="POST", body=body, headers=headers)
            return answer.status, answer.json

        assert (await send("another secret of a good length"))[0] == 400
        assert (await send(SECRET, path=PATH.replace("jamf", "intune")))[0] == 404
        assert (await send(SECRET, at="app"))[0] == 404
        assert await send(SECRET) == (200, {"taken": 1, "refused": []})

        def known() -> bool:
            device = world.worker.devices.facts(Bound(device="laptop-7", binding="provider"), None)
            return device is not None and device.attributes["managed"].source == "management:jamf"

        await eventually(known, "the inventory knows")
        world.config["devices"] = {}
        world.reload()
        assert (await send(SECRET))[0] == 404
