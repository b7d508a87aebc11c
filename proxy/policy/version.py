"""Versions as numbers: compared one by one, never as texts, so that 10.9 comes before 10.10."""

from __future__ import annotations

import re
from functools import lru_cache

Version = tuple[int, ...]
_WRITTEN = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12}){0,15}").fullmatch
_LONGEST = 64


def version(text: object) -> Version | None:
    """The numbers of a version, without zeros at its end (14 is 14.0), or None for what is not one.

    Up to 16 numbers with points in between and nothing else: `22.04`, `10.0.22631.3007`. Of `6.1.0-18-amd64` nobody
    can say what it comes before, so it is none.
    """
    return _version(text) if type(text) is str and len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _version(text: str) -> Version | None:
    if _WRITTEN(text) is None:
        return None
    numbers = [int(number) for number in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
