"""The part of the tour about how strongly one is known, from what device, and about programs without a certificate."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from urllib.parse import urlencode

import aiohttp

from proxy.demo import loopback
from proxy.demo.laptop import COMPLIANT, Laptop
from proxy.demo.layout import PARTNER
from proxy.demo.stage import Stage, Step, must, reason, status
from proxy.demo.visitor import Visitor

CUT_TIME = 1.0  # seconds until a device that stops complying has lost its streams
_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1


async def _partner(stage: Stage) -> None:
    url = stage.layout.url("headers") + "/reports?of=partners"
    page = await stage.partner.choose(await stage.partner.open(url), PARTNER)
    must(page.url.startswith(stage.layout.partner), f"the chooser led to {page.url}")
    response = await stage.partner.submit(page, {"person": "p-2041", "factors": "one", "answer": "login"})
    must("SAMLResponse" in response.text, f"the partner's provider sent no response: {response.text[:500]}")
    back = await stage.partner.submit(response, {})
    status(back, 200, "erin of the partner company")
    must(back.url == url, f"asked for {url}, came back to {back.url}")
    answer = await stage.partner.ask(stage.layout.url("headers") + "/.ostiary/whoami")
    must("partners" in answer.json["groups"], f"whoami says {answer.text}")
    status(await stage.partner.open(stage.layout.url("live") + "/"), 403, "erin at “Live data”")


async def _partner_logout(stage: Stage) -> None:
    home = await stage.partner.open(stage.layout.partner + "/")
    index = re.search(r'name="index" value="([^"]+)"', home.text)
    must(index, f"the partner's provider does not show erin's login: {home.text[:1000]}")
    assert index is not None, "checked above"
    await stage.partner.post(stage.layout.partner + "/end", {"index": index[1]}, origin=stage.layout.partner)
    answer = await stage.partner.ask(stage.layout.url("headers") + "/")
    must(answer.status == 401, f"erin's next request was answered with {answer.status}")


async def _step_up(stage: Stage) -> None:
    url = stage.layout.url("headers") + "/payroll?month=11"
    answer = await stage.alice.ask(url)
    reason(answer, 401, "step-up-required", "alice with one factor, as a program")
    said = answer.headers.get("WWW-Authenticate", "")
    must("insufficient_user_authentication" in said, f"no challenge of RFC 9470: {said}")
    page = await stage.alice.log_in(url, "alice", "two")
    status(page, 200, "alice with two factors")
    must(page.url == url, f"asked for {url}, came back to {page.url}")


async def _no_device(stage: Stage) -> None:
    answer = await stage.alice.ask(stage.layout.url("headers") + "/confidential")
    reason(answer, 403, "device-required", "alice without a device")


async def _enrol(visitor: Visitor, device: Laptop, stage: Stage) -> str:
    login = stage.layout.url("login")
    made = await visitor.post(f"{login}/.ostiary/device/code", origin=login)
    status(made, 200, "the page with the code")
    code = re.search(r"--code ([A-Z0-9-]+)", made.text)
    must(code, f"there is no code on the page: {made.text[:2000]}")
    assert code is not None, "checked above"
    await device.enrol(code[1])
    return await device.report()


async def _compliant(stage: Stage) -> None:
    note = await _enrol(stage.alice, stage.compliant, stage)
    must(not note, f"the compliant laptop was told: {note}")
    url = stage.layout.url("headers") + "/confidential"
    page = await stage.alice.prove(url, stage.compliant)
    status(page, 200, "alice on the compliant laptop")
    must(page.url == url, f"asked for {url}, came back to {page.url}")


async def _neglected(stage: Stage) -> None:
    await _enrol(stage.bob, stage.neglected, stage)
    url = stage.layout.url("headers") + "/confidential"
    page = await stage.bob.prove(url, stage.neglected)
    status(page, 403, "bob on the neglected laptop")
    must("disk" in page.text.lower(), "the page does not name the attribute")
    answer = await stage.bob.ask(url)
    reason(answer, 403, "device-not-compliant", "the same, as a program")
    must(all("explanation" in one for one in answer.json["failed"]), f"it is not explained: {answer.text}")
    stage.neglected.attributes.update(COMPLIANT)
    await stage.neglected.report()
    status(await stage.bob.ask(url), 200, "bob after mending it, without another login")


async def _loses_compliance(stage: Stage) -> None:
    live = stage.layout.url("live")
    await stage.alice.open(live + "/guarded/")
    async with stage.alice.websocket(live + "/guarded/ws", live) as socket:
        await socket.receive_json()
        closed = asyncio.create_task(_until_closed(socket))
        stage.compliant.attributes["firewall"] = False
        await stage.compliant.report()
        done, _ = await asyncio.wait([closed], timeout=CUT_TIME)
        closed.cancel()
        must(done, "the WebSocket was still open a second later")
        must(socket.close_code == _POLICY_VIOLATION, f"it was closed with {socket.close_code}")
    stage.compliant.attributes["firewall"] = True
    await stage.compliant.report()


async def _until_closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    end = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)
    while (await socket.receive()).type not in end:
        pass


async def _ci_job(stage: Stage) -> None:
    api = stage.layout.url("api")
    token = await _job_token(stage, repository="acme/shop")
    answer = await stage.stranger.ask(api + "/upload", "POST", data=b"artefact", headers=_bearer(token))
    status(answer, 200, "the CI job uploads")
    reason(await stage.stranger.ask(api + "/orders", headers=_bearer(token)), 403, "no-rule-allows", "it reads orders")
    other = await _job_token(stage, repository="acme/other")
    reason(
        await stage.stranger.ask(api + "/upload", "POST", data=b"x", headers=_bearer(other)),
        403,
        "no-rule-allows",
        "a job of another repository",
    )
    branch = await _job_token(stage, repository="acme/shop", ref="refs/heads/mine")
    reason(
        await stage.stranger.ask(api + "/upload", "POST", data=b"x", headers=_bearer(branch)),
        401,
        "token-invalid",
        "a job of another branch",
    )


async def _job_token(stage: Stage, **claims: str) -> str:
    query = urlencode({"audience": stage.layout.url("api"), **claims})
    async with (
        aiohttp.ClientSession(connector=loopback.connector(stage.layout.trust)) as http,
        http.get(f"{stage.layout.ci}/token?{query}") as response,
    ):
        return (await response.text()).strip()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


STEPS: Sequence[tuple[str, Step]] = (
    ("erin of the partner company logs in through SAML and is in the groups her assertion names", _partner),
    ("ending erin's login at the partner's provider ends her session here", _partner_logout),
    ("a path that asks for a second factor gets it, there and only there", _step_up),
    ("without a known device there is no way to what asks for one", _no_device),
    ("alice enrols a laptop that is in order, shows it, and is let in", _compliant),
    ("bob's neglected laptop is refused and told what to mend; mended, it needs no new login", _neglected),
    ("a laptop that stops complying loses its open WebSocket within a second, with the reason", _loses_compliance),
    ("a CI job calls the API with the token its CI system gave it; another branch's token is refused", _ci_job),
)
