"""The front door: exactly the apps this person may open, who we think they are, and the same for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

from proxy.model.reasons import Reason
from proxy.routing import parse_source
from proxy.settings.schema import Route
from proxy.web import devices
from proxy.web.endpoints import PORTAL, login_path
from proxy.web.pages import JSON_HEADERS, hue, initial
from proxy.web.refusals import Refusal, render
from proxy.web.second_factor import portal_section
from proxy.web.visit import Refused, Visit, answer, label, see_other

_SID_SHOWN: Final = 8  # characters: enough to find it in `sessions list`, too few to be mistaken for a secret
_GROUPS_SHOWN: Final = 12
_UNKNOWN: Final = "not known: the provider did not tell"


async def show(visit: Visit) -> web.Response:
    """GET `/` on the login host."""
    if not visit.on_login_host:
        raise Refused(Reason.NO_ROUTE)
    session = await visit.session()
    if session is None:
        if visit.want() == "json":
            raise Refused(Reason.LOGIN_REQUIRED, retry=visit.origins.login + login_path(PORTAL))
        return see_other(visit.origins.login + login_path(PORTAL))
    identity = session.identity
    provider = visit.snapshot.providers.get(session.provider)
    groups = sorted(identity.groups)
    more = len(groups) - _GROUPS_SHOWN
    return visit.page(
        "portal",
        title="Your apps",
        apps=_apps(visit.context.visible(identity, visit.address)),
        identity=identity.name or identity.email or identity.subject,
        initial=initial(label(identity)),
        account=identity.email or identity.subject,
        provider=(provider.title or provider.name) if provider else session.provider,
        groups=_UNKNOWN
        if "groups" in identity.unknown
        else ", ".join(groups[:_GROUPS_SHOWN]) + (f" and {more} more" if more > 0 else ""),
        expires=_moment(visit.ends(session)).strftime("%Y-%m-%d %H:%M UTC"),
        expires_iso=_iso(visit.ends(session)),
        sid=session.sid[:_SID_SHOWN],
        devices=await devices.listed(visit, session),
        second_factor=await portal_section(visit, session),
    )


def _apps(routes: Sequence[Route]) -> list[dict[str, object]]:
    apps: list[dict[str, object]] = []
    hues: list[int] = []
    for route in sorted(routes, key=lambda route: (route.title or route.name).casefold()):
        source = parse_source(route.source)
        title = route.title or route.name
        hues.append(hue(route.name, hues[-3:]))  # rows have three tiles at most
        apps.append(
            {
                "href": source.origin + (source.prefix or "") + "/",
                "title": title,
                "description": route.description or "",
                "address": source.host + source.prefix,
                "initial": initial(title),
                "hue": hues[-1],
            }
        )
    return apps


async def go_to_portal(visit: Visit) -> web.Response:
    """GET `/.ostiary/` on any host."""
    return see_other(visit.origins.login + PORTAL)


async def whoami(visit: Visit) -> web.Response:
    """GET `/.ostiary/whoami` on any host: who the proxy thinks is asking. Always JSON, never a secret.

    `groups` is null when the provider did not tell them, which is not the same as being in none. `device` says which
    one the session is tied to, and by what; null for none.
    """
    session = await visit.session()
    if session is None:
        refusal = Refusal(
            Reason.LOGIN_REQUIRED,
            reference=visit.reference,
            login_url=visit.home() + login_path(PORTAL),
            host=visit.host,
        )
        status, headers, body = render(refusal, want="json")
        return answer(status, headers, body)
    identity, bound = session.identity, session.device
    told = {
        "kind": identity.kind,
        "subject": identity.subject,
        "email": identity.email or None,
        "name": identity.name or None,
        "groups": None if "groups" in identity.unknown else sorted(identity.groups),
        "provider": session.provider,
        "authenticated_at": None if identity.auth_time is None else _iso(identity.auth_time),
        "acr": identity.acr or None,
        "amr": [*identity.amr, *identity.second_factor],
        "device": None if bound is None else {"id": bound.device or None, "binding": bound.binding},
        "session": {"id": session.sid[:_SID_SHOWN], "expires": _iso(visit.ends(session))},
    }
    return answer(200, JSON_HEADERS, msgspec.json.encode(told))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, 0.0), 253402300799.0), UTC)


def _iso(seconds: float) -> str:
    return _moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")
