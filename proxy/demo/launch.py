"""How the demo hands its helpers what they need, and how they make sure that it was the demo.

The parent writes one line of JSON to the child's standard input: its settings, with a one-time `token` that is also in
the child's environment. A program of the demo that is started by anybody else has no such pair and refuses. The pipe
stays open: when it closes, the parent is gone (however it died) and the child ends itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import os
import signal
import sys
from collections.abc import Mapping
from typing import BinaryIO, TypeVar

import msgspec
from aiohttp import web

TOKEN_VARIABLE = "OSTIARY_DEMO_TOKEN"  # noqa: S105 -- the name of a variable, not a secret
S = TypeVar("S")


class Refused(Exception):
    """Not started by the demo, or told to do what a demo must not."""


class _Line(msgspec.Struct):
    token: str
    settings: msgspec.Raw


def line(token: str, settings: msgspec.Struct) -> bytes:
    """What the parent writes."""
    return msgspec.json.encode({"token": token, "settings": settings}) + b"\n"


def settings_from(stream: BinaryIO, environment: Mapping[str, str], kind: type[S]) -> S:
    """Read the settings the demo wrote. Raises Refused when it was not the demo."""
    token = environment.get(TOKEN_VARIABLE, "")
    if not token:
        raise Refused("this program is a part of `ostiary demo` and only starts from there: it lets anybody be anybody")
    try:
        read = msgspec.json.decode(stream.readline(1 << 20), type=_Line)
        if not hmac.compare_digest(read.token.encode(), token.encode()):
            raise Refused("the launch token is wrong: start `ostiary demo` instead")
        return msgspec.json.decode(read.settings, type=kind)
    except msgspec.DecodeError as error:
        raise Refused(f"no launch settings on standard input ({error}): start `ostiary demo` instead") from error


def loopback(host: str) -> str:
    """Return `host` if it is a loopback address. Raises Refused: nothing of the demo is for the network."""
    if not ipaddress.ip_address(host).is_loopback:
        raise Refused(f"{host} is not a loopback address; the demo listens nowhere else")
    return host


async def serve_until_told(application: web.Application, host: str, port: int) -> None:
    """Serve on loopback until SIGTERM, SIGINT or the end of standard input."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    loop.add_reader(sys.stdin.fileno(), _parent_gone, done)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, loopback(host), port).start()
        await done.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), 3)


def _parent_gone(done: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        done.set()
