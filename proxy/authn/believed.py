"""Which groups a provider may name. Pure.

One provider's word counts for its own people: without a limit, a partner's administrator could put somebody into the
group that a rule means of another provider.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def believed_groups(told: Iterable[str], believed: Sequence[str] | None) -> frozenset[str]:
    """Those that are believed: all when there is no limit; `*` as the last character stands for any end."""
    if believed is None:
        return frozenset(told)
    beginnings = tuple(one[:-1] for one in believed if one.endswith("*"))
    return frozenset(group for group in told if group in believed or group.startswith(beginnings))
