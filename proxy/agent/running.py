"""Puts the parts together: an enrolled agent, its reporter and its answerer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from proxy.agent import attesting, tpm
from proxy.agent.answerer import Answerer, Taken
from proxy.agent.client import connected
from proxy.agent.collect import collect, this_system
from proxy.agent.errors import AgentError
from proxy.agent.home import Home
from proxy.agent.keys import DeviceKey, FileKey
from proxy.agent.memory import AUTHORITIES, Memory, Remembered
from proxy.agent.probe import Probe
from proxy.agent.reporting import Reporter
from proxy.model.device import Value
from proxy.model.report import AGENT_PORT


class Enrolled(msgspec.Struct, frozen=True):
    """What an enrolled agent works with."""

    remembered: Remembered
    memory: Memory
    key: DeviceKey
    authorities: str | None


def enrolled(home: Home) -> Enrolled:
    """Load what enrolment left. Blocks while a TPM loads the key; raises AgentError."""
    memory = Memory(home)
    remembered = memory.load()
    key: DeviceKey
    if remembered.storage == "tpm":
        key = tpm.TpmKey(home, remembered.tcti or tpm.interface(os.environ) or f"device:{tpm.DEVICE}")
    else:
        key = FileKey.load(home)
    authorities = home.read(AUTHORITIES).decode() if remembered.authorities else None
    return Enrolled(remembered, memory, key, authorities)


async def attest(agent: Enrolled) -> str:
    """Let the TPM vouch for the key. Returns who vouches for the TPM; raises AgentError."""
    told = agent.remembered
    async with connected(told.login, agent.authorities) as proxy:
        return await attesting.attest(proxy, told.device, agent.key, time.time)


async def posture(edr: Iterable[str]) -> Mapping[str, Value]:
    """What this machine would report now."""
    return await collect(Probe(), now=time.time(), edr=edr)


@contextlib.asynccontextmanager
async def reporting(agent: Enrolled, edr: Iterable[str], say: Callable[[str], None]) -> AsyncIterator[Reporter]:
    """A reporter, connected."""
    async with connected(agent.remembered.login, agent.authorities) as proxy:
        yield Reporter(agent.memory, agent.key, proxy, lambda: posture(edr), clock=time.time, say=say)


async def watch(agent: Enrolled, edr: Iterable[str], say: Callable[[str], None], port: int = AGENT_PORT) -> None:
    """Report and answer browsers until told to stop (SIGTERM, SIGINT). Raises Stopped."""
    done = told_to_stop()
    async with reporting(agent, edr, say) as reporter:
        reports = asyncio.create_task(reporter.watch(this_system().every))
        reports.add_done_callback(lambda _: done.set())
        try:
            await _answer_if_free(agent, done, say, port)
            await done.wait()
        finally:
            reports.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reports


async def answer(agent: Enrolled, port: int = AGENT_PORT) -> None:
    """Answer browsers until told to stop. Raises Taken."""
    await _answerer(agent).serve(told_to_stop().wait(), port)


async def _answer_if_free(agent: Enrolled, done: asyncio.Event, say: Callable[[str], None], port: int) -> None:
    try:
        await _answerer(agent).serve(done.wait(), port)
    except Taken as error:
        say(f"{error} Reports go on without.")


def _answerer(agent: Enrolled) -> Answerer:
    told = agent.remembered
    return Answerer(told.device, told.login, agent.key, clock=time.time, ticks=time.monotonic)


def told_to_stop() -> asyncio.Event:
    """Set when the system or the person asks us to end; where the loop takes no signals, Ctrl-C interrupts instead."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, done.set)
    return done


def pem(file: str) -> str:
    """The content of a file of certificates. Raises AgentError."""
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise AgentError(f"--ca {file}: {error}") from error
