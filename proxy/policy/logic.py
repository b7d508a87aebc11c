"""Truth in two bits: can it be true, can it be false.

Kleene's three values are TRUE, FALSE and UNKNOWN (neither can be shown: nothing rests on it). The fourth, EITHER, is
for questions about somebody who is not there yet: a condition on a person who has still to log in could turn out both
ways. AND and NOT are the same operations on the bits for all four (Belnap's four-valued logic), so one evaluator
answers "does this rule hold?" as well as "could it hold after a login?".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Value = int

UNKNOWN: Final = 0
TRUE: Final = 1  # the bit: can be true
FALSE: Final = 2  # the bit: can be false
EITHER: Final = TRUE | FALSE


def truth(known: bool) -> Value:
    """The value of something that is known."""
    return TRUE if known else FALSE


def negate(value: Value) -> Value:
    """NOT: swaps the bits, so unknown stays unknown."""
    return (value & TRUE) << 1 | value >> 1


def all_of(values: Iterable[Value]) -> Value:
    """AND: true when all can be, false as soon as one can be; of nothing, TRUE."""
    true, false = TRUE, 0
    for value in values:
        true &= value
        false |= value
    return true | (false & FALSE)


def any_of(values: Iterable[Value]) -> Value:
    """OR: true as soon as one can be, false when all can be; of nothing, FALSE."""
    return negate(all_of(negate(value) for value in values))
