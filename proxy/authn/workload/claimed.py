"""Whose token this says it is, before anything about it is believed. Pure.

Reading here is as lenient as any app's could be (odd base64, repeated names, issuer in other case): what could be taken
for a token of ours must be judged, and never reach an app. What is judged is then read strictly.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from typing import Any

_SPIFFE = "spiffe://"
UNREADABLE = "(unreadable)"


class Pairs(list[tuple[str, Any]]):
    """A JSON object with every member, repeated names included."""


class Claimed:
    """Who vouches for tokens here: issuers by their `iss`, trust domains by the `sub` of JWT-SVIDs."""

    def __init__(self, issuers: Iterable[str], trust_domains: Iterable[str]) -> None:
        self._exact = frozenset(issuers)
        self._issuers = {_loose(issuer): issuer for issuer in self._exact}
        self._domains = frozenset(trust_domains)

    def of(self, token: bytes) -> str:
        """The issuer, or `spiffe://` and the trust domain, that this token claims to be of; "" for anybody else's.
        `UNREADABLE` for a JWT whose claims cannot be read: no issuer makes such, and an app might read one into it.

        A SPIFFE ID of a trust domain of ours goes before the issuer: its own keys decide, whoever else signed.
        """
        members = _members(token)
        subjects = [value for name, value in members if name == "sub" and isinstance(value, str)]
        for subject in subjects:
            if subject[: len(_SPIFFE)].lower() == _SPIFFE:
                domain = subject[len(_SPIFFE) :].partition("/")[0].lower()
                if domain in self._domains:
                    return _SPIFFE + domain
        issuers = [value for name, value in members if name == "iss" and isinstance(value, str)]
        exact = (issuer for issuer in issuers if issuer in self._exact)
        return next(exact, "") or next(self._nearly(issuers), "") or (UNREADABLE if _is_unreadable(token) else "")

    def _nearly(self, issuers: Iterable[str]) -> Iterator[str]:
        return (self._issuers[_loose(issuer)] for issuer in issuers if _loose(issuer) in self._issuers)


def _loose(issuer: str) -> str:
    return issuer.strip().rstrip("/").casefold()


def _members(token: bytes) -> Pairs:
    """The claims of a JWT in compact form, or in either JSON serialisation (RFC 7515 §7.2); empty when it is none."""
    if token[:1] == b"{":
        found = next((value for name, value in _read(token) if name == "payload"), "")
        payload = found.encode() if isinstance(found, str) else b""
    else:
        parts = token.split(b".", 2)
        payload = parts[1] if len(parts) == 3 else b""
    return _read(_decoded(payload)) if payload else Pairs()


def _is_unreadable(token: bytes) -> bool:
    """Whether this has the header of a JWS and a payload that is no JSON object."""
    header, payload, *others = token.split(b".") if token.count(b".") == 2 else (b"", b"", b"")
    if not header or not payload or len(others) != 1:
        return False
    return any(name == "alg" for name, _ in _read(_decoded(header))) and _parsed(_decoded(payload)) is None


def _decoded(part: bytes) -> bytes:
    plain = part.replace(b"+", b"-").replace(b"/", b"_").rstrip(b"=")
    try:
        return base64.urlsafe_b64decode(plain + b"=" * (-len(plain) % 4))
    except (ValueError, binascii.Error):
        return b""


def _read(data: bytes) -> Pairs:
    return _parsed(data) or Pairs()


def _parsed(data: bytes) -> Pairs | None:
    try:
        value = json.loads(data, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Pairs) else None
