"""What a poll says again counts as observed at that poll, though nothing of it is written again. Pure.

A system that is asked tells everything it knows, mostly what it told before. So one row says when it last did
(`store.Confirmation`), and what it still tells (`Statement.polled`) is as fresh as that row.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from proxy.devices.record import DeviceRecord, Statement
from proxy.devices.store import Confirmation

Confirmations = Mapping[str, Confirmation]
"""By source, as in statements."""


def confirmed(one: Statement, confirmation: Confirmation | None) -> Statement:
    """The statement as the last poll of its source leaves it."""
    if confirmation is None or not one.polled or confirmation.at <= one.observed:
        return one
    return msgspec.structs.replace(one, observed=confirmation.at, expires=confirmation.expires)


def settled(record: DeviceRecord, source: str, confirmation: Confirmation | None) -> DeviceRecord:
    """The record when no further poll of a source counts for what that source told. `confirmation` is the last that
    does; None: none does."""
    statements = tuple(
        msgspec.structs.replace(confirmed(one, confirmation), polled=False) if one.source == source else one
        for one in record.statements
    )
    return msgspec.structs.replace(record, statements=statements)


def polled_of(record: DeviceRecord, source: str) -> list[Statement]:
    """What each further poll of a source counts for; one statement, as a rule."""
    return [one for one in record.statements if one.polled and one.source == source]
