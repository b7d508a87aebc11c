"""The whole proxy in this process, on real sockets, with a witness behind it: `Stack`. One per test module.

Nothing is replaced: the worker is the one that `ostiary serve` runs, built from a configuration file, with a session
in its store. Its ticker is stopped, so that deadlines pass only when a test says so (`Stack.pass_time`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from recording_origin import RecordingOrigin
from strict_reader import Message
from wire_client import Client, settle

from proxy.app.worker import Worker
from proxy.model.identity import Identity
from proxy.net.downstream import Downstream
from proxy.pki import Authority
from proxy.pki.authority import new_key, private_pem
from proxy.settings.load import load

HOST = "app.test"
OTHER = "other.test"
LOGIN = "login.test"
_LISTENERS = ("clear", "tls", "redirect", "proxied")


@dataclass
class Setup:
    """What is not as usual: `limits`; `changes` to keys of routes, by name; further keys of the `configuration`, and of
    the `tls` of its listener; more `files` beside it."""

    limits: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    tls: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def staff() -> list[dict[str, Any]]:
    """The rule that admits who is logged in; a new one each time, because the configuration has no aliases."""
    return [{"name": "staff", "groups": ["staff"]}]


def routes(origin: str) -> list[dict[str, Any]]:
    """The routes of every stack: one app in several guises."""
    return [
        {"name": "app", "from": f"https://{HOST}", "to": origin, "allow": staff()},
        {"name": "forbidden", "from": f"https://{OTHER}", "to": origin, "allow": [{"name": "no", "groups": ["none"]}]},
        {"name": "public", "from": f"https://{HOST}/public", "to": origin, "public": True},
        {"name": "upload", "from": f"https://{HOST}/upload", "to": origin, "allow": staff(), "body_bytes": 1024},
        {
            "name": "sockets",
            "from": f"https://{HOST}/sockets",
            "to": origin,
            "allow": staff(),
            "websocket_origins": ["https://friend.test"],
        },
        {"name": "none", "from": f"https://{HOST}/plain", "to": origin, "allow": staff(), "upgrades": []},
        {
            "name": "stripped",
            "from": f"https://{HOST}/stripped",
            "to": origin,
            "allow": staff(),
            "strip_prefix": True,
            "host": "rewrite",
        },
        {
            "name": "edited",
            "from": f"https://{HOST}/edited",
            "to": origin,
            "allow": staff(),
            "request_headers": {"set": {"X-Environment": "production"}, "remove": ["X-Debug"]},
        },
        {
            "name": "dead",
            "from": f"https://{HOST}/dead",
            "to": "http://127.0.0.1:9",
            "allow": staff(),
        },
        {
            "name": "any-host",
            "from": "https://*.wild.test",
            "to": origin,
            "public": True,
        },
    ]


class Stack:
    """The proxy and its witness. `setup` says what a module changes about them, see `running`."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder = folder
        self.origin = RecordingOrigin()
        self._sockets = {name: _listening() for name in _LISTENERS}
        self.port, self.tls_port, self.redirect_port, self.proxied_port = (
            self._sockets[name].getsockname()[1] for name in _LISTENERS
        )
        self._write(setup)

    def _write(self, setup: Setup) -> None:
        now = time.time()
        authority = self.authority = Authority.create("test", now=now)
        issued = authority.server([HOST, OTHER, LOGIN, "*.wild.test"], now=now)
        files = {
            "ca.crt": authority.cert_pem,
            "site.crt": issued.cert_pem,
            "site.key": issued.key_pem,
            "assertion.key": private_pem(new_key()),
            **setup.files,
        }
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
            (self.folder / name).chmod(0o600)
        configuration: dict[str, Any] = {
            "listeners": [
                {"address": f"127.0.0.1:{self.port}", "cleartext": "proxy"},
                {
                    "address": f"127.0.0.1:{self.tls_port}",
                    "tls": {"certificates": [{"cert": "site.crt", "key": "site.key"}]},
                },
                {"address": f"127.0.0.1:{self.redirect_port}"},
                {
                    "address": f"127.0.0.1:{self.proxied_port}",
                    "cleartext": "proxy",
                    "trusted_proxies": ["127.0.0.0/30"],
                },
            ],
            "login": {"url": f"https://{LOGIN}"},
            "assertion": {"key": "assertion.key"},
            "state": "memory:",
            "audit": {"file": "audit.jsonl"},
            "routes": "routes/",
            "workers": 1,
        }
        configuration["listeners"][1]["tls"].update(setup.tls)
        configuration.update(setup.configuration)
        if setup.limits:
            configuration["limits"] = setup.limits
        (self.folder / "routes").mkdir()
        written = routes(f"http://127.0.0.1:{self.origin.port}")
        for route in written:
            route.update(setup.changes.get(str(route["name"]), {}))
        (self.folder / "routes" / "all.yaml").write_text(yaml.safe_dump({"routes": written}), "utf-8")
        (self.folder / "ostiary.yaml").write_text(yaml.safe_dump(configuration), "utf-8")

    async def start(self) -> None:
        """Start both and log somebody in."""
        await self.origin.start()
        settings = load(self.folder / "ostiary.yaml")
        addresses = [listener.address for listener in settings.configuration.listeners]
        sockets = dict(zip(addresses, self._sockets.values(), strict=True))
        self.worker = Worker(settings, sockets, 0)
        await self.worker.start()
        self.worker.ticker.stop()
        person = Identity(
            kind="person", subject="1", provider="corp", email="ann@example.com", groups=frozenset(("staff",))
        )
        live = await self.worker.sessions.create(person, "corp", b"", "", time.time())
        self.handle = await self.worker.sessions.new_handle(live.sid, HOST)
        self.other_handle = await self.worker.sessions.new_handle(live.sid, OTHER)

    async def close(self) -> None:
        """Stop both."""
        await self.worker.close()
        await self.origin.close()
        for sock in self._sockets.values():
            sock.close()

    async def connect(
        self,
        port: int | None = None,
        tls: str | None = None,
        *,
        window: int = 0,
        source: str = "127.0.0.1",
        pair: Path | None = None,
    ) -> Client:
        """A new connection. `tls` is the name to ask for ("" for none); `window` a small receive buffer; `pair` a file
        with the client's certificate and key."""
        sock = socket.socket()
        sock.bind((source, 0))
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port or (self.port if tls is None else self.tls_port)))
        if tls is None:
            _, client = await loop.create_connection(Client, sock=sock)
            return client
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.check_hostname = False
        if pair is not None:
            context.load_cert_chain(str(pair))
        _, client = await loop.create_connection(Client, sock=sock, ssl=context, server_hostname=tls)
        return client

    def fill(self, text: str) -> bytes:
        """Bytes written as Latin-1 text, with {host}, {cookie} {first} (both
        as lines), {other} (a handle for another host) and {kilobyte} filled in."""
        text = text.replace("{first}", "Host: {host}\r\nCookie: {cookie}\r\n")
        text = text.replace("{host}", HOST).replace("{cookie}", f"__Host-ostiary={self.handle}")
        text = text.replace("{other}", self.other_handle).replace("{kilobyte}", "." * 1024)
        return text.encode("latin-1")

    def request(self, line: str = "GET /x HTTP/1.1", fields: Iterable[str] = (), body: str = "") -> bytes:
        """A request of somebody who is logged in."""
        return self.fill("\r\n".join([line, "Host: {host}", "Cookie: {cookie}", *fields]) + "\r\n\r\n" + body)

    async def hang_up(self) -> None:
        """The app closes all connections to it."""
        for connection in list(self.origin.connections):
            connection.transport.abort()
        await settle()

    async def begin_anew(self) -> None:
        """No connection is left, and the origin has forgotten everything."""
        for left in self.downstreams:
            left.abort()
        await self.hang_up()
        self.origin.forget()
        self.origin.reading = True

    @property
    def downstreams(self) -> list[Downstream]:
        """The clients' connections as the proxy has them."""
        return [one for one in self.worker.ticker.watched if isinstance(one, Downstream)]

    def pass_time(self, seconds: float) -> None:
        """The clock of all deadlines goes on."""
        ticker = self.worker.ticker
        ticker.tick(max(ticker.now, time.monotonic()) + seconds)

    async def answered_as_ever(self, path: str = "/canary") -> Message:
        """The next person's request gets its own answer; returns what the origin saw of it."""
        self.origin.forget()
        client = await self.connect()
        await client.send(self.request(f"GET {path} HTTP/1.1"))
        response = await client.response()
        client.close()
        assert response is not None
        assert (response.status, response.body) == (200, f"answer to GET {path} HTTP/1.1".encode())
        assert len(self.origin.saw.requests) == 1
        return self.origin.saw.requests[0]


def _listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def running(folder: Path, setup: Setup | None = None) -> AsyncIterator[Stack]:
    """A started stack."""
    stack = Stack(folder, setup or Setup())
    await stack.start()
    try:
        yield stack
    finally:
        await stack.close()
