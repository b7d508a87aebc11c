"""The one canonical form of a request target's path: what is decided on is what is forwarded.

`canonical` takes a target in origin-form (RFC 9112 section 3.2.1) and either returns its canonical form or refuses it.
Two servers that read one path differently are how rules are walked around, so whatever servers are known to disagree
about is refused, and the rest is written in exactly one way:

=========================================  ===========================================================================
in the path                                what happens
=========================================  ===========================================================================
ALPHA DIGIT ``- . _ ~``                    kept; their triplets (``%41``, ``%2e``, ``%7E``) are decoded
``! $ & ' ( ) * + , = : @``                kept as sent; their triplets stay triplets (RFC 3986 section 2.2), upper-case
``" < > [ ] ^ ` { | }``                    browsers send some of them raw: written as triplets
other triplets (``%20``, ``%3f``, UTF-8)   kept, hexadecimal digits in upper case
``//`` and longer                          one slash
``.`` and ``..`` segments, ``%2e%2e``      refused, also when Unicode compatibility folding would make one (``‥``)
``%2f``, ``\\``, ``%5c``                     refused: a separator for some servers and not for others
``;``, ``%3b``                             refused: some servers cut the segment there (``..;/``, ``/admin;x``)
``%25`` before two hexadecimal digits      refused: decoding twice must not change the path (``%252e``)
``%00``–``%1f``, ``%7f``, C1 controls      refused
triplets that are not UTF-8, overlong      refused
``%`` without two hexadecimal digits       refused
raw space, control, byte of 0x80 or more   refused, in the query too
``#``                                      refused, in the query too
=========================================  ===========================================================================

The query is passed on untouched; an empty one (a lone ``?``) is dropped. Pure; the cases are data in `tests/paths`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple


class PathRefused(ValueError):
    """The target has no canonical form. `why` is one plain sentence; it never repeats what the client sent."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Target(NamedTuple):
    """A request target in canonical form.

    INVARIANT: `raw_path` percent-decodes (once) to `path`, and `canonical(raw_path)` gives both again.
    """

    path: str  # decoded; what routing and policy see; starts with "/"; no ".", "..", "//", "\\", ";" or control
    raw_path: bytes  # percent-encoded ASCII; what is forwarded
    query: bytes  # as sent, without "?"; empty when there is none

    @property
    def forward(self) -> bytes:
        """The target in origin-form, as it is sent upstream."""
        return self.raw_path + b"?" + self.query if self.query else self.raw_path


class AbsoluteTarget(NamedTuple):
    """A target in absolute-form (RFC 9112 section 3.2.2), taken apart but not judged."""

    scheme: bytes  # lower case: http or https
    authority: bytes  # for `host.parse`, which refuses userinfo; must equal Host, which is the caller's to check
    origin: bytes  # the rest in origin-form, for `canonical`; "/" when the URI has no path


_KEPT = rb"A-Za-z0-9_~!$&'()*+,=:@\-"
_PLAIN = re.compile(
    rb"(/(?:\.?[%(c)s][%(c)s.]*+(?:/\.?[%(c)s][%(c)s.]*+)*+/?)?)(?:\?([!\"$-~]*+))?" % {b"c": _KEPT}
).fullmatch
_SPLIT = re.compile(rb"(/[!\"$->@-~]*+)(?:\?([!\"$-~]*+))?").fullmatch
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*+)(.*)", re.IGNORECASE | re.DOTALL).fullmatch

_BAD_TRIPLET = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_TO_ENCODE = re.compile(rb"""["<>\[\]^`{|}]""").sub
_TRIPLET = re.compile(rb"%([0-9A-Fa-f]{2})").sub
_TRIPLET_LEFT = re.compile(r"%[0-9A-Fa-f]{2}").search
_SLASHES = re.compile(rb"//++").sub
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]").search
_DOT_SEGMENTS = frozenset((".", ".."))


def canonical(target: bytes) -> Target:
    """Return the canonical form of a target in origin-form, or raise PathRefused.

    Absolute-form, authority-form and ``*`` are refused here; a caller that serves absolute-form takes it apart with
    `absolute` first. Linear in the length of the target; the caller bounds that.
    """
    plain = _PLAIN(target)
    if plain is not None:
        raw, query = plain.groups(b"")
        return Target(raw.decode("ascii"), raw, query)
    return _canonical_slowly(target)


def absolute(target: bytes) -> AbsoluteTarget | None:
    """Take a target in absolute-form apart, or return None when it is in another form."""
    found = _ABSOLUTE(target)
    if found is None:
        return None
    scheme, authority, rest = found.groups()
    return AbsoluteTarget(scheme.lower(), authority, rest if rest.startswith(b"/") else b"/" + rest)


def below(raw_path: bytes, prefix: str) -> bytes:
    """What is left of a canonical raw path when `prefix` is taken off, again beginning with a slash.

    The path's decoded form must lie under the decoded `prefix` (no slash at its end), which routing has seen to. Cuts
    by counting segments: one decoded prefix has several raw forms (`/a+b`, `/a%2Bb`), but all have as many slashes.
    """
    parts = raw_path.split(b"/", prefix.count("/") + 1)
    return b"/" + parts[-1] if len(parts) > prefix.count("/") + 1 else b"/"


def _canonical_slowly(target: bytes) -> Target:
    split = _SPLIT(target)
    if split is None:
        raise PathRefused(_why_unreadable(target))
    sent, query = split.groups(b"")
    if b"\\" in sent:
        raise PathRefused("The path contains a backslash.")
    if _BAD_TRIPLET(sent):
        raise PathRefused("The path contains a % that is not followed by two hexadecimal digits.")
    raw = _TRIPLET(_write_triplet, sent)
    raw = _SLASHES(b"/", _TO_ENCODE(_encode, raw))
    path = _decode(raw)
    _check(path, raw)
    return Target(path, raw, query)


def _why_unreadable(target: bytes) -> str:
    if not target:
        return "The request target is empty."
    if not target.startswith(b"/"):
        return "The request target does not begin with a slash."
    if b"#" in target:
        return "The request target contains a fragment (#), which clients must not send."
    return "The request target contains a space, a control character or a byte beyond ASCII."


def _write_triplet(match: re.Match[bytes]) -> bytes:
    value = int(match[1], 16)
    return bytes((value,)) if value in _UNRESERVED else b"%%%02X" % value


def _encode(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def _decode(raw: bytes) -> str:
    try:
        return _TRIPLET(lambda match: bytes((int(match[1], 16),)), raw).decode("utf-8")
    except UnicodeDecodeError:
        raise PathRefused("The path is not valid UTF-8 when percent-decoded.") from None


def _check(path: str, raw: bytes) -> None:
    """Refuse what servers are known to disagree about."""
    if _CONTROL(path):
        raise PathRefused("The path contains a control character.")
    if b"%2F" in raw:
        raise PathRefused("The path contains an encoded slash (%2F).")
    if "\\" in path:
        raise PathRefused("The path contains an encoded backslash (%5C).")
    if ";" in path:
        raise PathRefused("The path contains a semicolon.")
    if _TRIPLET_LEFT(path):
        raise PathRefused("The path is percent-encoded twice.")
    folded = path if path.isascii() else unicodedata.normalize("NFKC", path)
    if not _DOT_SEGMENTS.isdisjoint(folded.split("/")):
        raise PathRefused("The path contains a dot segment (. or ..).")
