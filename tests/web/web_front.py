"""A small TLS front before the stage, so that a real browser can walk through it: the gateway's part, no more."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from web_stage import Stage

from proxy.web.endpoints import PORTAL, PREFIX, SESSION_COOKIE, challenge_location

_RELAYED = ("Accept", "Host", "Origin", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Content-Type")


@contextlib.asynccontextmanager
async def fronted(stage: Stage, folder: Path) -> AsyncIterator[int]:
    """The port on 127.0.0.1 at which every host of the stage answers over TLS."""

    async def handle(request: web.Request) -> web.Response:
        host = request.host.partition(":")[0]
        cookies = dict(request.cookies)
        added = await stage.gateway_headers(host, cookies)
        ours = request.path.startswith(PREFIX) or (host == "login.apps.test" and request.path == PORTAL)
        if ours:
            return await _relay(stage, request, cookies, added)
        if "X-Ostiary-Session" not in added:
            location = challenge_location(host, request.raw_path)
            return web.Response(status=303, headers={"Location": location})
        return web.Response(text=f"<title>app</title><h1>{host} {request.raw_path}</h1>", content_type="text/html")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_tls(folder)).start()
    yield int(runner.addresses[0][1])
    await runner.cleanup()


async def _relay(stage: Stage, request: web.Request, cookies: dict[str, str], added: dict[str, str]) -> web.Response:
    headers = {name: request.headers[name] for name in _RELAYED if name in request.headers} | added
    headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items() if name != SESSION_COOKIE)
    url = aiohttp.typedefs.URL(stage.base + request.raw_path, encoded=True)
    body = await request.read()
    async with stage.http.request(
        request.method, url, headers=headers, data=body or None, allow_redirects=False
    ) as answer:
        fields = answer.headers.copy()
        fields.popall("Content-Length", None)
        return web.Response(status=answer.status, headers=fields, body=await answer.read())


def _tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stage")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.apps.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "stage.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
