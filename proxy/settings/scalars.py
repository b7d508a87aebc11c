"""What an unquoted word means: YAML 1.2 core, minus everything another YAML reader could read differently. Pure."""

from __future__ import annotations

import re

_TELLING = frozenset("0123456789+-.~=<tTfFnNyYoO")  # first characters of everything that is not surely text
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+")
_WORDS: dict[str, bool] = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_YES_OR_NO = re.compile(r"y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF")
# What YAML 1.1 or YAML 1.2 reads as a number, date or special value, beyond the two forms above.
_AMBIGUOUS = re.compile(
    r"""[-+]?(?:
        0b[01_]+ | 0o[0-7_]+ | 0x[0-9a-fA-F_]+ | [0-9][0-9_]*           # other bases, leading zeros, separators
      | [0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?                      # base 60
      | (?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?    # other fractions, exponents
      | \.(?:inf|Inf|INF) )
      | \.(?:nan|NaN|NAN)
      | [0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt\ \t].*)?                  # dates
      | =
    """,
    re.VERBOSE,
)
_LONGEST_NUMBER = 18  # characters: beyond 64 bits nothing is meant


class Ambiguous(ValueError):
    """The text says why; `hint` says what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def plain_scalar(text: str) -> str | int | float | bool:
    """The value of an unquoted scalar. Raises Ambiguous for one that is read differently elsewhere, or is empty."""
    if text and text[0] not in _TELLING:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text in _NOTHING:
        raise Ambiguous("there is no value here", "write a value, or remove the key")
    if _YES_OR_NO.fullmatch(text):
        meant = "true" if text[0] in "yY" or text.lower() == "on" else "false"
        raise Ambiguous(f'"{text}" is text to some YAML readers and {meant} to others', f'write {meant}, or "{text}"')
    if len(text) > _LONGEST_NUMBER and not text[0].isalpha() and _INTEGER.fullmatch(text):
        raise Ambiguous("this number is too large", "put it in quotes if text is meant")
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        return float(text)
    if _AMBIGUOUS.fullmatch(text):
        raise Ambiguous(
            f'"{text}" is read differently by different YAML readers', f'put it in quotes if text is meant: "{text}"'
        )
    return text
