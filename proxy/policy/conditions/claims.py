"""`claims`: what the identity provider says about the person, by dotted path.

Equality is strict in type: true is not 1 and "1" is not 1 (numbers are one type, as in JSON). A claim that is a list
matches when any element equals. Missing, null, or of another type than every value asked for is unknown: a provider
that changes the type of a claim must not open anything, not even through `not`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.model.claims import look_up
from proxy.model.identity import Identity
from proxy.policy.conditions.base import PersonCondition, either
from proxy.policy.logic import TRUE, UNKNOWN, Value, any_of, truth


def claims(asked: Mapping[str, object]) -> list[Claim]:
    """One condition per claim asked for. Raises ValueError."""
    if not asked:
        raise ValueError("there is nothing inside: name at least one claim, or remove the key")
    return [Claim(path, wanted) for path, wanted in asked.items()]


class Claim(PersonCondition):
    """One claim is one of these values."""

    name = "claims"

    def __init__(self, path: str, wanted: object) -> None:
        values = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else (wanted,)
        if not path:
            raise ValueError("a claim has an empty name")
        if not values:
            raise ValueError(f"{path}: the list is empty, so nothing could ever match: name at least one value")
        for value in values:
            if _type_of(value) is None:
                raise ValueError(f"{path}: {value!r} cannot be compared: write a text, a number, true or false")
        self._path = path
        self._wanted = tuple(values)
        self._types = frozenset(_type_of(value) for value in values)

    def of_person(self, identity: Identity) -> Value:
        """The value for a person."""
        found = look_up(identity.claims, self._path)
        if isinstance(found, list | tuple):
            return any_of(self._compare(element) for element in found)
        return self._compare(found)

    def _compare(self, found: object) -> Value:
        kind = _type_of(found)
        if kind not in self._types:
            return UNKNOWN
        return truth(any(_type_of(wanted) is kind and wanted == found for wanted in self._wanted))

    def sentence(self, identity: Identity, value: Value) -> str:
        """A sentence for this person."""
        if value == UNKNOWN:
            return f"The identity provider did not say anything usable about “{self._path}”."
        no = "" if value == TRUE else "not "
        return f"“{self._path}” is {no}{either([str(wanted) for wanted in self._wanted])}."


def _type_of(value: object) -> type | None:
    """The JSON type of a scalar; None for what cannot be compared. `bool` first: it is an int to Python."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None
