"""Starts it all, waits until it is ready, and ends it all: the demo itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import aiohttp

from proxy.demo import certificates, guide
from proxy.demo.children import Children
from proxy.demo.layout import (
    APPS,
    CLIENT_ID,
    LOOPBACK,
    PARTNER,
    PROVIDER,
    DemoError,
    Layout,
    Ports,
    prepare,
    refuse_taken,
)
from proxy.demo.programs import AppLaunch, CiLaunch, IdpLaunch, Registration, SamlIdpLaunch
from proxy.demo.tour import tour
from proxy.pki import PkiError

READY_TIME = 30.0  # seconds; usually it takes two or three


def demo(home: Path, ports: Ports, *, check: bool) -> int:
    """Run the demo, or with `check` the tour through it. Returns the exit code."""
    try:
        return asyncio.run(_checked(home, ports) if check else _until_told(home, ports))
    except (DemoError, PkiError, OSError) as error:
        say(f"ostiary demo: {error}")
        return 1


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _until_told(home: Path, ports: Ports) -> int:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with _running(home, ports, told) as (layout, children):
        if not told.is_set():
            say(guide.welcome(layout))
        ending = asyncio.create_task(children.first_to_end())
        asked = asyncio.create_task(told.wait())
        await asyncio.wait({ending, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if told.is_set():
            ending.cancel()
            say("\nEnding …")
            return 0
        ended = ending.result()
        raise DemoError(f"{ended.title} {ended.how_it_ended()} by itself, so the rest was ended too")


async def _checked(home: Path, ports: Ports) -> int:
    told = asyncio.Event()
    with tempfile.TemporaryFile() as output:
        try:
            async with _running(home, ports, told, output) as (layout, children):
                failed = await tour(layout, say)
                children.refuse_ended()
        except DemoError:
            _show(output)
            raise
        if failed:
            _show(output)
    say(f"{failed} of the steps failed" if failed else "Everything works.")
    return 1 if failed else 0


def _show(output: IO[bytes]) -> None:
    output.seek(0)
    say("What the programs said:\n" + output.read()[-20_000:].decode(errors="replace"))


@asynccontextmanager
async def _running(
    home: Path, ports: Ports, told: asyncio.Event, output: IO[bytes] | None = None
) -> AsyncIterator[tuple[Layout, Children]]:
    """Everything, started and ready; ended afterwards, whatever happens. `told` cuts the waiting short."""
    began = time.monotonic()
    refuse_taken(ports)
    layout = prepare(home, ports)
    for line in certificates.ensure(layout.certs, now=time.time()):
        say(f"made {line}")
    children = Children(output)
    try:
        await _start(layout, children)
        await _ready(layout, children, told)
        say(f"Ready after {time.monotonic() - began:.1f} seconds.\n")
        yield layout, children
    finally:
        for title in await asyncio.shield(children.stop()):
            say(f"{title} did not end when asked and was killed")


async def _start(layout: Layout, children: Children) -> None:
    secret = certificates.new_client_secret(layout.secret)
    login = layout.url("login")
    client = Registration(
        client_id=CLIENT_ID,
        client_secret=secret,
        redirect_uris=(f"{login}/.ostiary/oidc/{PROVIDER}/callback",),
        post_logout_redirect_uris=(f"{login}/.ostiary/logged-out",),
        backchannel_logout_uri=f"{login}/.ostiary/oidc/{PROVIDER}/backchannel-logout",
    )
    idp = IdpLaunch(host=LOOPBACK, port=layout.ports.idp, client=client, ca=str(layout.trust))
    await children.start("the identity provider", ["-m", "proxy.demo.idp"], idp)
    partner = SamlIdpLaunch(
        host=LOOPBACK,
        port=layout.ports.partner,
        metadata=f"{login}/.ostiary/saml/{PARTNER}/metadata",
        ca=str(layout.trust),
    )
    await children.start("the partner's identity provider", ["-m", "proxy.demo.saml_idp"], partner)
    ci = CiLaunch(host=LOOPBACK, port=layout.ports.ci)
    await children.start("the CI system", ["-m", "proxy.demo.ci"], ci)
    for name in APPS:
        app = AppLaunch(
            name=name,
            host=LOOPBACK,
            port=getattr(layout.ports, name),
            audience=layout.url(name),
            issuer=login,
            jwks=f"{login}/.well-known/ostiary/jwks.json",
            ca=str(layout.trust),
        )
        await children.start(f"the sample app “{name}”", ["-m", "proxy.demo.apps", name], app)
    await children.start("the proxy", ["-m", "proxy", "serve", "--config", str(layout.config)])


async def _ready(layout: Layout, children: Children, told: asyncio.Event) -> None:
    """Wait until every program answers. Raises DemoError when one ends, or after `READY_TIME`."""
    waiting = {
        "the identity provider": f"{layout.issuer}/.well-known/openid-configuration",
        "the partner's identity provider": f"{layout.partner}/metadata",
        "the CI system": f"{layout.ci}/.well-known/openid-configuration",
        "the sample app “headers”": f"http://{LOOPBACK}:{layout.ports.headers}/",
        "the sample app “live”": f"http://{LOOPBACK}:{layout.ports.live}/",
        "the sample app “api”": f"http://{LOOPBACK}:{layout.ports.api}/health",
        "the proxy": f"{layout.admin}/readyz",
    }
    until = time.monotonic() + READY_TIME
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        while waiting and not told.is_set():
            children.refuse_ended()
            for title in [title for title, url in waiting.items() if await _answers(http, url)]:
                del waiting[title]
            if waiting and time.monotonic() > until:
                raise DemoError(f"not ready after {READY_TIME:.0f} seconds: {', '.join(waiting)}")
            if waiting:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), 0.05)


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    """Whether something answers there, and not with 5xx: an app that asks for an assertion (401) is ready."""
    try:
        async with http.get(url, allow_redirects=False) as response:
            return response.status < 500
    except (aiohttp.ClientError, TimeoutError):
        return False
