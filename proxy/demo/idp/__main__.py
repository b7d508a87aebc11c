"""The provider as a program of the demo: `ostiary demo` starts it, nobody else can."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

import aiohttp

from proxy.demo import loopback
from proxy.demo.idp.people import people
from proxy.demo.idp.provider import Provider
from proxy.demo.idp.server import make_application
from proxy.demo.launch import Refused, serve_until_told, settings_from
from proxy.demo.programs import IdpLaunch


async def main(launch: IdpLaunch) -> None:
    """Serve until told to stop."""
    async with aiohttp.ClientSession(
        connector=loopback.connector(Path(launch.ca)), timeout=aiohttp.ClientTimeout(total=5)
    ) as http:

        async def notify(uri: str, token: str) -> int:
            async with http.post(uri, data={"logout_token": token}, allow_redirects=False) as response:
                return response.status

        issuer = f"http://{launch.host}:{launch.port}"
        provider = Provider(issuer, launch.client, people(), clock=time.time, notify=notify)
        await serve_until_told(make_application(provider), launch.host, launch.port)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="idp: %(message)s")
    try:
        asyncio.run(main(settings_from(sys.stdin.buffer, os.environ, IdpLaunch)))
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"identity provider: {error}\n")
        sys.exit(1)
