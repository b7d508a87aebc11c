"""JSON from outside, read without ambiguity. Pure.

Two parsers that disagree on which of two equal names counts are how signed claims get smuggled (RFC 8259 §4), so a
repeated name is an error. So is what only some parsers can represent: NaN, Infinity, numbers beyond 64 bits, lone
surrogates, absurd nesting. Whatever this returns can be encoded as JSON again.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

_DEPTH = 32


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data` (UTF-8). Raises `ValueError` for anything else, with a text free of the data."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_not_json, parse_int=_integer)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("JSON is not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None
    if isinstance(value, dict):
        _check(value, _DEPTH)
        return value
    raise ValueError("not a JSON object")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("JSON object repeats a name")
    return result


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else 2**64
    if not -(2**63) <= value < 2**64:
        raise ValueError("JSON has a number beyond 64 bits")
    return value


def _not_json(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _check(value: object, levels: int) -> None:
    match value:
        case dict() | list() if levels == 0:
            raise ValueError("JSON is nested too deeply")
        case dict():
            for name, item in value.items():
                _check(name, levels)
                _check(item, levels - 1)
        case list():
            for item in value:
                _check(item, levels - 1)
        case str() if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("JSON has half of a surrogate pair")
        case float() if not math.isfinite(value):
            raise ValueError("JSON has a number beyond 64 bits")
        case _:
            pass
