"""Path globs, and their translation into regular expressions that cannot blow up.

`*` stands for any characters within one segment (a segment that is only `*` must not be empty); `**` is a segment of
its own and stands for any number of segments, none included: `/a/**` covers `/a`, `/a/` and all below. Nothing else is
special. Every pattern begins with a slash, covers the whole path and tells upper from lower case.

Matching is linear in the path. Each `*` stops at the first place where what follows it fits, each `**` at the first
segment from which its followers fit, and neither is ever reconsidered (atomic groups): for wildcards followed by
another wildcard the first fit is as good as any, because the later one absorbs the difference.
"""

from __future__ import annotations

import re
from itertools import groupby

_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}").search
_NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\\;]").search
_ANY_SEGMENTS = r"(?:/[^/]*+)*"
_BOUNDARY = r"(?=/|\Z)"


def check(pattern: str) -> None:
    """Raise ValueError for a pattern that could never match a canonical path, or does not mean what it seems to."""
    segments = pattern.split("/")[1:]
    if not pattern.startswith("/"):
        raise ValueError(f"{pattern!r} does not begin with a slash: paths do, so write /{pattern}")
    if any("**" in segment and segment != "**" for segment in segments):
        raise ValueError(f"{pattern!r}: ** stands for whole segments, so write it between slashes, as in /a/**")
    if not {".", ".."}.isdisjoint(segments) or "" in segments[:-1]:
        raise ValueError(f"{pattern!r} has an empty, '.' or '..' segment, which no path has: remove it")
    if _ENCODED(pattern):
        raise ValueError(f"{pattern!r} is percent-encoded: rules see decoded paths, so write the character itself")
    if _NEVER(pattern):
        raise ValueError(
            f"{pattern!r} contains a character that no path has: a semicolon, backslash or control character"
        )


def literal_prefix(pattern: str) -> str:
    """The leading segments without wildcards, as a path: whatever the pattern matches is that path or below it."""
    literal: list[str] = []
    for segment in pattern.split("/")[1:]:
        if "*" in segment:
            break
        literal.append(f"/{segment}")
    return "".join(literal)


def translate(pattern: str) -> str:
    """Return a regular expression for `re.fullmatch`."""
    segments = pattern.split("/")[1:]
    parts = [(is_any, list(run)) for is_any, run in groupby(segments, lambda segment: segment == "**")]
    written: list[str] = []
    for number, (is_any, run) in enumerate(parts):
        if is_any:
            continue
        chunk = "".join("/" + _segment(segment) for segment in run) + _BOUNDARY
        first, last = number == 0, number == len(parts) - 1
        written.append(chunk if first else f"{_ANY_SEGMENTS}?{chunk}" if last else f"(?>{_ANY_SEGMENTS}?{chunk})")
    if parts[-1][0]:
        written.append(f"{_ANY_SEGMENTS}+")
    return "".join(written)


def _segment(segment: str) -> str:
    first, *rest = segment.split("*")
    if not rest:
        return re.escape(segment)
    if segment == "*":
        return "[^/]++"
    *middle, last = rest
    written = [re.escape(first), *(f"(?>[^/]*?{re.escape(part)})" for part in middle)]
    written.append(f"[^/]*?{re.escape(last)}{_BOUNDARY}" if last else "[^/]*+")
    return f"(?>{''.join(written)})"
