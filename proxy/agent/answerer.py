"""Answers browsers on this machine: proves to the login page, and to no other, that the device's key is here.

On 127.0.0.1 only. Every program on this machine and every page in its browsers can knock; a page of another site is
kept off by its `Origin`, and one that reached us under a name of its own (DNS rebinding) by its `Host`. What is signed
is always a PROOF for the enrolled login URL, which the proxy takes only with the challenge of that very session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from proxy.agent.errors import AgentError
from proxy.agent.keys import DeviceKey
from proxy.agent.statement import signed
from proxy.model.report import AGENT_PORT, Proof

PATH: Final = "/prove"
LARGEST: Final = 8 * 1024  # bytes of a question
_CHALLENGE: Final = 4096  # characters
_BURST: Final = 10  # proofs at once, and then
_RATE: Final = 1.0  # one each second

_log = logging.getLogger(__name__)
_STRICT: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Origin"}


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    challenge: str
    aud: str


class Taken(AgentError):
    """Somebody else has the port."""


class Answerer:
    """Proves the key of `device` to pages of `login`. `clock`: seconds since the epoch; `ticks`: any that only grow."""

    def __init__(
        self, device: str, login: str, key: DeviceKey, *, clock: Callable[[], float], ticks: Callable[[], float]
    ) -> None:
        self._device = device
        self._login = login
        self._key = key
        self._clock = clock
        self._ticks = ticks
        self._tokens = float(_BURST)
        self._counted = ticks()
        self.port = AGENT_PORT
        self.ready = asyncio.Event()  # set while it answers

    async def serve(self, until: Awaitable[object], port: int = AGENT_PORT) -> None:
        """Answer until `until` is done. Raises Taken."""
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1, handle_signals=False)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            try:
                await site.start()
            except OSError as error:
                raise Taken(
                    f"port {port} on this machine is taken ({error.strerror}), so browsers cannot be answered: is "
                    "there another agent, perhaps of another user?"
                ) from error
            self.port = runner.addresses[0][1]
            self.ready.set()
            await until
        finally:
            await runner.cleanup()

    def application(self) -> web.Application:
        """What listens: one handler for everything, so that nothing is answered by accident."""
        application = web.Application(client_max_size=LARGEST)
        application.router.add_route("*", "/{rest:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.getall("Host", []) != [f"127.0.0.1:{self.port}"]:
            return _no(403, "this answers as 127.0.0.1 only")
        if request.raw_path != PATH:
            return _no(404, "there is nothing here")
        if request.headers.getall("Origin", []) != [self._login]:
            return _no(403, f"this answers pages of {self._login} only")
        if request.method == "OPTIONS":
            return self._preflight(request)
        if request.method != "POST":
            return _no(405, "POST a challenge")
        return await self._prove(request)

    def _preflight(self, request: web.Request) -> web.Response:
        """CORS (Fetch §3.2), with the opt-in that Private Network Access asked for; under its successor, Local Network
        Access, browsers ask the person instead."""
        if request.headers.get("Access-Control-Request-Method") != "POST":
            return _no(403, "only POST is answered")
        headers = self._open() | {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Content-Type",
            "Access-Control-Max-Age": "600",
        }
        for kind in ("Private-Network", "Local-Network"):
            if request.headers.get(f"Access-Control-Request-{kind}") == "true":
                headers[f"Access-Control-Allow-{kind}"] = "true"
        return web.Response(status=204, headers=headers)

    async def _prove(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return self._told(415, "send application/json")
        if not self._may():
            return self._told(429, "too many questions; wait a few seconds")
        try:
            question = msgspec.json.decode(await request.read(), type=_Question)
        except web.HTTPRequestEntityTooLarge:
            return self._told(413, "too long")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._told(400, "send a challenge and an aud")
        if question.aud != self._login:
            return self._told(403, "this device is enrolled elsewhere")
        if not 0 < len(question.challenge) <= _CHALLENGE:
            return self._told(400, "this is no challenge")
        claims = Proof(device=self._device, aud=self._login, challenge=question.challenge, iat=int(self._clock()))
        try:
            jws = await asyncio.to_thread(signed, claims, self._key)
        except AgentError as error:
            _log.warning("a browser asked for a proof: %s", error)
            return self._told(503, "the device's key cannot be used; see `ostiary device status`")
        return self._json(200, {"jws": jws})

    def _may(self) -> bool:
        now = self._ticks()
        self._tokens = min(_BURST, self._tokens + (now - self._counted) * _RATE)
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _open(self) -> dict[str, str]:
        return _STRICT | {"Access-Control-Allow-Origin": self._login}

    def _told(self, status: int, why: str) -> web.Response:
        """An error that the login page may read."""
        return self._json(status, {"error": why})

    def _json(self, status: int, body: dict[str, str]) -> web.Response:
        return web.Response(
            status=status, body=msgspec.json.encode(body), content_type="application/json", headers=self._open()
        )


def _no(status: int, why: str) -> web.Response:
    """An answer that no page may read."""
    return web.Response(status=status, text=why + "\n", headers=_STRICT)
