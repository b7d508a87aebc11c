"""A company in a folder: certificates, a configuration, an app, an identity provider, and the proxy before them.

`World` writes the files; `Inside` runs one worker of the proxy in this process, on ephemeral ports. Nothing is faked:
the certificates are those of `ostiary certs`, the provider that of the demo, the worker the one `ostiary serve` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from scenario_app import App, serving
from scenario_http import PATIENCE, Answer, Headers, Line, trusting

from proxy.app.worker import Worker
from proxy.demo.idp.people import Person, people
from proxy.demo.idp.provider import Provider as Idp
from proxy.demo.idp.server import make_application
from proxy.demo.programs import Registration
from proxy.model.identity import Identity
from proxy.net.sockets import bind
from proxy.pki import CertificateFolder
from proxy.pki.authority import new_key, private_pem
from proxy.settings.load import load
from proxy.web.endpoints import SESSION_COOKIE, backchannel, callback

CUT = 2.0  # seconds in which a stream must end: the promised second, and what a busy machine adds
LIFE = {"ann": ["engineering"], "bob": ["sales"], "sam": ["engineering", "sre"]}
SECRET = "secret of the stage"
_POLL = 0.01


async def eventually(condition: Callable[[], object], what: str, within: float = PATIENCE) -> Any:
    """Wait until `condition()` is true (and return it), at most `within` seconds."""
    until = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {within} s: {what}"
        await asyncio.sleep(_POLL)
    return found


async def eventually_so(condition: Callable[[], Awaitable[object]], what: str, within: float = PATIENCE) -> Any:
    """The same for a condition that must be awaited."""
    until = time.monotonic() + within
    while not (found := await condition()):
        assert time.monotonic() < until, f"not within {within} s: {what}"
        await asyncio.sleep(_POLL)
    return found


def make_certificates(folder: Path) -> None:
    """What `ostiary certs init` and friends make; once for all stories."""
    now = time.time()
    certs = CertificateFolder(folder)
    certs.init(now=now, name="test")
    certs.server(["*.apps.test", "login.apps.test"], now=now, file="apps")
    certs.server(["*.teams.test", "inner.test"], now=now, file="teams")
    certs.spiffe("spiffe://example.org/billing", now=now, file="billing")
    certs.client("backup.example.org", now=now, file="backup")
    (folder / "assertion.key").write_bytes(private_pem(new_key()))
    (folder / "assertion.key").chmod(0o600)


class _Plain(yaml.SafeDumper):
    """Without anchors and aliases, which the configuration does not allow."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class World:
    """The files of one proxy, and how to talk to it. `https` and `http` are its ports."""

    def __init__(self, folder: Path, certificates: Path, *, https: int, http: int) -> None:
        self.folder = folder
        self.https = https
        self.http = http
        self.certs = folder / "certs"
        shutil.copytree(certificates, self.certs)
        self.authorities = CertificateFolder(self.certs)
        self.routes: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {
            "listeners": [
                {
                    "address": f"127.0.0.1:{https}",
                    "tls": {
                        "certificates": [
                            {"cert": f"certs/{name}.crt", "key": f"certs/{name}.key"} for name in ("apps", "teams")
                        ],
                        "client_ca": "certs/clients-ca.crt",
                        "client_crl": ["certs/clients.crl"],
                    },
                },
                {"address": f"127.0.0.1:{http}"},
            ],
            "login": {"url": self.origin("login")},
            "assertion": {"key": "certs/assertion.key"},
            "state": "sqlite:var/state.db",
            "audit": {"file": "var/audit.jsonl"},
            "admin": {"address": f"127.0.0.1:{free_port()}"},
            "routes": "routes/",
        }

    # --- the configuration

    def origin(self, name: str) -> str:
        host = name if "." in name else f"{name}.apps.test"
        return f"https://{host}:{self.https}"

    def route(self, name: str, to: str | Sequence[Any] | None, *, at: str = "", prefix: str = "", **more: Any) -> None:
        """Add a route on `name`.apps.test (or `at`); engineering may use it unless `allow`, `public`… say otherwise."""
        found: dict[str, Any] = {"name": name, "from": self.origin(at or name) + prefix}
        if to is not None:
            found["to"] = to
        if "allow" not in more and not more.get("public"):
            found["allow"] = [{"name": "engineers", "groups": ["engineering"]}]
        self.routes.append(found | more)

    def provider(self, idp: Idp, **more: Any) -> None:
        """Log in at this provider, called corp."""
        secret = self.folder / "client-secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        entry = {"name": "corp", "issuer": idp.issuer, "client_id": "ostiary"}
        self.config["login"]["providers"] = [entry | {"client_secret": {"file": "client-secret"}} | more]

    @property
    def path(self) -> Path:
        return self.folder / "ostiary.yaml"

    def write(self) -> Path:
        """Write the files as they should be now."""
        (self.folder / "routes").mkdir(exist_ok=True)
        self.path.write_text(yaml.dump(self.config, Dumper=_Plain, sort_keys=False))
        (self.folder / "routes" / "apps.yaml").write_text(
            yaml.dump({"routes": self.routes}, Dumper=_Plain, sort_keys=False)
        )
        return self.path

    # --- the record

    def lines(self, **wanted: Any) -> list[dict[str, Any]]:
        """The lines of the record that say all of `wanted`."""
        file = self.folder / "var" / "audit.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]

    async def recorded(self, **wanted: Any) -> dict[str, Any]:
        """Wait for a line that says all of `wanted`; the last of them."""
        await eventually(lambda: self.lines(**wanted), f"a line of the record with {wanted}")
        return self.lines(**wanted)[-1]

    # --- talking to it

    def host(self, name: str) -> str:
        return f"{name if '.' in name else f'{name}.apps.test'}:{self.https}"

    def tls(self, service: str | None = None) -> ssl.SSLContext:
        """A client's TLS, perhaps with the certificate in certs/`service`.crt."""
        own = (str(self.certs / f"{service}.crt"), str(self.certs / f"{service}.key")) if service else (None, None)
        return trusting(str(self.certs / "servers-ca.crt"), *own)

    async def line(self, name: str, service: str | None = None) -> Line:
        """A connection to the proxy for one of its hosts."""
        return await Line.open(self.https, self.tls(service), self.host(name).partition(":")[0])

    async def ask(
        self,
        name: str,
        target: str = "/",
        *,
        method: str = "GET",
        headers: Headers = (),
        body: bytes | None = None,
        service: str | None = None,
        cookie: str | None = None,
    ) -> Answer:
        """One request on a connection of its own, as a program sends it."""
        more = [("Cookie", cookie)] if cookie else []
        async with await self.line(name, service) as line:
            return await line.request(method, target, self.host(name), [*headers, *more], body)


class Inside(World):
    """A world whose proxy is one worker in this process."""

    worker: Worker

    async def login(self, who: str, *names: str, email: str = "") -> dict[str, str]:
        """A session for `who`, without the provider: app name → value of the Cookie header."""
        identity = Identity(
            kind="person",
            subject=who,
            provider="corp",
            email=email or f"{who}@example.com",
            groups=frozenset(LIFE[who]),
            auth_time=time.time(),
        )
        sessions = self.worker.sessions
        live = await sessions.create(identity, "corp", b"", secrets.token_hex(4), time.time())
        hosts = {name: self.host(name).partition(":")[0] for name in names}
        return {name: f"{SESSION_COOKIE}={await sessions.new_handle(live.sid, host)}" for name, host in hosts.items()}

    async def sids(self) -> list[str]:
        return [one.record.sid for one in await self.worker.sessions.store.list()]

    def reload(self) -> None:
        """Put the files as they are now into force."""
        self.worker.prepare(load(self.write()))
        self.worker.commit()


@contextlib.asynccontextmanager
async def opened(folder: Path, certificates: Path) -> AsyncIterator[Inside]:
    """A world without a running proxy yet; `running` starts it."""
    sockets = [bind("127.0.0.1:0", 1)[0] for _ in range(2)]
    https, http = (one.getsockname()[1] for one in sockets)
    world = Inside(folder, certificates, https=https, http=http)
    world.sockets = {f"127.0.0.1:{https}": sockets[0], f"127.0.0.1:{http}": sockets[1]}
    try:
        yield world
    finally:
        for one in sockets:
            one.close()


@contextlib.asynccontextmanager
async def running(world: Inside) -> AsyncIterator[Inside]:
    """Start the worker with the files as they are described now."""
    world.worker = Worker(load(world.write()), world.sockets, 0)
    await world.worker.start()
    try:
        yield world
    finally:
        await world.worker.close()


class Corp:
    """The company's identity provider, on a real socket; may be stopped and started again on the same port."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.port = free_port()
        client = Registration(
            client_id="ostiary",
            client_secret=SECRET,
            redirect_uris=(world.origin("login") + callback("corp"),),
            post_logout_redirect_uris=(world.origin("login") + "/.ostiary/logged-out",),
            backchannel_logout_uri=world.origin("login") + backchannel("corp"),
        )
        self.staff: dict[str, Person] = people()
        self.idp = Idp(f"http://127.0.0.1:{self.port}", client, self.staff, clock=time.time, notify=self._notify)
        self.told: list[int] = []
        self._runner: web.AppRunner | None = None

    async def _notify(self, uri: str, token: str) -> int:
        path = "/" + uri.split("/", 3)[3]
        form = f"logout_token={token}".encode()
        kind = [("Content-Type", "application/x-www-form-urlencoded")]
        answer = await self.world.ask("login", path, method="POST", headers=kind, body=form)
        self.told.append(answer.status)
        return answer.status

    async def start(self) -> None:
        self._runner = web.AppRunner(make_application(self.idp), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def employed(world: World, **more: Any) -> AsyncIterator[Corp]:
    """A provider that this world logs in at."""
    corp = Corp(world)
    await corp.start()
    world.provider(corp.idp, **more)
    try:
        yield corp
    finally:
        await corp.stop()


__all__ = [
    "CUT",
    "LIFE",
    "App",
    "Corp",
    "Inside",
    "World",
    "employed",
    "eventually",
    "eventually_so",
    "free_port",
    "make_certificates",
    "opened",
    "running",
    "serving",
]
