"""People's devices: which device a login is from, and the part of the portal where people add and remove theirs.

To add or remove one takes a login of the last ten minutes: a stolen cookie alone must not enrol a device of the thief.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

from proxy.devices.errors import DeviceRefused
from proxy.devices.record import DeviceRecord
from proxy.model.device import Bound, Observation
from proxy.model.reasons import Reason
from proxy.sessions.session import SessionRecord
from proxy.settings import schema
from proxy.web.device_proof import detour, is_proven, remembered, shown
from proxy.web.device_reports import devices_of
from proxy.web.endpoints import DEVICE_CODE, DEVICE_REMOVE, PORTAL, login_path
from proxy.web.form import read_form
from proxy.web.visit import Refused, Visit, see_other

FRESH: Final = 600.0  # seconds
_REVOKED_SHOWN: Final = 30 * 86400.0  # seconds
_SYSTEMS: Final = {"linux": "Linux", "macos": "macOS", "windows": "Windows", "ios": "iOS", "android": "Android"}


# --- at login


def bound_for(visit: Visit, claims: Mapping[str, Observation]) -> Bound | None:
    """What a session that is made now is tied to: the device of this connection's certificate, or what the provider's
    `claims` say of one. Where sessions must be tied and nothing shows the device, to one that is yet to be shown."""
    devices = visit.context.devices
    kept = dict(claims)
    if devices is None:
        return Bound(claims=kept) if kept else None
    how = _settings(visit).bind_sessions
    sha256, device = shown(visit)
    if device and how != "off":
        return Bound(device=device, binding="certificate", certificate=sha256, claims=kept)
    named = devices.of_claims(kept)
    if how == "required":
        return Bound(device=named, binding="agent", claims=kept)
    return Bound(device=named, claims=kept) if kept else None


def rebound(old: Bound | None, fresh: Bound | None) -> Bound | None:
    """What a session is tied to after its person has logged in again: to the same device, with what the provider says
    of it now."""
    if old is None or fresh is None:
        return old or fresh
    if old.binding == "provider" or not old.device:
        return fresh
    return msgspec.structs.replace(old, claims=fresh.claims or old.claims)


def after_login(visit: Visit, session: SessionRecord, location: str) -> str:
    """Where to go after a login that leads to `location`: there, or first to show the device.

    To be shown is a device that this browser showed before, or any where sessions must be tied to one.
    """
    devices = visit.context.devices
    how = _settings(visit).bind_sessions
    bound = session.device
    if devices is None or how == "off" or not visit.navigates():
        return location
    if bound is not None and bound.binding != "provider":
        return location if is_proven(visit, bound) else detour(visit, session, location)
    device = remembered(visit)
    mine = bool(device) and devices.belongs_to(device, session.identity)
    if mine and (bound is None or bound.device in ("", device)):
        return detour(visit, session, location)
    return location


# --- on the portal


async def listed(visit: Visit, session: SessionRecord) -> dict[str, object] | None:
    """What the portal shows of this person's devices; None where there is nothing to show."""
    devices = visit.context.devices
    if devices is None or _settings(visit).enrolment == "off":
        return None
    own = [
        each
        for each in await devices.of_person(session.identity)
        if not each.revoked or visit.now - each.revoked < _REVOKED_SHOWN
    ]
    here = "" if session.device is None else session.device.device
    return {
        "own": [_row(visit, each, here) for each in sorted(own, key=lambda each: (each.revoked > 0, -each.created))],
        "confirm": "" if is_fresh(visit, session) else login_path(PORTAL, FRESH),
        "add": DEVICE_CODE,
        "remove": DEVICE_REMOVE,
    }


def is_fresh(visit: Visit, session: SessionRecord) -> bool:
    """Whether this person logged in, or confirmed with a second factor, in the last ten minutes."""
    return visit.now - max(session.authenticated_at, session.identity.second_factor_at or 0.0) <= FRESH


def _row(visit: Visit, record: DeviceRecord, here: str) -> dict[str, object]:
    devices = devices_of(visit)
    state = "revoked" if record.revoked else "approved" if record.approved else "waiting"
    reported = [one.observed for one in record.statements if one.source == "agent"]
    last = max(reported, default=0.0)
    return {
        "id": record.id,
        "name": record.name,
        "system": _SYSTEMS.get(record.os, record.os),
        "state": state,
        "here": record.id == here,
        "attested": devices.is_attested(record),
        "last": _moment(last) if last else "",
        "last_iso": datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds") if last else "",
        "troubles": [] if record.revoked else devices.troubles(record, visit.now),
    }


async def add(visit: Visit) -> web.Response:
    """POST `/.ostiary/device/code` on the login host: the one-time command that enrols a device."""
    devices = devices_of(visit)
    await read_form(visit, PORTAL)
    session = await _entitled(visit)
    if not is_fresh(visit, session):
        return see_other(visit.origins.login + login_path(PORTAL, FRESH))
    try:
        code = await devices.new_code(session.identity, visit.now)
    except DeviceRefused as error:
        raise Refused(Reason.DEVICE_REFUSED, f"{str(error).capitalize()}.") from None
    return visit.page(
        "device-code",
        title="Add this device",
        command=f"ostiary device enrol {visit.origins.login}",
        code=code,
        service=(
            "ostiary device service > ~/.config/systemd/user/ostiary-device.service",
            "systemctl --user daemon-reload && systemctl --user enable --now ostiary-device",
        ),
        once="ostiary device report --watch",
        approval=_settings(visit).enrolment == "approval",
    )


async def remove(visit: Visit) -> web.Response:
    """POST `/.ostiary/device/remove` on the login host, with `device`: it counts no longer, and its sessions end."""
    devices = devices_of(visit)
    fields = await read_form(visit, PORTAL)
    session = await _entitled(visit)
    if not is_fresh(visit, session):
        return see_other(visit.origins.login + login_path(PORTAL, FRESH))
    own = {each.id for each in await devices.of_person(session.identity)}
    device = fields.get("device", "")
    if device not in own:
        raise Refused(Reason.BAD_REQUEST, "That is not one of your devices.")
    if await devices.revoke(device, visit.now):
        visit.context.record(
            "device-revoked",
            reference=visit.reference,
            session=session.sid,
            identity=session.identity,
            address=visit.address,
            device=device,
        )
    return see_other(visit.origins.login + PORTAL)


async def _entitled(visit: Visit) -> SessionRecord:
    session = await visit.session()
    if session is None:
        raise Refused(Reason.LOGIN_REQUIRED, retry=visit.origins.login + login_path(PORTAL))
    bound = session.device
    if bound is not None and bound.device and not is_proven(visit, bound):
        raise Refused(Reason.DEVICE_PROOF_REQUIRED)
    return session


def _settings(visit: Visit) -> schema.Devices:
    return visit.snapshot.settings.configuration.devices


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
