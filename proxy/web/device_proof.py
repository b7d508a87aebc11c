"""A browser shows which device it is on: by the certificate it presents, or by what the agent there signs.

The page asks the agent on 127.0.0.1 for a signature over our challenge and posts it here. A session that is tied to a
device goes on only with that device; one that is tied to none may be tied to a device of the same person. So whoever
stole a cookie can prove nothing with a device of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from proxy.devices.errors import DeviceRefused
from proxy.devices.record import DeviceRecord
from proxy.model.device import Bound
from proxy.model.reasons import Reason
from proxy.model.report import AGENT_PORT, PROOF_PATH, PROVE_PATH
from proxy.sessions.seal import SealBroken
from proxy.sessions.session import SessionRecord
from proxy.web.device_reports import devices_of, read_json, refused
from proxy.web.endpoints import (
    CERTIFICATE_HEADER,
    DEVICE_COOKIE,
    DEVICE_HEADER,
    PROVING_COOKIE,
    login_path,
)
from proxy.web.form import is_same_origin
from proxy.web.pages import JSON_HEADERS
from proxy.web.returns import Place
from proxy.web.visit import Refused, Visit, answer, app_title, label, see_other, set_cookie

AGENT: Final = f"http://127.0.0.1:{AGENT_PORT}/prove"
_NEXT: Final = "prove-next:"
_NEXT_AGE: Final = 900.0  # seconds a person may look at the page
_COOKIE: Final = "device-of-browser"
_COOKIE_AGE: Final = 90 * 86400.0
_MOST_ROUNDS: Final = 8  # in a row, before a person is asked to look
_ROUND_AGE: Final = 90.0  # seconds


class _Answer(msgspec.Struct, frozen=True):
    jws: str
    next: str


def shown(visit: Visit) -> tuple[str, str]:
    """(hex SHA-256, device id) of the verified certificate on this connection, when it names a device; else "", ""."""
    headers = visit.request.headers
    device = unquote(headers.get(DEVICE_HEADER, ""))
    return (headers.get(CERTIFICATE_HEADER, ""), device) if device else ("", "")


def is_proven(visit: Visit, bound: Bound | None) -> bool:
    """Whether the session, tied like this, shows the device it is tied to, here and now."""
    devices = visit.context.devices
    if bound is None or devices is None:
        return bound is None
    sha256, device = shown(visit)
    return devices.standing_by(bound, sha256, device, visit.address, visit.now) is None


def detour(visit: Visit, session: SessionRecord, location: str) -> str:
    """The URL of the page, leading to `location`: one of our own making, with whatever is in it."""
    return f"{visit.origins.login}{PROVE_PATH}?next={_sealed(visit, session, location)}"


async def ask(visit: Visit) -> web.Response:
    """GET `/.ostiary/device/prove` on the login host, with `return` (where to) or `next` (the same, sealed)."""
    devices = devices_of(visit)
    back, rounds = visit.back(), _rounds(visit)
    session = await visit.session()
    if session is None:
        return see_other(back.origin + login_path(back.path))
    given = _opened(visit, session, visit.asked("next"))
    onward = given or _onward(visit, back, rounds)
    if rounds <= _MOST_ROUNDS:
        if _is_tied(session.device) and is_proven(visit, session.device):
            return see_other(given or _through_login(visit, back), (_round(rounds),))
        if await _tied_by_certificate(visit, session):
            return see_other(onward, (_round(rounds),))
    own = [each for each in await devices.of_person(session.identity) if each.key is not None and not each.revoked]
    free = visit.snapshot.settings.configuration.devices.bind_sessions != "required" and session.device is None
    return visit.page(
        "prove",
        (_round(rounds),),
        title="Show which device this is",
        app=app_title(visit, back),
        again=rounds > _MOST_ROUNDS,
        agent=AGENT,
        aud=visit.origins.login,
        challenge=devices.challenge(session.sid, visit.now),
        post=PROOF_PATH,
        next=_sealed(visit, session, onward),
        retry=visit.request.raw_path,
        skip=onward if free else "",
        own=[each.name for each in own],
        wanted=_name(session, own),
        enrolment=visit.snapshot.settings.configuration.devices.enrolment != "off",
        identity=label(session.identity),
    )


async def receive(visit: Visit) -> web.Response:
    """POST `/.ostiary/device/proof` on the login host, from our own page: `{"jws", "next"}` → `{"next"}`."""
    devices = devices_of(visit)
    if not is_same_origin(visit):
        raise Refused(Reason.ORIGIN_REFUSED, "This is for our own page only.")
    said = await read_json(visit, _Answer)
    session = await visit.session()
    if session is None:
        raise Refused(Reason.LOGIN_REQUIRED, retry=visit.origins.login + login_path("/"))
    try:
        device = await devices.prove(said.jws, challenge_for=session.sid, person=session.identity, now=visit.now)
        await _tie(visit, session, device, "agent")
    except DeviceRefused as error:
        raise refused(visit, error) from None
    onward = _opened(visit, session, said.next) or visit.origins.login + "/"
    sealed = visit.context.sealer.seal(_COOKIE, device.encode(), now=visit.now)
    body = msgspec.json.encode({"next": onward})
    return answer(200, JSON_HEADERS, body, (set_cookie(DEVICE_COOKIE, sealed, _COOKIE_AGE),))


def remembered(visit: Visit) -> str:
    """The id of the device this browser proved last; "" when it never did."""
    try:
        value = visit.cookies.get(DEVICE_COOKIE, "")
        return visit.context.sealer.unseal(_COOKIE, value, now=visit.now, max_age=_COOKIE_AGE).decode()
    except SealBroken:
        return ""


async def _tied_by_certificate(visit: Visit, session: SessionRecord) -> bool:
    _, device = shown(visit)
    bound = session.device
    if not device or (bound is not None and bound.device not in ("", device)):
        return False
    if (bound is None or not bound.device) and not devices_of(visit).belongs_to(device, session.identity):
        return False
    await _tie(visit, session, device, "certificate")
    return True


async def _tie(visit: Visit, session: SessionRecord, device: str, how: str) -> None:
    """Tie the session to the device it showed. Raises DeviceRefused when it is tied to another."""
    sha256, _ = shown(visit)

    def change(record: SessionRecord) -> SessionRecord:
        old = record.device or Bound()
        if old.device not in ("", device):
            raise DeviceRefused("this session belongs to another device; log in again to use it on this one")
        if how == "certificate":
            fresh = Bound(device=device, binding="certificate", certificate=sha256, claims=old.claims)
        elif old.binding == "certificate":
            raise DeviceRefused("this session goes on only with the client certificate it began with")
        else:
            fresh = Bound(
                device=device,
                binding="agent",
                proved_at=visit.now,
                address=visit.address or "",
                claims=old.claims,
            )
        return msgspec.structs.replace(record, device=fresh)

    if not await visit.context.sessions.amend(session.sid, change):
        raise Refused(Reason.SESSION_REVOKED, retry=visit.origins.login + login_path("/"))
    if session.device is None or session.device.device != device or session.device.address != (visit.address or ""):
        visit.context.record(
            "device-proved",
            reference=visit.reference,
            session=session.sid,
            identity=session.identity,
            address=visit.address,
            device=device,
        )


# --- where to go afterwards


def _onward(visit: Visit, back: Place, rounds: int) -> str:
    """Straight back the first time. Whoever comes again has another session there: it is handed this one."""
    return back.url if rounds <= 1 else _through_login(visit, back)


def _through_login(visit: Visit, back: Place) -> str:
    return back.url if back.host == visit.origins.login_host else back.origin + login_path(back.path)


def _sealed(visit: Visit, session: SessionRecord, location: str) -> str:
    return visit.context.sealer.seal(_NEXT + session.sid, location.encode(), now=visit.now)


def _opened(visit: Visit, session: SessionRecord, sealed: str) -> str:
    try:
        return visit.context.sealer.unseal(_NEXT + session.sid, sealed, now=visit.now, max_age=_NEXT_AGE).decode()
    except SealBroken:
        return ""


def _is_tied(bound: Bound | None) -> bool:
    """Whether somebody has shown the device, not only a provider said which it is."""
    return bound is not None and bool(bound.device) and bound.binding != "provider"


def _rounds(visit: Visit) -> int:
    value = visit.cookies.get(PROVING_COOKIE, "")
    return int(value) + 1 if value.isascii() and value.isdigit() and len(value) < 3 else 1


def _round(rounds: int) -> str:
    return set_cookie(PROVING_COOKIE, str(rounds if rounds <= _MOST_ROUNDS else 0), _ROUND_AGE)


def _name(session: SessionRecord, own: Sequence[DeviceRecord]) -> str:
    """What the device is called that the session is tied to, "" when it is tied to none."""
    bound = session.device
    return next((each.name for each in own if bound is not None and each.id == bound.device), "")
