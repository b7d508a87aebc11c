"""How fresh and how sure a value that is known of a device must be to count.

A value that does not count is unknown. What our own inventory and the certificate at hand say is current whenever it is
asked, so `max_age` does not concern it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from proxy.model.device import Assurance, Observation
from proxy.policy.asked import duration
from proxy.policy.conditions.base import SKEW
from proxy.policy.ranges import Misread

KEYS: Final = ("max_age", "source", "assurance")
SOURCES: Final = ("agent", "management", "certificate", "claims", "inventory")
LEVELS: Final = {
    "self-reported": Assurance.SELF_REPORTED,
    "managed": Assurance.MANAGED,
    "attested": Assurance.ATTESTED,
}
_AGELESS: Final = frozenset(("inventory", "certificate"))
_NEVER_ATTESTED: Final = frozenset(("management", "claims"))


class Shortcoming(Enum):
    """Why a value does not count."""

    NO_DEVICE = "no device"
    ABSENT = "absent"
    TYPE = "type"
    FUTURE = "future"
    EXPIRED = "expired"
    OLD = "old"
    SOURCE = "source"
    ASSURANCE = "assurance"


class Pedigree(NamedTuple):
    """`sources` are kinds, or one by name as in `management:NAME`; none is any."""

    max_age: float | None = None
    sources: frozenset[str] = frozenset()
    assurance: int = 0

    def lacks(self, found: Observation, time: float) -> Shortcoming | None:
        """What keeps a value from counting at `time`; None when nothing does."""
        if not found.observed <= time + SKEW:
            return Shortcoming.FUTURE
        if not time < found.expires:
            return Shortcoming.EXPIRED
        if self.max_age is not None and not time - found.observed <= self.max_age and found.source not in _AGELESS:
            return Shortcoming.OLD
        if self.sources and self.sources.isdisjoint((found.source, kind(found.source))):
            return Shortcoming.SOURCE
        return Shortcoming.ASSURANCE if found.assurance < self.assurance else None


def kind(source: str) -> str:
    """`management` of `management:intune`."""
    return source.partition(":")[0]


def max_age(written: object) -> float | None:
    """Raises Misread."""
    return None if written is None else duration(written)


def sources(written: object) -> frozenset[str]:
    """One source or a list of them. Raises Misread."""
    if written is None:
        return frozenset()
    listed = [written] if isinstance(written, str) else written
    if not isinstance(listed, list | tuple) or not listed:
        raise Misread('"source" needs at least one source', f"such as source: [agent, management]; {_KNOWN}")
    for one in listed:
        base, colon, name = one.partition(":") if isinstance(one, str) else ("", "", "")
        if base not in SOURCES or (colon and (base not in ("management", "claims") or not name)):
            near = difflib.get_close_matches(base, SOURCES, 1)
            raise Misread(f'"{one}" is no source of values', f'did you mean "{near[0]}"?' if near else _KNOWN)
    return frozenset(listed)


def assurance(written: object) -> int:
    """The least assurance that will do. Raises Misread."""
    if written is None:
        return 0
    if not isinstance(written, str) or written not in LEVELS:
        near = difflib.get_close_matches(str(written), LEVELS, 1)
        hint = f'did you mean "{near[0]}"?' if near else "known: " + ", ".join(LEVELS)
        raise Misread(f'"{written}" is no assurance', hint)
    return LEVELS[written]


def pedigree(asked: Mapping[str, object]) -> Pedigree:
    """The part of a `device` condition that is about all its attributes. Raises Misread."""
    found = Pedigree(max_age(asked.get("max_age")), sources(asked.get("source")), assurance(asked.get("assurance")))
    if (
        found.assurance == Assurance.ATTESTED
        and found.sources
        and {kind(one) for one in found.sources} <= _NEVER_ATTESTED
    ):
        message = f"{' or '.join(sorted(found.sources))} never attests anything"
        raise Misread(message, "only hardware does: add agent to source, or ask for managed", "assurance")
    return found


_KNOWN: Final = f"known: {', '.join(SOURCES)}; management:NAME and claims:NAME name one"
