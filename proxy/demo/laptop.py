"""A pretended laptop: the real agent, with its own key, that reports what it is told to instead of what it finds.

In the tour two of them play one that complies and one that does not. By hand, beside a running demo:

    python -m proxy.demo.laptop https://login.apps.localhost:8443 --code CODE --ca certs/servers-ca.crt [--neglected]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp

from proxy.agent import enrolling, running
from proxy.agent.answerer import Answerer
from proxy.agent.client import Proxy, login_origin
from proxy.agent.errors import AgentError
from proxy.agent.home import Home
from proxy.agent.reporting import Reporter
from proxy.agent.statement import signed
from proxy.demo import loopback
from proxy.model.device import Value
from proxy.model.report import AGENT_PORT, Proof

COMPLIANT: Final[Mapping[str, Value]] = {
    "os": "linux",
    "os_version": "12.9",
    "disk_encrypted": True,
    "firewall": True,
    "screen_lock": True,
    "secure_boot": True,
    "patch_age_days": 3,
    "agent_version": "0.1.0",
}
NEGLECTED: Final[Mapping[str, Value]] = {**COMPLIANT, "disk_encrypted": False, "patch_age_days": 112}


class Laptop:
    """A device that reports `attributes`; change them and report again."""

    def __init__(self, folder: Path, proxy: Proxy, name: str, attributes: Mapping[str, Value]) -> None:
        self.attributes = dict(attributes)
        self._home = Home(folder)
        self._proxy = proxy
        self._name = name
        self._agent: running.Enrolled

    async def enrol(self, code: str) -> str:
        """Make a key and tell the proxy. Returns the device's id. Raises AgentError."""
        wish = enrolling.Wish(code=code, name=self._name, os=str(self.attributes["os"]), storage="file")
        done = await enrolling.enrol(self._home, self._proxy, wish, now=time.time(), environment={})
        self._agent = running.enrolled(self._home)
        return done.remembered.device

    async def report(self) -> str:
        """Report once. Returns what needs mending, "" when all is well. Raises AgentError."""
        return (await self.reporter().once()).note

    def reporter(self) -> Reporter:
        """What reports."""

        async def found() -> Mapping[str, Value]:
            return self.attributes

        return Reporter(
            self._agent.memory, self._agent.key, self._proxy, found, clock=time.time, say=lambda line: print_line(line)
        )

    def proof(self, challenge: str) -> str:
        """What the agent answers a page of the login host."""
        told = self._agent.remembered
        claims = Proof(device=told.device, aud=told.login, challenge=challenge, iat=int(time.time()))
        return signed(claims, self._agent.key)

    def answerer(self) -> Answerer:
        """What answers browsers on loopback."""
        told = self._agent.remembered
        return Answerer(told.device, told.login, self._agent.key, clock=time.time, ticks=time.monotonic)


@contextlib.asynccontextmanager
async def laptop(login: str, ca: Path, name: str, attributes: Mapping[str, Value]) -> AsyncIterator[Laptop]:
    """A laptop that is not enrolled yet; its key is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ostiary-laptop-") as folder:
        async with aiohttp.ClientSession(connector=loopback.connector(ca)) as http:
            yield Laptop(Path(folder), Proxy(login, http, time.time), name, attributes)


def print_line(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _main(args: argparse.Namespace) -> None:
    attributes = NEGLECTED if args.neglected else COMPLIANT
    name = "Neglected laptop" if args.neglected else "Compliant laptop"
    async with laptop(login_origin(args.url), args.ca, name, attributes) as one:
        print_line(
            f"Enrolled as {await one.enrol(args.code)}. Reporting; answering browsers on 127.0.0.1:{AGENT_PORT}."
        )
        reports = asyncio.create_task(one.reporter().watch(5.0))
        try:
            await one.answerer().serve(reports)
        finally:
            reports.cancel()


def main() -> int:
    """Run one until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m proxy.demo.laptop", description="A pretended laptop.")
    parser.add_argument("url", help="the login address of the demo")
    parser.add_argument("--code", required=True, help="from the portal: “Add this device”")
    parser.add_argument("--ca", type=Path, required=True, help="the demo's authority, certs/servers-ca.crt")
    parser.add_argument("--neglected", action="store_true", help="its disk is not encrypted, and it is not up to date")
    try:
        asyncio.run(_main(parser.parse_args()))
    except KeyboardInterrupt:
        return 0
    except (AgentError, aiohttp.ClientError, ssl.SSLError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
