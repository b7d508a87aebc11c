"""The people of the demo: who they are and what the provider says about them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One person. `note` is for whoever tries the demo; it is no claim."""

    sub: str
    name: str
    email: str
    email_verified: bool
    groups: tuple[str, ...]
    note: str

    def claims(self, scope: Sequence[str]) -> dict[str, Any]:
        """What the provider tells a client that was granted `scope`."""
        told: dict[str, Any] = {}
        if "profile" in scope:
            told |= {"name": self.name, "preferred_username": self.sub}
        if "email" in scope:
            told |= {"email": self.email, "email_verified": self.email_verified}
        if "groups" in scope:
            told["groups"] = list(self.groups)
        return told


def people() -> dict[str, Person]:
    """Everybody, by `sub`, in the order of the file."""
    data = resources.files("proxy.demo.idp").joinpath("people.json").read_bytes()
    return {person.sub: person for person in msgspec.json.decode(data, type=list[Person])}
