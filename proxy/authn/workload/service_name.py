"""The name of a service, made from the claims of its token as the administrator wrote it: `ci/{repository}`. Pure.

A name must come from one set of values only, or a claim could be chosen so that it reads like another service's:

- with one placeholder, its value may have `/`, `:` and `@` in it: what stands around it is fixed, so two values never
  make the same name (`ci/{repository}` and "acme/app" make ci/acme/app, which no other repository makes);
- with several, values are letters, digits and `.`, `_`, `-` only, and between two placeholders stands a `/`, `:` or
  `@`, so that where one value ends is never in doubt.

A claim that is missing, not a text, or has any other character in it refuses the token. Between `/` and `:` no name
has an empty segment, or one that is `.` or `..`. What rules list is `ISSUER:NAME`, so that no issuer can make a name of
another issuer, a SPIFFE ID (whose scheme no issuer may be called) or a DNS name (which has no colon).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from proxy.authn.errors import TokenInvalid
from proxy.model.claims import look_up

LONGEST = 255  # characters of a name
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._/:@-]*").fullmatch
_ONE_OF_SEVERAL = re.compile(r"[A-Za-z0-9._-]+").fullmatch
_ONLY_ONE = re.compile(r"[A-Za-z0-9._/:@-]+").fullmatch
_SEPARATORS = frozenset("/:@")
_SEGMENTS = re.compile("[/:]")


class ServiceName:
    """A pattern such as `ci/{repository}`. Raises `ValueError` for one that could make ambiguous names."""

    def __init__(self, pattern: str) -> None:
        parts = _PLACEHOLDER.split(pattern)
        self._literals, self.claims = parts[::2], tuple(parts[1::2])
        if not pattern or not all(map(_LITERAL, self._literals)):
            raise ValueError(f'"{pattern}": a name has letters, digits, . _ - / : @ and claims in braces')
        if any(_SEPARATORS.isdisjoint(between) for between in self._literals[1:-1]):
            raise ValueError(f'"{pattern}": two claims need a /, : or @ between them, or names would be ambiguous')
        self._fits = _ONLY_ONE if len(self.claims) == 1 else _ONE_OF_SEVERAL
        _check(self._joined(["x"] * len(self.claims)), ValueError)

    def name_from(self, claims: Mapping[str, Any]) -> str:
        """The name these verified claims make. Raises `TokenInvalid` naming the claim that does not fit."""
        values = [self._value(path, look_up(claims, path)) for path in self.claims]
        name = self._joined(values)
        _check(name, TokenInvalid)
        return name

    def _value(self, path: str, value: object) -> str:
        if not isinstance(value, str):
            raise TokenInvalid(f"claim {path}, which makes the name of the service, is missing or not a text")
        if not self._fits(value):
            raise TokenInvalid(f"claim {path} has characters that the name of a service may not have")
        return value

    def _joined(self, values: list[str]) -> str:
        pairs = zip(self._literals, [*values, ""], strict=True)
        return "".join(part for pair in pairs for part in pair)


def _check(name: str, error: type[ValueError | TokenInvalid]) -> None:
    if len(name) > LONGEST:
        raise error(f"the name of the service is longer than {LONGEST} characters")
    if not {"", ".", ".."}.isdisjoint(_SEGMENTS.split(name)):
        raise error("the name of the service has a segment that is empty, . or ..")
