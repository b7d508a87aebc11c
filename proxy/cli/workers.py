"""What commands that change something tell the running workers, and how they print what comes from outside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from proxy.sessions.nudge import Delivery, Nudges


async def announce(folder: Path | None) -> Delivery:
    """Make every running worker look at the store now; wait at most a second until they have acted."""
    if folder is None:
        return Delivery(0, 0)
    nudges = Nudges(folder, create=False)
    try:
        nudges.open()
        return await nudges.announce(1.0)
    except OSError as error:
        print(f"workers cannot be told and will notice by themselves in a moment: {error}", file=sys.stderr)
        return Delivery(0, 0)
    finally:
        nudges.close()


def confirmation(delivery: Delivery) -> str:
    """Who acted on it, as a sentence."""
    if not delivery.told:
        return "No worker is running."
    if delivery.complete:
        workers = "The running worker" if delivery.told == 1 else f"All {delivery.told} running workers"
        return f"{workers} acted on it."
    return (
        f"Only {delivery.acknowledged} of {delivery.told} running workers confirmed within a second; "
        "the others act as soon as they can."
    )


def print_table(table: Sequence[Sequence[str]]) -> None:
    """Rows of equal length in columns, the last as wide as it is."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]) - 1)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())


def when(seconds: float) -> str:
    """A moment in this machine's time, for people."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def iso(seconds: float) -> str:
    """The same in UTC, for programs (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def printable(text: str) -> str:
    """Names come from outside: nothing in them may steer the terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
