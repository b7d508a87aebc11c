"""One sample app as a program of the demo."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from proxy.demo import loopback
from proxy.demo.apps import api, headers, live
from proxy.demo.apps.caller import CallerVerifier
from proxy.demo.launch import Refused, serve_until_told, settings_from
from proxy.demo.programs import AppLaunch

APPS: Mapping[str, Callable[[CallerVerifier], web.Application]] = {
    "headers": headers.make,
    "live": live.make,
    "api": api.make,
}


async def main(launch: AppLaunch) -> None:
    """Serve until told to stop."""
    async with aiohttp.ClientSession(
        connector=loopback.connector(Path(launch.ca)), timeout=aiohttp.ClientTimeout(total=5)
    ) as http:
        verifier = CallerVerifier(http, jwks=launch.jwks, issuer=launch.issuer, audience=launch.audience)
        await serve_until_told(APPS[launch.name](verifier), launch.host, launch.port)


if __name__ == "__main__":
    try:
        asyncio.run(main(settings_from(sys.stdin.buffer, os.environ, AppLaunch)))
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"sample app: {error}\n")
        sys.exit(1)
