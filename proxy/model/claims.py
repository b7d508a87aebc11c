"""Finding a claim by its dotted path, in one way for everybody who reads claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MISSING: Final = object()


def look_up(claims: Any, path: str) -> object:
    """The claim at `path`, or MISSING; null is a value.

    A name that holds dots itself (`https://example.com/role`, `kubernetes.io`) is found before a nested one.
    """
    if not isinstance(claims, Mapping):
        return MISSING
    if path in claims:
        return claims[path]
    dot = path.find(".")
    while dot >= 0:
        inner = look_up(claims.get(path[:dot]), path[dot + 1 :])
        if inner is not MISSING:
            return inner
        dot = path.find(".", dot + 1)
    return MISSING
