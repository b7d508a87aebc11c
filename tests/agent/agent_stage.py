"""An enrolled machine for stories: with a clock, a posture, and a person to talk to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
import pytest
from agent_proxy import Recorder

from proxy.agent.client import Proxy
from proxy.agent.enrolling import Wish
from proxy.agent.home import Home
from proxy.agent.keys import FileKey
from proxy.agent.memory import Memory
from proxy.agent.reporting import Reporter
from proxy.model.device import Value

WISH = Wish(code="ABCD-EFGH-JKMN", name="ann's laptop", os="linux", serial="C02X", storage="file")
AGAIN = msgspec.structs.replace(WISH, replace=True)


class Stage:
    """An enrolled machine with a clock, a posture and a person to talk to."""

    def __init__(self, home: Home, proxy: Proxy, recorder: Recorder) -> None:
        self.home = home
        self.proxy = proxy
        self.recorder = recorder
        self.now = time.time()
        self.posture: dict[str, Value] = {"os": "linux", "disk_encrypted": True}
        self.said: list[str] = []
        self.rests: list[float] = []
        self.ends = 10  # rests after which the story ends
        self.meanwhile: Callable[[int], None] = lambda count: None

    async def collect(self) -> Mapping[str, Value]:
        return dict(self.posture)

    async def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds
        self.meanwhile(len(self.rests))
        if len(self.rests) >= self.ends:
            raise asyncio.CancelledError

    def reporter(self) -> Reporter:
        return Reporter(
            Memory(self.home),
            FileKey.load(self.home),
            self.proxy,
            self.collect,
            clock=lambda: self.now,
            say=self.said.append,
            rest=self.rest,
            chance=lambda: 0.5,
        )

    async def watch(self, every: float = 30.0) -> None:
        with pytest.raises(asyncio.CancelledError):
            await self.reporter().watch(every)
