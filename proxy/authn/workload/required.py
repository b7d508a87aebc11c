"""Claims a token must have: claim → value, or list of values. Pure.

Strict in type: true is not "true". A claim that is a list holds when any element does. In a text, `*` stands for any
characters but `/`, `:`, blanks and controls, and at least one when it stands alone between `/` and `:`; patterns match
the whole value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from proxy.authn.errors import TokenInvalid
from proxy.model.claims import look_up

_MAX_STARS = 8
# No blanks, controls, or characters that show as nothing: what is read as one value must be one.
_ANY = r"[^/:\s\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
_Test = Callable[[object], bool]


class RequiredClaims:
    """What every token of an issuer must say. Raises `ValueError` for a requirement nothing could meet."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self.names = tuple(wanted)
        self._tests = {name: _tests(name, values) for name, values in wanted.items()}

    def check(self, claims: Mapping[str, Any]) -> None:
        """Raises `TokenInvalid` naming the first claim that is missing or different."""
        for name, tests in self._tests.items():
            found = look_up(claims, name)
            values = found if isinstance(found, list) else [found]
            if not any(test(value) for value in values for test in tests):
                raise TokenInvalid(f"claim {name} is not what is required")


def _tests(name: str, values: object) -> tuple[_Test, ...]:
    listed = values if isinstance(values, Sequence) and not isinstance(values, str) else (values,)
    if not name or not listed:
        raise ValueError(f"required claim {name or '(without a name)'}: name at least one value")
    return tuple(_test(name, value) for value in listed)


def _test(name: str, wanted: object) -> _Test:
    if isinstance(wanted, str):
        if "*" not in wanted:
            return lambda found: isinstance(found, str) and found == wanted
        match = pattern(name, wanted).fullmatch
        return lambda found: isinstance(found, str) and match(found) is not None
    if isinstance(wanted, bool):
        return lambda found: found is wanted
    if isinstance(wanted, int | float):
        return lambda found: not isinstance(found, bool) and isinstance(found, int | float) and found == wanted
    raise ValueError(f"required claim {name}: {wanted!r} cannot be compared: write a text, a number, true or false")


def pattern(name: str, wanted: str) -> re.Pattern[str]:
    """`wanted` as an anchored expression that takes time proportional to the value: each `*` takes the shortest way to
    what follows it and never comes back (where that fails, no longer way succeeds either)."""
    if "**" in wanted or wanted.count("*") > _MAX_STARS:
        raise ValueError(f"required claim {name}: {wanted!r} has ** or more than {_MAX_STARS} *")
    fixed = wanted.split("*")
    stars = [
        "+" if before[-1:] in ("", "/", ":") and after[:1] in ("", "/", ":") else "*"
        for before, after in pairwise(fixed)
    ]
    inner = [f"(?>{_ANY}{star}?{re.escape(text)})" for star, text in zip(stars[:-1], fixed[1:-1], strict=True)]
    return re.compile("".join([re.escape(fixed[0]), *inner, f"{_ANY}{stars[-1]}", re.escape(fixed[-1])]))
