"""Reports: once, or for as long as we run: on a schedule, and at once when something changed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from proxy.agent.attesting import attest
from proxy.agent.client import Proxy
from proxy.agent.enrolling import interval
from proxy.agent.errors import AgentError, Refused, Unreachable
from proxy.agent.keys import DeviceKey
from proxy.agent.memory import Memory
from proxy.agent.statement import signed
from proxy.model.device import Value
from proxy.model.report import Accepted, Report

NONCE_LIFE: Final = 180.0  # seconds for which a nonce is used; the proxy takes it for a little longer
FIRST_WAIT: Final = 5.0  # seconds after the first failure; doubles with each
LONGEST_WAIT: Final = 900.0
ATTEST_EVERY: Final = 86400.0  # seconds between tries to have the TPM vouch for the key, while it does not
_GONE: Final = "device-refused"  # the reason why a device gets no nonce: it is not known, or was removed

Collect = Callable[[], Awaitable[Mapping[str, Value]]]
Rest = Callable[[float], Awaitable[None]]


class Stopped(AgentError):
    """The proxy does not know this device any more, or it was revoked: there is nothing to report."""


class Reporter:
    """Reports what `collect` finds. `say` gets a line for the person when something is worth one."""

    def __init__(
        self,
        memory: Memory,
        key: DeviceKey,
        proxy: Proxy,
        collect: Collect,
        *,
        clock: Callable[[], float],
        say: Callable[[str], None],
        rest: Rest = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._memory = memory
        self._key = key
        self._proxy = proxy
        self._collect = collect
        self._clock = clock
        self._say = say
        self._rest = rest
        self._chance = chance
        self._nonce = ""
        self._nonce_until = 0.0
        self._attest_at = 0.0

    async def once(self) -> Accepted:
        """Collect and report. Raises Unreachable, Refused or Stopped."""
        return await self._send(await self._collect())

    async def watch(self, every: float) -> None:
        """Look every `every` seconds; report what changed, and all of it when it is due. Raises Stopped, and nothing
        else: what went wrong may go right later."""
        sent: Mapping[str, Value] | None = None
        due = 0.0
        failures = 0
        said = ""
        while True:
            found = await self._collect()
            now = self._clock()
            if found != sent or now >= due:
                try:
                    accepted = await self._send(found)
                except Stopped:
                    raise
                except AgentError as error:
                    failures += 1
                    wait = self._wait(failures, error)
                    self._say(f"{error} Next try in {wait:.0f} s.")
                    await self._rest(wait)
                    continue
                sent, due, failures = found, now + interval(accepted.interval), 0
                if accepted.note != said or not said:
                    said = accepted.note or "Reported; all is well."
                    self._say(said)
            await self._rest(max(1.0, min(every, due - self._clock())))

    async def _send(self, found: Mapping[str, Value]) -> Accepted:
        try:
            accepted = await self._report(found)
        except Refused:
            # A nonce can be used up or be too old by the proxy's clock: one more try, with a fresh one.
            self._nonce = ""
            accepted = await self._report(found)
        now = self._clock()
        self._nonce, self._nonce_until = accepted.nonce, now + NONCE_LIFE
        self._memory.change(reported=now, interval=interval(accepted.interval), note=accepted.note[:2000], stopped="")
        if accepted.attest and now >= self._attest_at:
            self._attest_at = now + ATTEST_EVERY
            await self._attest()
        return accepted

    async def _attest(self) -> None:
        try:
            issuer = await attest(self._proxy, self._memory.load().device, self._key, self._clock)
        except AgentError as error:
            self._say(f"The TPM could not vouch for this device's key: {error}")
        else:
            self._say(f"The TPM vouches for this device's key; its own certificate is by {issuer}.")

    async def _report(self, found: Mapping[str, Value]) -> Accepted:
        device = self._memory.load().device
        now = self._clock()
        nonce = self._nonce if now < self._nonce_until else ""
        self._nonce = ""
        if not nonce:
            try:
                nonce = await self._proxy.nonce(device)
            except Refused as error:
                if error.reason != _GONE:
                    raise
                raise self._stopped(error) from error
        claims = Report(
            device=device,
            aud=self._proxy.login,
            nonce=nonce,
            seq=await asyncio.to_thread(self._memory.next_seq, now),
            iat=int(self._clock()),
            attributes=dict(found),
        )
        return await self._proxy.report(await asyncio.to_thread(signed, claims, self._key))

    def _stopped(self, error: Refused) -> Stopped:
        text = f"{error} This device is revoked or unknown at {self._proxy.login}; to use it again, enrol it again."
        self._memory.change(stopped=text)
        return Stopped(text)

    def _wait(self, failures: int, error: AgentError) -> float:
        """Seconds until the next try: doubling, at random within the upper half, and what the proxy asked for."""
        longest = min(FIRST_WAIT * float(1 << min(failures - 1, 20)), LONGEST_WAIT)
        wait = longest * (0.5 + self._chance() / 2)
        return max(wait, (error.retry_after or 0.0) if isinstance(error, Unreachable) else 0.0)
