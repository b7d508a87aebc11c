"""`users`, `domains`, `groups`, `providers`: which person.

An e-mail address counts only when it is one: exactly one `@`, ASCII, a domain without a trailing dot. Anything else
(`a@evil@good.com`, look-alikes, a list where a text belongs) is unknown, not merely different.
"""

from __future__ import annotations

import re
from typing import Any

from proxy.model.identity import Identity
from proxy.policy.conditions.base import PersonCondition, either, texts
from proxy.policy.logic import FALSE, TRUE, UNKNOWN, Value, truth

_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+").fullmatch
_ADDRESS = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]++@({_LABEL}(?:\.{_LABEL})*+)").fullmatch
_PROVIDER_AND_SUBJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}:.+", re.DOTALL).fullmatch


def _lower(text: str) -> str:
    """Lower case of ASCII only: `str.lower` would fold the Kelvin sign into a k."""
    return text.lower() if text.isascii() else text


class Users(PersonCondition):
    """The verified e-mail address is one of these (in any case), or the exact `provider:subject` is."""

    name = "users"

    def __init__(self, users: object) -> None:
        entries = texts(users)
        self._subjects = frozenset(entry for entry in entries if _PROVIDER_AND_SUBJECT(entry))
        self._addresses = frozenset(_lower(entry) for entry in entries if entry not in self._subjects)
        for address in self._addresses:
            if _ADDRESS(address) is None:
                raise ValueError(f"{address!r} is neither an e-mail address nor written as provider:subject")

    def of_person(self, identity: Identity) -> Value:
        """The value for a person."""
        if self._subjects and f"{identity.provider}:{identity.subject}" in self._subjects:
            return TRUE
        if not self._addresses:
            return FALSE
        address = _address(identity.email)
        return UNKNOWN if address is None else truth(address in self._addresses)

    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person; it does not tell who else is on the list."""
        if value == UNKNOWN:
            return "Your verified e-mail address is not known."
        who = identity.email or identity.subject
        return f"You ({who}) are one of the people named." if value == TRUE else f"You ({who}) are not one of them."


class Domains(PersonCondition):
    """What follows the @ of the verified e-mail address is exactly one of these."""

    name = "domains"

    def __init__(self, domains: object) -> None:
        self._domains = tuple(_lower(domain) for domain in texts(domains))
        for domain in self._domains:
            if _DOMAIN(domain) is None:
                raise ValueError(f"{domain!r} is not a domain: write it like example.com")

    def of_person(self, identity: Identity) -> Value:
        """The value for a person."""
        address = _address(identity.email)
        return UNKNOWN if address is None else truth(address.rpartition("@")[2] in self._domains)

    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person."""
        if value == UNKNOWN:
            return "Your verified e-mail address is not known."
        no = "" if value == TRUE else "not "
        return f"Your address {identity.email} is {no}at {either(self._domains)}."


class Groups(PersonCondition):
    """A member of at least one of these, spelled exactly so."""

    name = "groups"

    def __init__(self, groups: object) -> None:
        self._listed = texts(groups)
        self._groups = frozenset(self._listed)

    def of_person(self, identity: Identity) -> Value:
        """The value for a person. Groups that the provider did not tell are unknown."""
        groups: Any = identity.groups
        if "groups" in identity.unknown or not isinstance(groups, frozenset):
            return UNKNOWN
        return truth(not self._groups.isdisjoint(groups))

    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person."""
        if value == UNKNOWN:
            return "Your groups are not known: the identity provider did not tell them."
        no = "" if value == TRUE else "not "
        return f"You are {no}in the group {either(self._listed)}."


class Providers(PersonCondition):
    """Logged in at one of these providers."""

    name = "providers"

    def __init__(self, providers: object) -> None:
        self._providers = texts(providers)

    def of_person(self, identity: Identity) -> Value:
        """The value for a person."""
        return truth(identity.provider in self._providers) if identity.provider else UNKNOWN

    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person."""
        if value == UNKNOWN:
            return "It is not known where you logged in."
        if value == TRUE:
            return f"You logged in at {identity.provider}."
        return f"You logged in at {identity.provider}, not at {either(self._providers)}."


def _address(email: object) -> str | None:
    """The address in lower case, or None when it is missing or not one address."""
    if not isinstance(email, str):
        return None
    address = _lower(email)
    return address if _ADDRESS(address) else None
