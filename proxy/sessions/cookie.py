"""Our cookie on the wire: taken out of what clients send, kept out of what apps set. Pure.

An app must never see a cookie of ours, however it is spelled, and must never be able to set one. Splitting is done at
every `;` as RFC 6265 section 5.4 says, whatever quotes stand around it: parsers behind us that honour quotes can then
not be made to swallow our cookie into a value they echo.
"""

from __future__ import annotations

import re

NAME = b"__Host-ostiary"
_MARK = NAME.lower()
_BLANK = bytes(range(0x21)) + b"\x7f"
_BEFORE_NAME = _BLANK + b"=\"'"
# The form browsers send: one of ours between other cookies; what follows our name, and the value.
_PLAIN = re.compile(rb"(?:^|; )__Host-ostiary([A-Za-z0-9_-]*)=([A-Za-z0-9_.-]*)(?=$|; )")
_HANDLE = re.compile(rb"[A-Za-z0-9_-]{43}")
# Our name anywhere in a cookie and taken as a name by somebody: after a comma (RFC 2109), a blank, a nameless cookie.
_AS_NAME = re.compile(rb"__host-ostiary[^=]*=")


def take(value: bytes, *more: bytes) -> tuple[bytes | None, bytes]:
    """Split the Cookie header (all its lines) into our session handle and the rest that an app may see.

    The handle is None when there is none, when it does not look like one of ours, or when our exact name occurs twice:
    then somebody has planted one, and neither is believed. The rest holds no cookie whose name begins with
    `__Host-ostiary` in any case or spacing; it is the very object passed in when our name does not occur.
    """
    if more:
        value = b"; ".join((value, *more))
    lowered = value.lower()
    at = lowered.find(_MARK)
    if at < 0:
        return None, value
    rest, kept_from, ours = b"", 0, []
    while at >= 0:
        found = _PLAIN.match(value, at - 2 if at else 0)
        if found is None:
            return _take_slowly(value)
        rest += value[kept_from : found.start()]
        kept_from = found.end()
        if not found[1]:
            ours.append(found[2])
        at = lowered.find(_MARK, kept_from)
    rest += value[kept_from:]
    return _handle(ours), rest.removeprefix(b"; ")


def _handle(ours: list[bytes]) -> bytes | None:
    return ours[0] if len(ours) == 1 and _HANDLE.fullmatch(ours[0]) else None


def _take_slowly(value: bytes) -> tuple[bytes | None, bytes]:
    rest: list[bytes] = []
    ours: list[bytes] = []
    for part in value.split(b";"):
        name, equals, content = part.partition(b"=")
        if equals and name.strip(_BLANK) == NAME:
            ours.append(content.strip(_BLANK))
        elif not _is_ours(part):
            rest.append(part)
    return _handle(ours), b";".join(rest).strip(b" \t")


def _is_ours(part: bytes) -> bool:
    lowered = part.lower()
    return lowered.lstrip(_BEFORE_NAME).startswith(_MARK) or _AS_NAME.search(lowered) is not None


def set_cookie_strips(value: bytes) -> bool:
    """Does this Set-Cookie value, from an app, try to set a cookie whose name begins with `__Host-ostiary`?

    Names are compared without case and blanks. A nameless cookie (`=__Host-ostiary=x`, or no `=` at all) counts by its
    content, because browsers send that content back where a name is expected (RFC 6265bis, section 5.6).
    """
    return value.partition(b";")[0].lstrip(_BEFORE_NAME).lower().startswith(_MARK)
