"""The body of a form as browsers send it, taken apart so that a browser can send the same again. Pure.

WHATWG HTML, form submission: `application/x-www-form-urlencoded`, `multipart/form-data` (RFC 7578), `text/plain`.
Anybody may send such a body, so nothing here takes a step in Python for each byte or each escape.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Callable
from typing import Final

import msgspec

MOST_FIELDS: Final = 2000
_MOST_HEAD: Final = 4096  # bytes of a part's head
_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"\r\n]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_DISPOSITION: Final = re.compile(
    rb'content-disposition: *form-data; *name="([^"\r\n]*)"(?:; *filename="([^"\r\n]*)")?', re.IGNORECASE
)
_TYPE: Final = re.compile(rb"content-type: *([!-~ ]{1,200})", re.IGNORECASE)
_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_WINDOWS_1252: Final = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256))
"""As browsers read it: the five bytes without a letter are control characters (WHATWG Encoding)."""
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


def glance(content_type: str, body: bytes) -> None:
    """Whether this looks like a form, as far as that is seen without taking it apart. Raises NotAForm."""
    kind = _kind(content_type)
    if kind == "application/x-www-form-urlencoded":
        too_many = body.count(b"&") >= MOST_FIELDS
    elif kind == "multipart/form-data":
        mark = _mark(content_type)
        if not body.startswith(mark) or not body.rstrip(b"\r\n").endswith(mark + b"--"):
            raise NotAForm("a multipart form that does not begin or end as one")
        too_many = body.count(b"\r\n" + mark) > MOST_FIELDS
    elif kind == "text/plain":
        too_many = len(_plain(body)) > MOST_FIELDS
    else:
        raise NotAForm(f"not a type of forms: {kind[:80]!r}")
    if too_many:
        raise NotAForm(f"more than {MOST_FIELDS} fields")


def read_body(content_type: str, body: bytes) -> Form:
    """The fields of a form's body, in order. `content_type` is the header's value. Raises NotAForm, which it does for
    all that `glance` does."""
    glance(content_type, body)
    kind = _kind(content_type)
    if kind == "application/x-www-form-urlencoded":
        return _readable(kind, _urlencoded(body))
    return _readable(kind, _multipart(content_type, body) if kind == "multipart/form-data" else _plain(body))


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


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
    return codecs.charmap_decode(value, "strict", _WINDOWS_1252)[0]


def _urlencoded(body: bytes) -> list[_Raw]:
    pairs = (part.partition(b"=") for part in body.split(b"&") if part)
    return [_Raw(_unescaped(name), _unescaped(value)) for name, _, value in pairs]


def _unescaped(text: bytes) -> bytes:
    """`%41` is A, `+` a space. `unquote_to_bytes` takes 16 ms for 256 KiB of escapes: quoted-printable (RFC 2045 §6.7)
    is the same with another sign, and is read in one piece."""
    text = text.replace(b"+", b" ")
    if b"%" not in text:
        return text
    if _NO_ESCAPE.search(text):
        raise NotAForm("a % that no browser sends: each would be escaped itself")
    return binascii.a2b_qp(text.replace(b"=", b"%3D").replace(b"%", b"="))


def _plain(body: bytes) -> list[_Raw]:
    """One field whose name ends at the first `=`: a browser makes the very same body of it, whatever it held."""
    name, equals, value = body.partition(b"=")
    if not equals or not value.endswith(b"\r\n"):
        raise NotAForm("not what a form of type text/plain sends")
    return [_Raw(name, value[:-2])]


def _multipart(content_type: str, body: bytes) -> list[_Raw]:
    first, *parts = (b"\r\n" + body).split(b"\r\n" + _mark(content_type))
    if first or not parts or parts.pop().rstrip(b"\r\n") != b"--":
        raise NotAForm("a multipart form that does not begin or end as one")
    return [_part(each) for each in parts]


def _mark(content_type: str) -> bytes:
    """What stands before each part."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise NotAForm("a multipart form without a boundary")
    try:
        return b"--" + (found[1] or found[2]).encode("ascii")
    except UnicodeEncodeError:
        raise NotAForm("a boundary of odd letters") from None


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
