"""A poll of a management system: what is new is written, and one row says that the rest was told again.

What was told counts as observed when the poll began, once it is complete; a poll that is cut short confirms nothing. A
device that is not told of any more stays as the poll before left it. One that its system has not heard from for as long
as values count is over, whether it is still listed or not.

The order matters: what is not told any more is written, and known to all workers, before the row that would confirm it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

from proxy.devices.confirming import polled_of, settled
from proxy.devices.observing import Observing, statement
from proxy.devices.record import MANAGEMENT, DeviceRecord
from proxy.devices.store import Confirmation
from proxy.model.device import Value
from proxy.sessions.store import StoreUnavailable

_TURN: Final = 100  # devices that are looked at before others have their turn
_SCANNED: Final = 5000  # the same, of those that have nothing to do with the system, mostly
_MANY: Final = 200  # devices of which there is news, after which everybody takes in all of them at once

log = logging.getLogger(__name__)


class _Word(NamedTuple):
    """What is said of one device."""

    matches: Mapping[str, str]
    values: Mapping[str, Value]
    observed: float


class Poll:
    """One poll under way: made by `Polling.poll`, told device by device, then complete, or forgotten.

    `at`: when it began. `expiry`: how long what it tells counts. `told`: devices it told of, and when the system last
    heard from each. `silent`: those it has not heard from for longer than `expiry`. `older`: what was told of a device
    of which something later is known; it counts when nothing later is told again.
    """

    __slots__ = ("at", "expiry", "older", "silent", "source", "steps", "told")

    def __init__(self, source: str, at: float, expiry: float) -> None:
        self.source = source
        self.at = at
        self.expiry = expiry
        self.told: dict[str, float] = {}
        self.silent: set[str] = set()
        self.older: dict[str, _Word] = {}
        self.steps = 0


class Polling(Observing):
    """A part of `service.Devices`. All of it raises StoreUnavailable: then the poll is over."""

    _loaded: bool

    def poll(self, source: str, at: float, expiry: float) -> Poll:
        """Begin a poll of the management system `source`; `at` is now. Raises StoreUnavailable while it is not known
        which devices there are."""
        if not self._loaded:
            raise StoreUnavailable("devices have not been read yet")
        return Poll(source, at, expiry)

    async def polled(
        self, poll: Poll, matches: Mapping[str, str], values: Mapping[str, Value], observed: float
    ) -> bool:
        """Take in all that the system says of one device: see `observe`. True when something had to be written.

        Of two that turn out to be the same device, what was observed later counts. Raises DeviceRefused; the device is
        then one that is not told of.
        """
        poll.steps += 1
        if poll.steps % _TURN == 0:
            await asyncio.sleep(0)
        device = await self._meant(matches)
        word = _Word(matches, values, min(observed, poll.at))
        if poll.at - observed >= poll.expiry:
            poll.silent.add(device)
            return False
        record = self._inventory.get(device) if device else None
        if record is not None:
            if word.observed <= poll.told.get(device, -1.0):
                return False
            if any(word.observed < one.observed for one in polled_of(record, MANAGEMENT + poll.source)):
                poll.older[device] = max(word, poll.older.get(device, word), key=lambda each: each.observed)
                return False
        return await self._write(poll, device, record, word)

    async def _write(self, poll: Poll, device: str, record: DeviceRecord | None, word: _Word) -> bool:
        source, values = MANAGEMENT + poll.source, word.values
        known = record is not None and _says_already(record, source, word, poll.expiry / 2)
        if not known:
            said = statement(poll.source, values, word.observed, poll.expiry, polled=True)
            device = await self._take_in(device, said, word.matches, poll.at)
        poll.told[device] = word.observed
        return not known

    async def complete(self, poll: Poll, now: float) -> int:
        """The system told everything it knows. Returns how many devices it does not tell of any more.

        Nothing happens when a poll that began later is complete already.
        """
        source = MANAGEMENT + poll.source
        last = self._confirmed.get(source)
        if last is not None and poll.at <= last.at <= now:
            return 0
        for device, word in poll.older.items():
            if device not in poll.told:
                await self._write(poll, device, self._inventory.get(device), word)
        gone = await self._not_told(poll, source)
        await self._settle(gone, source, poll.silent)
        if await self.store.confirm(Confirmation(source, poll.at, poll.at + poll.expiry), now):
            await self._announce(source)
        if gone:
            log.info("management system %s does not tell of %d devices any more", poll.source, len(gone))
        return len(gone)

    async def _not_told(self, poll: Poll, source: str) -> list[str]:
        """The devices for which the next confirmation would count although the poll did not tell of them."""
        name = source.encode()
        found = []
        for number, device in enumerate(self._inventory.ids(), 1):
            if number % _SCANNED == 0:
                await asyncio.sleep(0)
            if device in poll.told or name not in (self._inventory.packed(device) or b""):  # fast, and nearly exact
                continue
            record = self._inventory.get(device)
            if record is not None and polled_of(record, source):
                found.append(device)
        return found

    async def _settle(self, gone: list[str], source: str, silent: set[str]) -> None:
        last = self._confirmed.get(source)

        def settle(old: DeviceRecord) -> DeviceRecord | None:
            return settled(old, source, None if old.id in silent else last) if polled_of(old, source) else None

        for first in range(0, len(gone), _TURN):
            changed = await self.store.change_all(dict.fromkeys(gone[first : first + _TURN], settle))
            if len(gone) <= _MANY:
                for device in changed:
                    await self._announce(device)
        if len(gone) > _MANY:
            await self._announce("")


def _says_already(record: DeviceRecord, source: str, word: _Word, lately: float) -> bool:
    """Whether nothing has to be written: the next confirmation counts for exactly these values, the device is known by
    its id there, and it is known well enough when it was last heard from."""
    polled = polled_of(record, source)
    theirs = word.matches.get("id", record.id)
    return (
        len(polled) == 1
        and polled[0].values == word.values
        and (theirs == record.id or theirs in record.aliases)
        and word.observed - polled[0].observed < lately
    )
