"""The conditions a rule can ask for: one small file per family, and here the table from key to class.

To add one: subclass `base.AskerCondition`, `base.PersonCondition` or `base.RequestCondition`, and add a row. The order
of the rows is the order in which refusals name them; it does not change any verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from proxy.policy.conditions.auth_age import AuthAge
from proxy.policy.conditions.base import Condition
from proxy.policy.conditions.claims import claims
from proxy.policy.conditions.device import device
from proxy.policy.conditions.hours import Hours
from proxy.policy.conditions.methods import Methods
from proxy.policy.conditions.negation import Not
from proxy.policy.conditions.networks import Networks
from proxy.policy.conditions.paths import Paths
from proxy.policy.conditions.people import Domains, Groups, Providers, Users
from proxy.policy.conditions.presence import Anyone, Authenticated
from proxy.policy.conditions.services import Services
from proxy.policy.conditions.strength import Acr, Amr, Mfa
from proxy.policy.rule import ConditionSpec, PolicyError

_SIMPLE: dict[str, Callable[[Any], Condition]] = {
    "anyone": Anyone,
    "authenticated": Authenticated,
    "users": Users,
    "domains": Domains,
    "groups": Groups,
    "services": Services,
    "providers": Providers,
    "methods": Methods,
    "paths": Paths,
    "networks": Networks,
    "hours": Hours,
    "auth_age": AuthAge,
    "mfa": Mfa,
    "amr": Amr,
    "acr": Acr,
}
WHO = frozenset({"anyone", "authenticated", "users", "domains", "groups", "claims", "services", "providers"})


def build(spec: ConditionSpec, rule: str) -> tuple[Condition, ...]:
    """Build what a rule (or a `not` inside one) asks for. Raises PolicyError that names rule and condition."""
    return tuple(_build(spec, rule))


def _build(spec: ConditionSpec, rule: str) -> Iterator[Condition]:
    key = ""
    try:
        for key, condition in _SIMPLE.items():
            asked = getattr(spec, key)
            if asked is not None:
                yield condition(asked)
        key = "claims"
        if spec.claims is not None:
            yield from claims(spec.claims)
        key = "device"
        if spec.device is not None:
            yield from device(spec.device)
        key = "not"
        if spec.not_ is not None:
            yield Not(build(spec.not_, rule))
    except PolicyError:
        raise
    except ValueError as error:
        raise PolicyError(str(error), rule=rule, condition=key) from None
