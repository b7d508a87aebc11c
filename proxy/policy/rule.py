"""What a rule looks like to this package, and the error for one that makes no sense.

Structural types: the configuration's Structs fit without being imported, and so does anything else of this shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class PolicyError(ValueError):
    """A rule cannot be compiled. `rule` and `condition` say where ("" when it is the rule as a whole)."""

    def __init__(self, message: str, *, rule: str = "", condition: str = "") -> None:
        where = f"rule {rule}, {condition}: " if rule and condition else f"rule {rule}: " if rule else ""
        super().__init__(where + message)
        self.message = message
        self.rule = rule
        self.condition = condition


class WindowSpec(Protocol):
    """A weekly window of wall-clock time; `start` and `end` as HH:MM, `days` as mon…sun, `zone` an IANA name."""

    @property
    def start(self) -> str: ...
    @property
    def end(self) -> str: ...
    @property
    def days(self) -> Sequence[str]: ...
    @property
    def zone(self) -> str: ...


class ConditionSpec(Protocol):
    """Conditions that must all hold; None is not asked. The meaning of each is in its file under `conditions/`."""

    @property
    def users(self) -> Sequence[str] | None: ...
    @property
    def domains(self) -> Sequence[str] | None: ...
    @property
    def groups(self) -> Sequence[str] | None: ...
    @property
    def claims(self) -> Mapping[str, Any] | None: ...
    @property
    def services(self) -> Sequence[str] | None: ...
    @property
    def providers(self) -> Sequence[str] | None: ...
    @property
    def authenticated(self) -> bool | None: ...
    @property
    def anyone(self) -> bool | None: ...
    @property
    def methods(self) -> Sequence[str] | None: ...
    @property
    def paths(self) -> Sequence[str] | None: ...
    @property
    def networks(self) -> Sequence[str] | None: ...
    @property
    def hours(self) -> Sequence[WindowSpec] | None: ...
    @property
    def auth_age(self) -> float | None: ...
    @property
    def mfa(self) -> bool | None: ...
    @property
    def amr(self) -> Sequence[str] | None: ...
    @property
    def acr(self) -> Sequence[str] | None: ...
    @property
    def device(self) -> Mapping[str, Any] | None: ...
    @property
    def not_(self) -> ConditionSpec | None: ...


class RuleSpec(ConditionSpec, Protocol):
    """A named set of conditions."""

    @property
    def name(self) -> str: ...


class BaselineSpec(RuleSpec, Protocol):
    """Conditions that are added to rules; `applies_to` is "everybody", "people" or "services"."""

    @property
    def applies_to(self) -> str: ...
