"""Finding a bearer token in an Authorization header (RFC 6750 §2.1). Tokens in queries and forms are never read."""

from __future__ import annotations

import re
from collections.abc import Callable

_SCHEME = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr][ \t]+(.+)").fullmatch
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*").fullmatch  # b64token
_BETWEEN = re.compile(rb"[^A-Za-z0-9._~+/=-]+").split


class CredentialRefused(ValueError):
    """An Authorization header that holds one of our tokens and something else: another reader may see another."""

    def __init__(self) -> None:
        super().__init__("The Authorization header holds more than one bearer token.")
        self.why = str(self.args[0])


def token_in(value: bytes, recognises: Callable[[bytes], bool]) -> bytes | None:
    """The token in this header's value that is meant for us; None when there is none, and then it is the app's.

    Raises CredentialRefused when one is there in a form that is not exactly `Bearer TOKEN`.
    """
    found = _SCHEME(value)
    if found is None:
        return None
    rest: bytes = found[1]
    if _TOKEN(rest) is not None:
        return rest if recognises(rest) else None
    if any(part and recognises(part) for part in _BETWEEN(rest)):
        raise CredentialRefused
    return None
