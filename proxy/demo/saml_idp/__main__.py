"""The partner's provider as a program of the demo: `ostiary demo` starts it, nobody else can."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

import aiohttp

from proxy.demo import loopback
from proxy.demo.launch import Refused, serve_until_told, settings_from
from proxy.demo.programs import SamlIdpLaunch
from proxy.demo.saml_idp.provider import SamlProvider
from proxy.demo.saml_idp.server import make_application


async def main(launch: SamlIdpLaunch) -> None:
    """Serve until told to stop."""
    async with aiohttp.ClientSession(
        connector=loopback.connector(Path(launch.ca)), timeout=aiohttp.ClientTimeout(total=5)
    ) as http:

        async def fetch() -> bytes:
            async with http.get(launch.metadata, allow_redirects=False) as response:
                response.raise_for_status()
                return await response.read()

        async def tell(url: str, fields: dict[str, str]) -> int:
            async with http.post(url, data=fields, allow_redirects=False) as response:
                return response.status

        provider = SamlProvider(f"http://{launch.host}:{launch.port}", time.time, fetch, tell)
        await serve_until_told(make_application(provider), launch.host, launch.port)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="saml idp: %(message)s")
    try:
        asyncio.run(main(settings_from(sys.stdin.buffer, os.environ, SamlIdpLaunch)))
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"SAML provider: {error}\n")
        sys.exit(1)
