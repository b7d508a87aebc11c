"""The body of a form as browsers send it, taken apart so that a browser can send the same again. Pure.

WHATWG HTML, form submission: `application/x-www-form-urlencoded`, `multipart/form-data` (RFC 7578), `text/plain`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

MOST_FIELDS: Final = 2000
_MOST_HEAD: Final = 4096  # bytes of a part's head
_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"\r\n]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_DISPOSITION: Final = re.compile(
    rb'content-disposition: *form-data; *name="([^"\r\n]*)"(?:; *filename="([^"\r\n]*)")?', re.IGNORECASE
)
_TYPE: Final = re.compile(rb"content-type: *([!-~ ]{1,200})", re.IGNORECASE)
_ESCAPED: Final = {b"%22": b'"', b"%0D": b"\r", b"%0A": b"\n"}
TYPES: Final = frozenset(("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"))


class NotAForm(ValueError):
    """No browser's form looks like this."""


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field as the page's script gives it back to the browser. Of a file, `data` is its content in base64."""

    name: str
    value: str = ""
    filename: str | None = None
    type: str = ""
    data: str = ""


class Form(msgspec.Struct, frozen=True):
    """A whole form. `charset` is the one whose bytes these were."""

    type: str
    charset: str
    fields: list[Field]


class _Raw(msgspec.Struct, frozen=True):
    name: bytes
    value: bytes
    filename: bytes | None = None
    type: str = ""


def read_body(content_type: str, body: bytes) -> Form:
    """The fields of a form's body, in order. `content_type` is the header's value. Raises NotAForm."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        raw = _urlencoded(body)
    elif kind == "multipart/form-data":
        raw = _multipart(content_type, body)
    elif kind == "text/plain":
        raw = _plain(body)
    else:
        raise NotAForm(f"not a type of forms: {kind[:80]!r}")
    if len(raw) > MOST_FIELDS:
        raise NotAForm(f"more than {MOST_FIELDS} fields")
    return _readable(kind, raw)


def _readable(kind: str, raw: list[_Raw]) -> Form:
    """As text: UTF-8, or for old pages the charset that has a letter for every byte."""
    try:
        return Form(kind, "utf-8", [_field(each, lambda value: value.decode()) for each in raw])
    except UnicodeDecodeError:
        return Form(kind, "windows-1252", [_field(each, _windows_1252) for each in raw])


def _field(raw: _Raw, text: Callable[[bytes], str]) -> Field:
    name = text(raw.name)
    if raw.filename is None:
        return Field(name, value=text(raw.value))
    return Field(name, filename=text(raw.filename), type=raw.type, data=base64.b64encode(raw.value).decode())


def _windows_1252(value: bytes) -> str:
    """As browsers read it: the five bytes without a letter are control characters (WHATWG Encoding)."""
    letters = (bytes([byte]) for byte in value)
    return "".join(letter.decode("cp1252", "ignore") or chr(letter[0]) for letter in letters)


def _urlencoded(body: bytes) -> list[_Raw]:
    pairs = (part.partition(b"=") for part in body.split(b"&") if part)
    return [_Raw(_unescaped(name), _unescaped(value)) for name, _, value in pairs]


def _unescaped(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _plain(body: bytes) -> list[_Raw]:
    """One field whose name ends at the first `=`: a browser makes the very same body of it, whatever it held."""
    name, equals, value = body.partition(b"=")
    if not equals or not value.endswith(b"\r\n"):
        raise NotAForm("not what a form of type text/plain sends")
    return [_Raw(name, value[:-2])]


def _multipart(content_type: str, body: bytes) -> list[_Raw]:
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise NotAForm("a multipart form without a boundary")
    try:
        mark = b"--" + (found[1] or found[2]).encode("ascii")
    except UnicodeEncodeError:
        raise NotAForm("a boundary of odd letters") from None
    first, *parts = (b"\r\n" + body).split(b"\r\n" + mark)
    if first or not parts or parts.pop().rstrip(b"\r\n") != b"--":
        raise NotAForm("a multipart form that does not begin or end as one")
    return [_part(each) for each in parts]


def _part(part: bytes) -> _Raw:
    head, blank, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not part.startswith(b"\r\n") or not blank or len(head) > _MOST_HEAD:
        raise NotAForm("a part without a head")
    lines = head.split(b"\r\n")
    disposition = _DISPOSITION.fullmatch(lines[0])
    if disposition is None or len(lines) > 2:
        raise NotAForm("a part that no browser sends")
    kind = _TYPE.fullmatch(lines[1]) if len(lines) == 2 else None
    if len(lines) == 2 and kind is None:
        raise NotAForm("a part that no browser sends")
    name, filename = disposition[1], disposition[2]
    return _Raw(
        _name(name),
        content,
        None if filename is None else _name(filename),
        kind[1].decode("ascii").strip() if kind else "",
    )


def _name(text: bytes) -> bytes:
    for escaped, plain in _ESCAPED.items():
        text = text.replace(escaped, plain)
    return text
