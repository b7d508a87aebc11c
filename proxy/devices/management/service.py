"""All management systems of a configuration: asks those that are asked, takes in what is told.

Each turn of a system is taken by one worker: whoever first claims it in the store. What a system says again unchanged
is not written again: one row confirms all of it (`devices/polling`), so a quiet fleet costs little.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from proxy.devices.errors import DeviceRefused
from proxy.devices.management import webhook
from proxy.devices.management.api import ManagementUnavailable, Sleep
from proxy.devices.management.build import Asked, Systems
from proxy.devices.management.signature import WINDOW, WebhookRefused, verify
from proxy.devices.polling import Polling
from proxy.sessions.store import StoreUnavailable

_log = logging.getLogger(__name__)
_RETRY: Final = 5.0  # seconds until a turn is tried again when the store does not answer

Consume = Callable[[str, float], Awaitable[bool]]
"""`SessionStore.consume`."""


class Received(NamedTuple):
    """How many devices of a webhook were taken in, and why others were not."""

    taken: int
    refused: tuple[str, ...] = ()


class Management:
    """`adopt` what was built, at start and after each reload; `close` at the end. `devices`: the inventory, as
    `service.Devices` is one. `clock`: seconds since the epoch."""

    def __init__(
        self, devices: Polling, consume: Consume, clock: Callable[[], float], sleep: Sleep = asyncio.sleep
    ) -> None:
        self._devices = devices
        self._consume = consume
        self._clock = clock
        self._sleep = sleep
        self._systems = Systems({}, {})
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def adopt(self, systems: Systems) -> None:
        """Ask these from now on; a turn under way of a system that stays the same goes on."""
        old, self._systems = self._systems, systems
        for name, task in list(self._tasks.items()):
            if name not in systems.asked or systems.asked[name].settings != old.asked[name].settings:
                task.cancel()
                del self._tasks[name]
        for name in systems.asked:
            if name not in self._tasks:
                self._tasks[name] = asyncio.get_running_loop().create_task(self._turns(name))

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def receives(self, name: str) -> bool:
        """Whether a webhook of this name is configured."""
        return name in self._systems.secrets

    async def receive(self, name: str, signature: str, body: bytes) -> Received:
        """Take in a webhook. Raises WebhookRefused when none of it is accepted, StoreUnavailable when some of it could
        not be written: it is to be signed and sent again."""
        now = self._clock()
        message = verify(signature, body, self._systems.secrets.get(name, ()), now)
        told = webhook.read(body, sent=message.sent, now=now)
        if not await self._consume(f"webhook:{name}:{message.name}", now + 2 * WINDOW):
            raise WebhookRefused("this message was taken in before")
        refused = []
        for number, one in enumerate(told):
            try:
                await self._devices.observe(name, one.matches, one.values, one.observed, now)
            except DeviceRefused as why:
                refused.append(f"devices[{number}]: {why}")
        return Received(len(told) - len(refused), tuple(refused))

    async def _turns(self, name: str) -> None:
        """Turns begin at whole multiples of the interval, the same moments in every worker."""
        while (asked := self._systems.asked.get(name)) is not None:
            interval = float(asked.settings.interval)
            turn = int(self._clock() // interval)
            wait = _RETRY
            with contextlib.suppress(StoreUnavailable):  # whoever it concerns has said so already
                if await self._consume(f"management:{name}:{interval}:{turn}", (turn + 1) * interval):
                    await self._turn(asked)
                wait = max(0.0, (turn + 1) * interval - self._clock())
            await self._sleep(wait)

    async def _turn(self, asked: Asked) -> None:
        try:
            await self.ask(asked)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001  # a fault of ours must not be the last turn
            _log.exception("management system %s", asked.settings.name)

    async def ask(self, asked: Asked) -> int:
        """One turn. Returns how many devices were written; what did not work is in the log. Raises StoreUnavailable."""
        name = asked.settings.name
        poll = self._devices.poll(name, self._clock(), float(asked.settings.expiry))
        written = refused = 0
        try:
            async for told in asked.system.devices():
                try:
                    written += await self._devices.polled(poll, told.matches, told.values, told.observed)
                except DeviceRefused as why:
                    refused += 1
                    if refused == 1:
                        _log.warning("management system %s tells what cannot be meant: %s", name, why)
        except ManagementUnavailable as error:
            _log.warning("management system %s: %s", name, error)
        else:
            await self._devices.complete(poll, self._clock())
        return written
