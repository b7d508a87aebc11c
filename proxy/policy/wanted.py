"""What can be read off compiled conditions: what they ask of a login, of a device, and of the clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from proxy.policy.conditions.auth_age import AuthAge
from proxy.policy.conditions.base import Condition
from proxy.policy.conditions.baseline import OfBaseline
from proxy.policy.conditions.device import DeviceCondition
from proxy.policy.conditions.hours import Hours
from proxy.policy.conditions.negation import Not
from proxy.policy.conditions.strength import Acr, Amr, Mfa

_ONE_FACTOR: Final = frozenset(("pwd", "pin", "kba", "sms", "tel"))  # methods (RFC 8176) that a second factor is not


class Wanted(NamedTuple):
    """What to ask of a login: that it is at most `max_age` seconds old, took several factors, and is of one of the
    strengths `acr`."""

    max_age: float | None = None
    mfa: bool = False
    acr: tuple[str, ...] = ()


NOTHING: Final = Wanted()


def wanted(conditions: Sequence[Condition], *, hold: bool) -> Wanted:
    """What to ask of a login so that these conditions hold, or do not."""
    max_age: float | None = None
    mfa = False
    acr: tuple[str, ...] = ()
    for leaf, hold_leaf in _flat(conditions, hold):
        if isinstance(leaf, Mfa):
            mfa = mfa or leaf.wanted is hold_leaf
        elif not hold_leaf:
            continue  # no login can be asked to be old, or weak
        elif isinstance(leaf, AuthAge):
            max_age = leaf.seconds if max_age is None else min(max_age, leaf.seconds)
        elif isinstance(leaf, Amr):
            mfa = mfa or _ONE_FACTOR.isdisjoint(leaf.listed)
        elif isinstance(leaf, Acr):
            acr = tuple(one for one in leaf.listed if one in acr) or acr or leaf.listed
    return Wanted(max_age, mfa, acr)


def is_timed(leaves: Sequence[Condition]) -> bool:
    """Whether time alone can change what these come to."""
    return any(isinstance(_inner(leaf), Hours | AuthAge | DeviceCondition) for leaf in leaves)


def device_attributes(leaves: Sequence[Condition]) -> frozenset[str]:
    """The attributes of a device that play a part."""
    found = (inner for leaf in leaves if isinstance(inner := _inner(leaf), DeviceCondition))
    return frozenset(name for condition in found for name in condition.attributes)


def _inner(condition: Condition) -> Condition:
    return condition.inner if isinstance(condition, OfBaseline) else condition


def _flat(conditions: Sequence[Condition], hold: bool) -> Iterator[tuple[Condition, bool]]:
    """The conditions to the bottom, each with whether it is to hold."""
    for condition in map(_inner, conditions):
        if isinstance(condition, Not):
            yield from _flat(condition.inside, not hold)
        else:
            yield condition, hold
