"""`mfa`, `amr`, `acr`: how strongly the person proved who they are.

What the provider did not tell is unknown. Our own second factor counts for `mfa` and `amr`. Services never log in, so
all three are false for them. A person can mend them by a stronger login.
"""

from __future__ import annotations

from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.policy.asker import Asker, Kind
from proxy.policy.conditions.base import PersonCondition, either, texts
from proxy.policy.logic import TRUE, UNKNOWN, Value, negate, truth


class _Strength(PersonCondition):
    """True for a person who logged in again as strongly as can be."""

    def settled(self, asker: Asker) -> Value:
        """The value for this asker."""
        if asker.strong and asker.kind is Kind.PERSON:
            return self.at_best()
        return super().settled(asker)

    def at_best(self) -> Value:
        """The value after the strongest login."""
        return TRUE


class Mfa(_Strength):
    """Several factors, by the provider's word or by our own second factor; with `false`, only one."""

    name = "mfa"

    def __init__(self, wanted: object) -> None:
        if not isinstance(wanted, bool):
            raise ValueError("write true or false")  # noqa: TRY004 - a mistake in a file, not in a program
        self.wanted = wanted

    def at_best(self) -> Value:
        """The value after the strongest login."""
        return truth(self.wanted)

    def of_person(self, identity: Identity) -> Value:
        """The value for a person."""
        value = _several(identity)
        return value if self.wanted else negate(value)

    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person."""
        several = _several(identity)
        if several == UNKNOWN:
            return "It is not known whether you logged in with a second factor."
        return f"You logged in with{'' if several == TRUE else 'out'} a second factor."

    def remedy(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence on how to mend it."""
        return "Confirm with a second factor." if self.wanted and asker.kind is Kind.PERSON and value != TRUE else ""


def _several(identity: Identity) -> Value:
    if identity.second_factor or identity.mfa is True:
        return TRUE
    return truth(False) if identity.mfa is False else UNKNOWN


class Amr(_Strength):
    """Authenticated by one of these methods (RFC 8176)."""

    name = "amr"

    def __init__(self, methods: object) -> None:
        self.listed = texts(methods)

    def of_person(self, identity: Identity) -> Value:
        """The value for a person. What the provider did not tell could be any method."""
        if not {*identity.amr, *identity.second_factor}.isdisjoint(self.listed):
            return TRUE
        return truth(False) if identity.amr else UNKNOWN

    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person."""
        if value == UNKNOWN:
            return "It is not known by which method you logged in."
        how = "logged in" if value == TRUE else "did not log in"
        return f"You {how} by {either(self.listed)}."

    def remedy(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence on how to mend it."""
        return f"Log in again by {either(self.listed)}." if asker.kind is Kind.PERSON and value != TRUE else ""


class Acr(_Strength):
    """The provider says that the login met one of these authentication contexts (OpenID Connect `acr`, SAML
    AuthnContextClassRef)."""

    name = "acr"

    def __init__(self, contexts: object) -> None:
        self.listed = texts(contexts)

    def of_person(self, identity: Identity) -> Value:
        """The value for a person."""
        return truth(identity.acr in self.listed) if identity.acr else UNKNOWN

    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person."""
        if value == UNKNOWN:
            return "The identity provider did not say how strong your login was."
        if value == TRUE:
            return f"Your login was of strength {identity.acr}."
        return f"Your login was of strength {identity.acr}, not {either(self.listed)}."

    def remedy(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence on how to mend it."""
        asked = either(self.listed)
        return f"Log in again with strength {asked}." if asker.kind is Kind.PERSON and value != TRUE else ""
