"""The upstreams of a route: chosen by weight, avoided while they fail.

Health is passive: three failed connects in a row take an upstream out for ten seconds, doubling to a minute; when all
are out, all are tried, because a wrong guess about health must not be what refuses a request.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate

from proxy.upstream.pool import Pool

_FAILURES = 3
_EJECT_SECONDS = 10.0
_EJECT_MAX = 60.0


class Target:
    """One or several weighted pools. `pick` is what a request uses; `tried` are those that have just failed it."""

    def __init__(self, pools: Sequence[tuple[Pool, int]], clock: Callable[[], float]) -> None:
        self.pools = tuple(pool for pool, _ in pools)
        self._only = self.pools[0] if len(self.pools) == 1 else None
        self._sums = tuple(accumulate(weight for _, weight in pools))
        self._weights = dict(pools)
        self._clock = clock

    def pick(self, tried: Sequence[Pool] = ()) -> Pool | None:
        """A pool to use; None when every one has been tried."""
        if self._only is not None:
            return None if tried else self._only
        if not tried:
            pool = self.pools[bisect(self._sums, random.random() * self._sums[-1])]  # noqa: S311  # not a secret
            if pool.failures < _FAILURES or pool.ejected_until <= self._clock():
                return pool
        return self._pick_among([pool for pool in self.pools if pool not in tried])

    def _pick_among(self, left: list[Pool]) -> Pool | None:
        if not left:
            return None
        now = self._clock()
        healthy = [pool for pool in left if pool.failures < _FAILURES or pool.ejected_until <= now] or left
        return random.choices(healthy, [self._weights[pool] for pool in healthy])[0]  # noqa: S311

    def failed(self, pool: Pool) -> None:
        """A connect to `pool` failed (its `failures` counts it already)."""
        if pool.failures >= _FAILURES:
            doubling = min(pool.failures - _FAILURES, 3)
            pool.ejected_until = self._clock() + min(_EJECT_MAX, _EJECT_SECONDS * 2**doubling)
