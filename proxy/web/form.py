"""Forms that are posted to our own pages: bounded, and read one way only."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from proxy.model.reasons import Reason
from proxy.web.visit import Refused, Visit

_MAX_FIELDS: Final = 32
_MAX_OWN: Final = 64 * 1024  # bytes of a form of our own pages


def is_same_origin(visit: Visit) -> bool:
    """By Fetch Metadata, or by Origin for browsers without it; a request that says neither is no browser's form."""
    headers = visit.request.headers
    site = headers.get("Sec-Fetch-Site")
    return site == "same-origin" if site is not None else headers.get("Origin") == visit.home()


async def read_form(visit: Visit, where: str, limit: int = _MAX_OWN) -> dict[str, str]:
    """The fields of a form of our own. `where` is our page that posts it, for people. Raises `Refused`, also when it
    comes from anywhere else."""
    if not is_same_origin(visit):
        raise Refused(Reason.ORIGIN_REFUSED, f"This needs a click on our own page. Open {where} on this host.")
    return await read_foreign_form(visit, limit)


async def read_foreign_form(visit: Visit, limit: int) -> dict[str, str]:
    """The fields of an `application/x-www-form-urlencoded` body of at most `limit` bytes, from whatever site.

    Raises `Refused` when it is of another type, larger, or holds a field twice. Not `request.post()`: that decodes with
    whatever charset the sender names, and its limit is one for all pages.
    """
    if visit.request.content_type != "application/x-www-form-urlencoded":
        raise Refused(Reason.BAD_REQUEST, "This address takes a form.")
    try:
        text = (await _body(visit, limit)).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Refused(Reason.BAD_REQUEST, "The form cannot be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refused(Reason.BAD_REQUEST, "The form holds a field twice.")
    return fields


async def _body(visit: Visit, limit: int) -> bytes:
    length = visit.request.content_length
    if length is not None and length > limit:
        raise Refused(Reason.BODY_TOO_LARGE)
    parts, size = [], 0
    async for part in visit.request.content.iter_any():
        size += len(part)
        if size > limit:
            raise Refused(Reason.BODY_TOO_LARGE)
        parts.append(part)
    return b"".join(parts)
