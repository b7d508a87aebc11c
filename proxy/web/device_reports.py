"""Where devices talk to us: they enrol, ask for a nonce, report. JSON in, JSON out (`model/report.py`).

Nobody is logged in here: what counts is what the device signed. A device that is refused is told why, and so is the
record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from proxy.devices.errors import DeviceRefused
from proxy.devices.service import Devices
from proxy.model.reasons import Reason
from proxy.model.report import ACTIVATE_TYPE, ATTEST_TYPE, REPORT_TYPE, Nonce
from proxy.web.pages import JSON_HEADERS
from proxy.web.rate_limit import RateLimit
from proxy.web.visit import Refused, Visit, answer
from proxy.wire.strict_json import parse_object

LARGEST: Final = 64 * 1024  # bytes of a body


class _Signed(msgspec.Struct, frozen=True):
    jws: str


class _Asking(msgspec.Struct, frozen=True):
    device: str


_Body = TypeVar("_Body", bound=msgspec.Struct)
_Answer = TypeVar("_Answer", bound=msgspec.Struct)


def devices_of(visit: Visit) -> Devices:
    """The inventory. Raises `Refused` where there is none, and on other hosts than the login host."""
    if visit.context.devices is None or not visit.on_login_host:
        raise Refused(Reason.NO_ROUTE)
    return visit.context.devices


async def enrol(visit: Visit) -> web.Response:
    """POST `/.ostiary/device/enrol` on the login host."""
    devices = devices_of(visit)
    _slow_down(visit, visit.context.limits.enrolments)
    token = (await read_json(visit, _Signed)).jws
    try:
        enrolled = await devices.enrol(token, visit.now)
    except DeviceRefused as error:
        raise refused(visit, error) from None
    record = await devices.store.get(enrolled.device)
    visit.context.record(
        "device-enrolled",
        reference=visit.reference,
        address=visit.address,
        device=enrolled.device,
        owner="" if record is None else record.owner,
    )
    return _told(enrolled)


async def nonce(visit: Visit) -> web.Response:
    """POST `/.ostiary/device/nonce` on the login host."""
    devices = devices_of(visit)
    _slow_down(visit, visit.context.limits.questions)
    device = (await read_json(visit, _Asking)).device[:64]
    _slow_down(visit, visit.context.limits.of_one, device)
    try:
        return _told(Nonce(nonce=await devices.nonce(device, visit.now)))
    except DeviceRefused as error:
        raise refused(visit, error, device) from None


async def report(visit: Visit) -> web.Response:
    """POST `/.ostiary/device/report` on the login host."""
    told, _ = await _of_a_device(visit, REPORT_TYPE, devices_of(visit).report)
    return _told(told)


async def attest(visit: Visit) -> web.Response:
    """POST `/.ostiary/device/attest` on the login host."""
    told, _ = await _of_a_device(visit, ATTEST_TYPE, devices_of(visit).attest)
    return _told(told)


async def activate(visit: Visit) -> web.Response:
    """POST `/.ostiary/device/activate` on the login host."""
    attested, device = await _of_a_device(visit, ACTIVATE_TYPE, devices_of(visit).activate)
    visit.context.record(
        "device-attested", reference=visit.reference, address=visit.address, device=device, issuer=attested.issuer
    )
    return _told(attested)


async def _of_a_device(visit: Visit, typ: str, take: Callable[[str, float], Awaitable[_Answer]]) -> tuple[_Answer, str]:
    """What `take` says to a statement of this `typ`, and the id of the device."""
    _slow_down(visit, visit.context.limits.questions)
    token = (await read_json(visit, _Signed)).jws
    device = devices_of(visit).reporter(token, typ)
    _slow_down(visit, visit.context.limits.of_one, device)
    try:
        return await take(token, visit.now), device
    except DeviceRefused as error:
        raise refused(visit, error, device) from None


def refused(visit: Visit, error: DeviceRefused, device: str = "") -> Refused:
    """The refusal for the device, which is on record too."""
    text = str(error)
    if visit.context.limits.recorded.allows(visit.address or "", visit.now):
        visit.context.record(
            "device-refused", reference=visit.reference, address=visit.address, device=device[:64], why=text[:200]
        )
    return Refused(Reason.DEVICE_REFUSED, f"{text[:1].upper()}{text[1:]}."[:400])


def _slow_down(visit: Visit, limit: RateLimit, device: str = "") -> None:
    if not limit.allows(f"{visit.address} {device}", visit.now):
        raise Refused(Reason.TOO_MANY_ATTEMPTS, "Wait a minute, then try again.")


async def read_json(visit: Visit, shape: type[_Body]) -> _Body:
    """A JSON body of bounded size. Raises `Refused`."""
    if visit.request.content_type != "application/json":
        raise Refused(Reason.BAD_REQUEST, "This address takes JSON (Content-Type: application/json).")
    body = await visit.request.content.read(LARGEST + 1)
    while len(body) <= LARGEST and (more := await visit.request.content.read(LARGEST + 1)):
        body += more
    if len(body) > LARGEST:
        raise Refused(Reason.BODY_TOO_LARGE)
    try:
        return msgspec.convert(parse_object(body), shape)
    except (msgspec.MsgspecError, ValueError):
        names = ", ".join(f"“{name}”" for name in shape.__struct_fields__)
        raise Refused(Reason.BAD_REQUEST, f"The body must be a JSON object with {names}, each once.") from None


def _told(what: msgspec.Struct) -> web.Response:
    return answer(200, JSON_HEADERS, msgspec.json.encode(what))
