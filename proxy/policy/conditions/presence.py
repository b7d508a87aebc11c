"""`authenticated` and `anyone`: whether there is somebody at all. Always known."""

from __future__ import annotations

from proxy.model.facts import Facts
from proxy.policy.asker import Asker, Kind
from proxy.policy.conditions.base import AskerCondition
from proxy.policy.logic import TRUE, Value, truth


class Authenticated(AskerCondition):
    """Any person or service; with `false`, nobody."""

    name = "authenticated"

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def settled(self, asker: Asker) -> Value:
        """The value for this asker."""
        return truth((asker.kind is not Kind.NOBODY) is self._wanted)

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        return "Nobody is logged in." if asker.kind is Kind.NOBODY else "Somebody is logged in."


class Anyone(AskerCondition):
    """Everybody, even nobody."""

    name = "anyone"

    def __init__(self, wanted: bool) -> None:
        if not wanted:
            raise ValueError("anyone: false says nothing: remove it")

    def settled(self, asker: Asker) -> Value:
        """True."""
        return TRUE

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        return "This is for everybody."
