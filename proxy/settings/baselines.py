"""Which baselines are for which routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from proxy.settings.schema import Baseline

EVERY: Final = "*"  # the label that every route has


def baselines_for(labels: Sequence[str], baselines: Iterable[Baseline]) -> tuple[Baseline, ...]:
    """The baselines for a route with these labels, in the order of the configuration."""
    return tuple(one for one in baselines if EVERY in one.labels or not set(labels).isdisjoint(one.labels))
