"""A stage for the login flow: the real control application, real sessions and real identity providers over sockets.

What stands in for something: `Browser` keeps cookies as browsers do (`__Host-` cookies per host) and follows redirects
and our pages on the way; `Stage.gateway_headers` does the gateway's part, from session cookie to `X-Ostiary-Session`.
"""

from __future__ import annotations

import contextlib
import html
import itertools
import logging
import re
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from web_settings import GRAFANA, LOGIN, TEAM, WIKI, route, settings

from proxy.assertion import Signer
from proxy.authn.factors import Factors
from proxy.authn.factors.memory import MemoryFactorStore
from proxy.authn.oidc import OidcProvider
from proxy.authn.saml import SamlProvider
from proxy.demo.idp.people import people
from proxy.demo.idp.provider import Provider as Idp
from proxy.demo.idp.server import make_application
from proxy.demo.programs import Registration
from proxy.devices.memory import MemoryDeviceStore
from proxy.devices.service import Devices
from proxy.gateway.admission import UNPROVED_PAGES
from proxy.model.identity import Certificate
from proxy.sessions.bus import Bus
from proxy.sessions.live import LiveSession
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.sessions.store import SessionStore, open_store
from proxy.settings import schema
from proxy.web.app import RUNNER_LIMITS, make_control
from proxy.web.context import WebContext
from proxy.web.endpoints import SESSION_COOKIE, backchannel, callback
from proxy.web.visibility import Visibility

__all__ = ["GRAFANA", "LOGIN", "TEAM", "WIKI", "route", "settings"]
NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html,*/*;q=0.8"}
_NEXT = re.compile(r'<a class="btn main" id="next" href="([^"]+)" data-step="(\w*)" data-attempt="([\w-]*)"')


class Clock:
    """The time of day, and whatever a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Answer:
    """What came back, and from where."""

    url: str
    status: int
    headers: aiohttp.typedefs.CIMultiDictProxy[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        return urljoin(self.url, self.headers.get("Location", ""))

    @property
    def query(self) -> dict[str, str]:
        """The query of the Location."""
        return dict(parse_qsl(urlsplit(self.location).query, keep_blank_values=True))

    def onward(self) -> tuple[str, str, str] | None:
        """(address, step, attempt) of a page on the way."""
        found = _NEXT.search(self.text)
        return (html.unescape(found[1]), found[2], found[3]) if found else None


class Stage:
    """Everything that stands on it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sealer = Sealer(b"k" * 32)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.idps: dict[str, Idp] = {}
        self.ports: dict[str, int] = {}
        self.settings: schema.Settings
        self.store: SessionStore
        self.sessions: Sessions
        self.factors: Factors
        self.devices: Devices
        self.http: aiohttp.ClientSession
        self.providers: dict[str, OidcProvider] = {}
        self.saml: dict[str, SamlProvider] = {}
        self.visible: list[schema.Route] | None = None
        self._references = itertools.count(1)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.ports['control']}"

    async def gateway_headers(
        self, host: str, cookies: dict[str, str], path: str = "", address: str = "192.0.2.7", certificate: str = ""
    ) -> dict[str, str]:
        """What the gateway adds: the session, if the handle is good on this host and its device shows itself; the
        certificate's fingerprint, "" for none, and the device it names."""
        headers = {"X-Ostiary-Client": address, "X-Ostiary-Reference": f"ref-{next(self._references)}"}
        shown = Certificate(sha256=certificate, serial="1", names=(), not_after=9e12, good_until=9e12)
        if certificate:
            headers["X-Ostiary-Certificate"] = certificate
            headers["X-Ostiary-Device"] = self.devices.of_certificate(shown)
        handle = cookies.get(SESSION_COOKIE, "").encode()
        if handle:
            found = self.sessions.cached(handle, host, self.clock()) or await self.sessions.load(handle, host)
            if isinstance(found, LiveSession):
                bound, presented = found.record.device, shown if certificate else None
                missing = self.devices.standing(bound, presented, address, self.clock())
                if missing is None or path in UNPROVED_PAGES:
                    headers["X-Ostiary-Session"] = found.sid
        return headers

    async def session_of(self, browser: Browser, origin: str) -> LiveSession | None:
        """The session this browser has on a host, as the gateway sees it."""
        host = urlsplit(origin).hostname or ""
        handle = browser.jar.get(host, {}).get(SESSION_COOKIE, "").encode()
        found = await self.sessions.load(handle, host) if handle else None
        return found if isinstance(found, LiveSession) else None

    def events_called(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.events if event == name]


@dataclass
class Browser:
    """One person's browser. `visited` lists the URLs of the last journey."""

    stage: Stage
    jar: dict[str, dict[str, str]] = field(default_factory=dict)
    visited: list[str] = field(default_factory=list)
    storage: dict[str, str] = field(default_factory=dict)
    factors: str = "one"  # how the person logs in at the demo provider: with one or two
    address: str = "192.0.2.7"
    certificate: str = ""  # SHA-256 of the client certificate it presents

    async def fetch(
        self, url: str, method: str = "GET", headers: dict[str, str] | None = None, data: Any = None
    ) -> Answer:
        """One request and its answer; cookies are kept."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        cookies = self.jar.setdefault(host, {})
        sent = dict(headers or {})
        if parts.hostname == "127.0.0.1":
            target = url
        else:
            target = self.stage.base + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            sent |= {"Host": parts.netloc} | await self.stage.gateway_headers(
                host, cookies, parts.path, self.address, self.certificate
            )
        passed = {name: value for name, value in cookies.items() if name != SESSION_COOKIE}
        if passed:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in passed.items())
        async with self.stage.http.request(
            method, aiohttp.typedefs.URL(target, encoded=True), headers=sent, data=data, allow_redirects=False
        ) as response:
            for line in response.headers.getall("Set-Cookie", []):
                _keep(cookies, line)
            return Answer(url, response.status, response.headers, await response.read())

    async def open(self, url: str, person: str = "alice") -> Answer:
        """Navigate like a person: redirects, our pages on the way, and the provider's login page."""
        self.visited = []
        fragment = urlsplit(url).fragment
        for _ in range(25):
            self.visited.append(url)
            answer = await self.fetch(url.partition("#")[0], headers=dict(NAVIGATE))
            if answer.status == 303:
                url = answer.location + ("" if "#" in answer.location or not fragment else f"#{fragment}")
            elif onward := answer.onward():
                url, step, attempt = onward
                if step == "out":
                    self.storage[attempt] = fragment
                    fragment = ""
                else:
                    fragment = self.storage.pop(attempt, "")
            elif 'name="interaction"' in answer.text:
                url = (await self.answer_provider(answer, person)).location
                fragment = ""
            else:
                answer.url = url.partition("#")[0] + (f"#{fragment}" if fragment else "")
                return answer
        raise AssertionError(f"no end: {self.visited}")

    async def answer_provider(self, page: Answer, person: str, choice: str = "login") -> Answer:
        """Fill in the demo provider's login page."""
        interaction = re.search(r'name="interaction" value="([^"]+)"', page.text)
        assert interaction
        issuer = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
        form = {"interaction": interaction[1], "person": person, "factors": self.factors, "answer": choice}
        return await self.fetch(f"{issuer}/login", "POST", {"Origin": issuer}, data=form)

    async def post(self, url: str, form: dict[str, str], site: str = "same-origin") -> Answer:
        """Send a form from a page of `site` (as Sec-Fetch-Site says it)."""
        return await self.fetch(url, "POST", {**NAVIGATE, "Sec-Fetch-Site": site}, data=form)

    async def until(self, url: str, part: str, headers: dict[str, str] | None = None) -> str:
        """Follow plain redirects until one leads to an address containing `part`; that address."""
        for _ in range(15):
            answer = await self.fetch(url, headers=headers)
            if 'name="interaction"' in answer.text:
                answer = await self.answer_provider(answer, "alice")
            assert answer.status == 303, answer.text
            url = answer.location
            if part in url:
                return url
        raise AssertionError(f"never came to {part}")


def _keep(cookies: dict[str, str], line: str) -> None:
    for name, morsel in SimpleCookie(line).items():
        if name.startswith("__Host-"):
            assert morsel["secure"], line
            assert morsel["path"] == "/", line
            assert not morsel["domain"], line
            assert morsel["httponly"], line
            assert morsel["samesite"] == "Lax", line
        if morsel["max-age"] == "0" or not morsel.value:
            cookies.pop(name, None)
        else:
            cookies[name] = morsel.value


def login_url(return_target: str, origin: str = WIKI, **more: str) -> str:
    return f"{origin}/.ostiary/login?{urlencode({'return': return_target} | more)}"


def signing_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@contextlib.asynccontextmanager
async def staged(*names: str, state: str = "memory:") -> AsyncIterator[Stage]:
    """A stage with these providers: corp, partner (both alive), dead (nobody listens)."""
    names = names or ("corp",)
    stage = Stage()
    async with contextlib.AsyncExitStack() as stack:
        stage.http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        for name in names:
            if name == "dead":
                stage.ports[name] = _closed_port()
            else:
                await _start_idp(stage, stack, name)
        stage.settings = settings(stage.ports, names)
        for provider in stage.settings.configuration.login.providers:
            stage.providers[provider.name] = OidcProvider(provider, b"secret", stage.http, stage.clock)
        await _start_sessions(stage, stack, state)
        signer = Signer([signing_key()], LOGIN)
        visible = Visibility(lambda: stage.settings, stage.clock)
        context = WebContext(
            settings=lambda: stage.settings,
            sessions=stage.sessions,
            providers=lambda: stage.providers,
            saml=lambda: stage.saml,
            sealer=stage.sealer,
            signer=lambda: signer,
            clock=stage.clock,
            visible=lambda identity, address: visible(identity, address) if stage.visible is None else stage.visible,
            log=logging.getLogger("test.web"),
            factors=stage.factors,
            devices=stage.devices,
            record=lambda event, **fields: stage.events.append((event, fields)),
        )
        stage.ports["control"] = await _serve(stack, make_control(context))
        yield stage


async def _start_idp(stage: Stage, stack: contextlib.AsyncExitStack, name: str) -> None:
    async def notify(uri: str, token: str) -> int:
        browser = Browser(stage)
        return (await browser.fetch(uri, "POST", data={"logout_token": token})).status

    port = _closed_port()
    client = Registration(
        client_id="ostiary",
        client_secret="secret",
        redirect_uris=(LOGIN + callback(name),),
        post_logout_redirect_uris=(f"{LOGIN}/.ostiary/logged-out",),
        backchannel_logout_uri=LOGIN + backchannel(name),
    )
    idp = Idp(f"http://127.0.0.1:{port}", client, people(), clock=stage.clock, notify=notify)
    stage.idps[name] = idp
    stage.ports[name] = await _serve(stack, make_application(idp), port)


async def _start_sessions(stage: Stage, stack: contextlib.AsyncExitStack, state: str) -> None:
    stage.store = open_store(state)
    stack.push_async_callback(stage.store.close)
    bus = Bus(stage.store, None, clock=stage.clock)
    configured = stage.settings.configuration.sessions
    stage.sessions = Sessions(stage.store, bus, stage.sealer, configured, clock=stage.clock)
    stage.factors = Factors(
        MemoryFactorStore(), stage.sealer, stage.settings.configuration.login, stage.clock, stage.store.consume
    )
    stage.devices = Devices(
        MemoryDeviceStore(),
        stage.settings.configuration.devices,
        stage.sealer,
        stage.clock,
        stage.sessions.announce_device,
        stage.store.consume,
        stage.sessions.end_of_device,
        audience=LOGIN,
    )
    stage.sessions.device_changed = stage.devices.changed
    await stage.sessions.start()
    stack.push_async_callback(stage.sessions.close)


async def _serve(stack: contextlib.AsyncExitStack, application: web.Application, port: int = 0) -> int:
    runner = web.AppRunner(application, shutdown_timeout=0.1, **RUNNER_LIMITS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    address = runner.addresses[0]
    return int(address[1])


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
