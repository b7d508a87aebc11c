"""A form that somebody posted when they had to log in first: kept by their own browser, sealed, and sent once.

The gateway relays here what it would otherwise refuse, and only when it comes from a page of the same origin: whatever
another site posted must not be sent in somebody's name after they have logged in. The sealed form is bound to the host,
to the person, or to the browser when nobody was known, and to a quarter of an hour; we keep nothing but that it was
used. What the browser sends in the end is a request like any other, decided again.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from aiohttp import web
from markupsafe import Markup

from proxy.authn.factors import person_of
from proxy.model.reasons import Reason
from proxy.sessions.seal import SealBroken
from proxy.web import attempts
from proxy.web.endpoints import BIND_COOKIE, CHALLENGE_HEADER, PREFIX, RESUME, SESSION_HEADER, TARGET_HEADER
from proxy.web.form import is_same_origin
from proxy.web.form_body import TYPES, NotAForm, glance, read_body
from proxy.web.handover import well_formed_bind
from proxy.web.pages import JSON_HEADERS
from proxy.web.returns import local
from proxy.web.visit import Refused, Visit, answer, set_cookie

LIFETIME: Final = 900.0  # seconds
_LARGE: Final = 32 * 1024  # bytes of a form that takes a millisecond to take apart: not on the loop
_PURPOSE: Final = "interrupted-form"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_SOON: Final = 60  # seconds until a form is kept again, for whom too many were
_GONE: Final = "The form is no longer kept: it was sent already, or more than 15 minutes ago. Please fill it in again."


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. `person` is `person_of`, or "" when nobody was known; then `bind` is the browser's."""

    id: str
    host: str
    target: str
    type: str
    body: bytes
    person: str
    bind: str

    def __repr__(self) -> str:
        return f"_Kept(id={self.id!r}, host={self.host!r})"


async def keep(visit: Visit) -> web.Response:
    """POST `/.ostiary/interrupted`, relayed by the gateway with the target and the challenge as managed fields: a page
    whose script keeps the sealed form in this tab and goes on to the challenge. Anybody may ask for it, so the form is
    not taken apart here: `give_back` does that, for whoever has logged in."""
    headers = visit.request.headers
    target, challenge = local(headers.get(TARGET_HEADER, "")), headers.get(CHALLENGE_HEADER, "")
    kind = headers.get("Content-Type", "")
    if not challenge or TARGET_HEADER not in headers or target.startswith(PREFIX):
        raise Refused(Reason.NO_ROUTE)
    if not is_same_origin(visit):
        raise Refused(Reason.ORIGIN_REFUSED, "A form that another site sent is not kept.")
    if visit.request.content_type not in TYPES:
        raise Refused(Reason.BAD_REQUEST, "Only forms are kept.")
    if not _may_keep(visit):
        return _unkept(visit, challenge)
    body = await _read(visit, visit.snapshot.settings.configuration.login.interrupted_post)
    try:
        glance(kind, body)
    except NotAForm:
        raise Refused(Reason.BAD_REQUEST, "The form cannot be read.") from None
    session = await visit.session()
    bind, cookies = _bind(visit)
    kept = _Kept(
        id=secrets.token_urlsafe(16),
        host=visit.host,
        target=target,
        type=kind,
        body=body,
        person="" if session is None else person_of(session.identity),
        bind=bind,
    )
    sealed = visit.context.sealer.seal(_PURPOSE, msgspec.msgpack.encode(kept), now=visit.now)
    return visit.page(
        "interrupted",
        cookies,
        title="Please log in to send your form",
        id=kept.id,
        sealed=Markup(sealed),  # noqa: S704  base64url of our own making, which needs no escape: 350 KB of it take 1 ms
        next=_leading_to(challenge, visit.home(), f"{RESUME}?id={kept.id}"),
        challenge=challenge,
    )


def _may_keep(visit: Visit) -> bool:
    """Whether one more form is kept for this session and this address."""
    limits, session = visit.context.limits, visit.request.headers.get(SESSION_HEADER, "")
    if session and not limits.forms_of_one.allows(session, visit.now):
        return False
    return limits.forms.allows(visit.address or "", visit.now)


def _unkept(visit: Visit, challenge: str) -> web.Response:
    """The same page without the form: it says so, and the way to the challenge stays open."""
    response = visit.page(
        "interrupted", status=429, title="Please log in first", id="", sealed="", next=challenge, challenge=challenge
    )
    response.headers["Retry-After"] = str(_SOON)
    return response


async def resume(visit: Visit) -> web.Response:
    """GET `/.ostiary/resume`: where the login leads back to. The page's script has the form, if this tab kept one."""
    name = visit.asked("id")
    return visit.page("resume", title="Sending your form", id=name if _ID.fullmatch(name) else "")


async def give_back(visit: Visit) -> web.Response:
    """POST `/.ostiary/resume`, by that script with the sealed form as its body: the fields, once, as JSON."""
    if not is_same_origin(visit):
        raise Refused(Reason.ORIGIN_REFUSED, "A form is given back to our own page only.")
    most = visit.snapshot.settings.configuration.login.interrupted_post
    session = await visit.session()
    if session is None:  # asked first: for nobody there is nothing to open
        raise Refused(Reason.LOGIN_REQUIRED, "The form can be sent once you have logged in.")
    sealed = await _read(visit, 2 * most + 16 * 1024)
    try:
        opened = visit.context.sealer.unseal(_PURPOSE, sealed.decode("ascii"), now=visit.now, max_age=LIFETIME)
        kept = msgspec.msgpack.decode(opened, type=_Kept)
    except (SealBroken, UnicodeDecodeError, msgspec.MsgspecError):
        raise Refused(Reason.BAD_REQUEST, _GONE) from None
    _check_owner(visit, kept, person_of(session.identity))
    if not await visit.context.sessions.store.consume(f"interrupted:{kept.id}", visit.now + LIFETIME):
        raise Refused(Reason.BAD_REQUEST, _GONE)
    try:
        told = _told(kept) if len(kept.body) <= _LARGE else await asyncio.to_thread(_told, kept)
    except NotAForm:
        raise Refused(Reason.BAD_REQUEST, "The form cannot be read.") from None
    return answer(200, JSON_HEADERS, told)


def _told(kept: _Kept) -> bytes:
    """What the script makes the form of again. Raises NotAForm."""
    form = read_body(kept.type, kept.body)
    told = {"target": kept.target, "type": form.type, "charset": form.charset, "fields": form.fields}
    return msgspec.json.encode(told)


def _check_owner(visit: Visit, kept: _Kept, person: str) -> None:
    """Raises `Refused` unless it is asked for on the host it was posted to, by the person who posted it."""
    if kept.host != visit.host:
        raise Refused(Reason.BAD_REQUEST, "The form belongs to another host.")
    if kept.person:
        good = hmac.compare_digest(kept.person.encode(), person.encode())
    else:
        bind = visit.cookies.get(BIND_COOKIE, "")
        good = well_formed_bind(bind) and hmac.compare_digest(kept.bind.encode(), attempts.digest(bind).encode())
    if not good:
        raise Refused(Reason.LOGIN_REFUSED, "The form was filled in by somebody else, so it was not sent.")


def _bind(visit: Visit) -> tuple[str, tuple[str, ...]]:
    """The digest of this browser's bind cookie; a new cookie when it has none."""
    bind = visit.cookies.get(BIND_COOKIE, "")
    if well_formed_bind(bind):
        return attempts.digest(bind), ()
    bind = secrets.token_urlsafe(32)
    return attempts.digest(bind), (set_cookie(BIND_COOKIE, bind),)


def _leading_to(challenge: str, home: str, path: str) -> str:
    """The challenge's address with another place to return to."""
    parts = urlsplit(challenge)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query["return"] = home + path if parts.netloc else path
    return parts._replace(query=urlencode(query)).geturl()


async def _read(visit: Visit, most: int) -> bytes:
    """The body, of at most `most` bytes. Raises `Refused`."""
    body = bytearray()
    async for chunk in visit.request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise Refused(Reason.BODY_TOO_LARGE, "The form is too large to be kept. Log in, then send it again.")
    return bytes(body)
