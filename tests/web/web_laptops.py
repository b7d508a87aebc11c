"""What the tests of devices on our pages share: the agent's part, and the part of the page's script."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import msgspec
from device_people import GOOD, Laptop
from web_stage import LOGIN, Answer, Browser, Stage

from proxy.devices import administering
from proxy.model.device import Bound

PROVE = f"{LOGIN}/.ostiary/device/prove"
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
OUR_PAGE = {**JSON, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


def configure(stage: Stage, **changes: Any) -> None:
    configuration = stage.settings.configuration
    devices = msgspec.structs.replace(configuration.devices, **changes)
    configuration = msgspec.structs.replace(configuration, devices=devices)
    stage.settings = msgspec.structs.replace(stage.settings, configuration=configuration)
    stage.devices.reconfigure(devices, LOGIN)


async def send(browser: Browser, path: str, **members: Any) -> tuple[int, dict[str, Any]]:
    """What the agent posts."""
    answer = await browser.fetch(f"{LOGIN}/.ostiary/device/{path}", "POST", dict(JSON), data=json.dumps(members))
    return answer.status, json.loads(answer.text)


def command_of(answer: Answer) -> tuple[str, str]:
    found = re.search(
        r"ostiary device enrol (\S+) --code ([0-9A-Z-]{14})", re.sub("<[^>]*>", "", html.unescape(answer.text))
    )
    assert found, answer.text
    return found[1], found[2]


async def enrolled(stage: Stage, browser: Browser) -> Laptop:
    """A laptop of whoever is logged in here, by the command on the page."""
    url, code = command_of(await browser.post(f"{LOGIN}/.ostiary/device/code", {}))
    laptop, now = Laptop(), stage.clock()
    status, told = await send(Browser(stage), "enrol", jws=laptop.wish(code, now, aud=url))
    assert status == 200, told
    laptop.id = told["device"]
    return laptop


async def report(stage: Stage, laptop: Laptop, **attributes: Any) -> tuple[int, dict[str, Any]]:
    agent = Browser(stage)
    status, told = await send(agent, "nonce", device=laptop.id)
    assert status == 200, told
    claims = {"aud": LOGIN, "attributes": {**GOOD, **attributes}}
    return await send(agent, "report", jws=laptop.report(told["nonce"], stage.clock(), **claims))


def asked_of(page: Answer) -> dict[str, str]:
    """What the page's script has to work with."""
    found = re.search(r'id="prove" ([^>]*)>', page.text)
    assert found, page.text
    return {name: html.unescape(value) for name, value in re.findall(r'data-([a-z]+)="([^"]*)"', found[1])}


async def shows(stage: Stage, browser: Browser, laptop: Laptop, page: Answer, site: str = "same-origin") -> Answer:
    """The script's part: the agent signs the challenge, the page posts what it said."""
    asked = asked_of(page)
    jws = laptop.proof(asked["challenge"], stage.clock(), aud=asked["aud"])
    body = json.dumps({"jws": jws, "next": asked["next"]})
    return await browser.fetch(LOGIN + asked["post"], "POST", {**OUR_PAGE, "Sec-Fetch-Site": site}, data=body)


async def bound(stage: Stage, browser: Browser, origin: str = LOGIN) -> Bound | None:
    live = await stage.session_of(browser, origin)
    return None if live is None else live.record.device


async def issued(stage: Stage, laptop: Laptop, sha256: str) -> None:
    """The laptop has this client certificate now, says the administrator."""
    await administering.tag(stage.devices.store, laptop.id, certificate=sha256)
    await stage.devices.changed(laptop.id, 0)
