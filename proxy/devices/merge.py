"""Of several sources that tell the same attribute, which one counts now. Pure.

What has not expired comes before what has; then the kind of source that the settings name first; then what was observed
later; then what is surer. When everything told of an attribute has expired, the one that expired last is kept: a value
that is too old explains a refusal better than none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proxy.model.device import Observation

Told = Iterable[tuple[str, Observation]]


class Merged(NamedTuple):
    """The observation that counts, by attribute, from the moment asked about until `again_at`, seconds since the epoch:
    then one that counted has expired and another takes its place."""

    attributes: dict[str, Observation]
    again_at: float


def merge(told: Told, precedence: Sequence[str], now: float) -> Merged:
    """What counts at `now`. `precedence` holds kinds of sources, the first before the others; "inventory" comes before
    them all, and a kind that is not named comes last."""
    rank = {kind: number for number, kind in enumerate(("inventory", *precedence))}
    best: dict[str, Observation] = {}
    runners: dict[str, float] = {}  # when the last of those that do not count expires
    for name, one in told:
        other = best.get(name)
        if other is None:
            best[name] = one
            continue
        if _order(one, rank, now) > _order(other, rank, now):
            best[name], other = one, other
        else:
            other = one
        runners[name] = max(runners.get(name, -math.inf), other.expires)
    again_at = min(
        (
            best[name].expires
            for name, until in runners.items()
            if best[name].expires > now and until > best[name].expires
        ),
        default=math.inf,
    )
    return Merged(best, again_at)


def kind_of(source: str) -> str:
    """The kind of a source: "management" of "management:intune"."""
    return source.partition(":")[0]


def _order(one: Observation, rank: dict[str, int], now: float) -> tuple[float, float, float, int, str, float]:
    if one.expires <= now:
        return (0.0, one.expires, one.observed, one.assurance, one.source, one.expires)
    return (1.0, -rank.get(kind_of(one.source), len(rank)), one.observed, one.assurance, one.source, one.expires)
