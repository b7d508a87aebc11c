"""A proxy for the agent to talk to: TLS, real signatures checked by another library, everything written down.

It keeps to `model/report.py`; a test may make it lie with `lie`, or refuse with `refusal`.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web

from proxy.model import report as wire
from proxy.pki import CertificateFolder

Lie = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_certificates(folder: Path) -> None:
    """An authority, and a certificate for localhost."""
    certificates = CertificateFolder(folder)
    certificates.init(now=time.time(), name="test")
    certificates.server(["localhost"], now=time.time(), file="proxy")


class Recorder:
    """One proxy. `enrolments`, `reports`: claims of what was accepted; `asked`: paths of all requests."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "servers-ca.crt"
        self.folder = folder
        self.url = ""
        self.codes = {"ABCD-EFGH-JKMN"}
        self.keys: dict[str, Any] = {}
        self.enrolments: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.nonces: set[str] = set()
        self.revoked: set[str] = set()
        self.interval = 900.0
        self.note = ""
        self.lie: dict[str, Lie] = {}

    # --- what it answers

    async def _enrol(self, body: dict[str, Any]) -> web.Response:
        unproven = jwt.decode(body["jws"], options={"verify_signature": False})
        key = jwt.PyJWK(unproven["key"], algorithm="ES256").key
        claims = self._proven(body["jws"], key, wire.ENROL_TYPE, None)
        if claims["code"] not in self.codes:
            return refused("the code is not known, was used, or is older than 15 minutes; get a new one")
        self.codes.remove(claims["code"])
        device = secrets.token_hex(16)
        self.keys[device] = key
        self.enrolments.append(claims)
        return web.json_response({"device": device, "approved": False, "interval": self.interval})

    async def _nonce(self, body: dict[str, Any]) -> web.Response:
        if body["device"] in self.revoked:
            return refused("the device was removed")
        return web.json_response({"nonce": self._fresh()})

    async def _report(self, body: dict[str, Any]) -> web.Response:
        device = jwt.get_unverified_header(body["jws"])["kid"]
        claims = self._proven(body["jws"], self.keys[device], wire.REPORT_TYPE, device)
        assert claims["device"] == device
        if device in self.revoked:
            return refused("the device was removed")
        if claims["nonce"] not in self.nonces:
            return refused("its nonce was used before")
        self.nonces.remove(claims["nonce"])
        last = max((one["seq"] for one in self.reports if one["device"] == device), default=0)
        if claims["seq"] <= last:
            return refused(f"its seq must be greater than {last}")
        self.reports.append(claims)
        return web.json_response({"nonce": self._fresh(), "interval": self.interval, "note": self.note})

    def _fresh(self) -> str:
        self.nonces.add(nonce := secrets.token_urlsafe(16))
        return nonce

    def _proven(self, jws: str, key: Any, typ: str, device: str | None) -> dict[str, Any]:
        header = jwt.get_unverified_header(jws)
        assert header == {"alg": "ES256", "typ": typ} | ({"kid": device} if device else {})
        claims: dict[str, Any] = jwt.decode(
            jws,
            key,
            algorithms=["ES256"],
            audience=self.url,
            options={"verify_iat": False},  # the stories have a clock of their own
        )
        return claims

    # --- how it is reached

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path in self.lie:
            return await self.lie[request.path](request)
        assert request.content_type == "application/json"
        answers = {wire.ENROL_PATH: self._enrol, wire.NONCE_PATH: self._nonce, wire.REPORT_PATH: self._report}
        return await answers[request.path](json.loads(await request.read()))

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Recorder]:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(self.folder / "proxy.crt", self.folder / "proxy.key")
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            self.url = f"https://localhost:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()


def refused(detail: str, status: int = 403, reason: str = "device-refused") -> web.Response:
    """A refusal as the proxy writes it."""
    body = {
        "error": "What this device sent is not accepted",
        "reason": reason,
        "rule": "",
        "reference": "abc",
        "remedy": "Enrol the device again, or ask whoever runs this service.",
        "detail": detail,
    }
    return web.json_response(body, status=status)
