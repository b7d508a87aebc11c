"""Management systems tell us of devices, signed: `devices/management/signature.py` says how."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from proxy.devices.management.signature import HEADER, WebhookRefused
from proxy.model.reasons import Reason
from proxy.sessions.store import StoreUnavailable
from proxy.web.pages import JSON_HEADERS
from proxy.web.visit import Refused, Visit, answer

_MOST_TOLD: Final = 10  # refusals that one answer lists


async def receive(visit: Visit) -> web.Response:
    """POST `/.ostiary/devices/{name}/webhook` on the login host.

    200 with how many devices were taken in and why others were not; 400 when nothing was; 503 when it could not be
    written, to be signed and sent again.
    """
    management = visit.context.management
    name = visit.request.match_info["name"]
    if management is None or not visit.on_login_host or not management.receives(name):
        raise Refused(Reason.NO_ROUTE)
    try:
        received = await management.receive(name, visit.request.headers.get(HEADER, ""), await visit.request.read())
    except WebhookRefused as why:
        visit.context.log.warning("webhook %s refused: %s", name, why)
        return _answer(400, {"error": "invalid_request", "error_description": str(why)})
    except StoreUnavailable as error:
        visit.context.log.warning("webhook %s: %s", name, error)
        return _answer(503, {"error": "temporarily_unavailable", "error_description": "sign it anew and send it again"})
    return _answer(200, {"taken": received.taken, "refused": received.refused[:_MOST_TOLD]})


def _answer(status: int, body: object) -> web.Response:
    return answer(status, JSON_HEADERS, msgspec.json.encode(body))
