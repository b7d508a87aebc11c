"""The programs that are measured: one class per peer, started the same way, standing before the same upstream."""

from __future__ import annotations

import secrets
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import ClassVar

from loadtests.certificates import Certificates
from loadtests.login import log_in
from loadtests.processes import Fleet, free_port

HERE = Path(__file__).resolve().parent
HOST = "localhost"  # resolves everywhere, and may be named in SNI
APACHE_MODULES = Path("/usr/lib/apache2/modules")
PROVIDER_MODULES = HERE / "out" / "provider" / "node_modules"
BARE_COOKIE = "__Host-ostiary=" + "x" * 43  # as long as ours, so that everybody parses the same bytes


@dataclass(frozen=True)
class Stage:
    """What a target finds around it. `cpus` binds it; None leaves it to the scheduler."""

    fleet: Fleet
    folder: Path
    certificates: Certificates
    upstream: int
    echo: int
    workers: int = 1
    cpus: tuple[int, ...] | None = (0,)


class Target(ABC):
    """One proxy. After `start` it listens on `clear` and `tls`, and wants a client certificate on `mtls` (if set)."""

    name: ClassVar[str]
    title: ClassVar[str]
    authenticated: ClassVar[bool] = False
    many_websockets: ClassVar[bool] = True

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.clear = free_port()
        self.tls = free_port()
        self.mtls: int | None = None
        self.cookie = BARE_COOKIE
        self.host = HOST
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """What must be installed first, or None."""

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it listens. Raises CorrectnessError when it does not."""

    def port(self, tls: bool) -> int:
        """Its port, clear or TLS."""
        return self.tls if tls else self.clear

    def url(self, path: str, tls: bool) -> str:
        """What to give to wrk."""
        return f"{'https' if tls else 'http'}://{self.host}:{self.port(tls)}{path}"

    def authority(self, tls: bool) -> str:
        """What clients send as Host."""
        return f"{self.host}:{self.port(tls)}"

    def origin(self, tls: bool) -> str:
        """The origin of the app's own pages: what a browser sends with a WebSocket handshake."""
        return f"{'https' if tls else 'http'}://{self.authority(tls)}"

    def _launch(self, command: list[str | Path], within: float = 30) -> None:
        stage = self.stage
        name = f"{self.name}-{self.clear}"
        self.process = stage.fleet.start(name, command, port=self.clear, cpus=stage.cpus, within=within)

    def _configure(self, template: str, **more: object) -> Path:
        """Fill `@NAME@` in a file of `peers/` and write the result beside the other files of this run."""
        stage, certificates = self.stage, self.stage.certificates
        return fill(
            template,
            stage.folder,
            stem=f"{self.name}-{self.clear}",
            CLEAR=self.clear,
            TLS=self.tls,
            MTLS=self.mtls,
            UPSTREAM=stage.upstream,
            ECHO=stage.echo,
            WORKERS=stage.workers,
            CERT=certificates.cert,
            KEY=certificates.key,
            PAIR=certificates.pair,
            CA=certificates.ca,
            **more,
        )


class Nginx(Target):
    """The yardstick."""

    name, title = "nginx", "nginx, bare"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.mtls = free_port()

    @classmethod
    def missing(cls) -> str | None:
        return _program("nginx")

    def start(self) -> None:
        config = self._configure("nginx.conf")
        self._launch([which("nginx") or "nginx", "-c", config, "-e", "stderr"])


class HAProxy(Target):
    """Bare, HTTP mode."""

    name, title = "haproxy", "HAProxy, bare"

    @classmethod
    def missing(cls) -> str | None:
        return _program("haproxy")

    def start(self) -> None:
        self._launch([which("haproxy") or "haproxy", "-db", "-f", self._configure("haproxy.cfg")])


class Caddy(Target):
    """Bare, in Go."""

    name, title = "caddy", "Caddy, bare"

    @classmethod
    def missing(cls) -> str | None:
        return _program("caddy")

    def start(self) -> None:
        config = self._configure("Caddyfile")
        self._launch([which("caddy") or "caddy", "run", "--adapter", "caddyfile", "--config", config])


class Apache(Target):
    """Does the same job as we do, on one machine: authenticated against a real provider."""

    name, title = "apache", "Apache mod_auth_openidc, authenticated"
    authenticated = True
    many_websockets = False  # a thread each: 64 per process

    @classmethod
    def missing(cls) -> str | None:
        if not (APACHE_MODULES / "mod_auth_openidc.so").exists():
            return "libapache2-mod-auth-openidc"
        if not PROVIDER_MODULES.exists():
            return "npm oidc-provider"
        return _program("apache2") or _program("node")

    def start(self) -> None:
        stage, provider = self.stage, free_port()
        script = PROVIDER_MODULES.parent / "provider.mjs"
        callback = f"http://{HOST}:{self.clear}/oidc_cb"
        node: list[str | Path] = [which("node") or "node", script, str(provider), callback]
        stage.fleet.start(f"provider-{provider}", node, port=provider, cpus=(1,) if stage.cpus else None)
        config = self._configure(
            "apache.conf",
            MODULES=APACHE_MODULES,
            PROVIDER=provider,
            PASSPHRASE=secrets.token_hex(16),
            THREADS=64 * stage.workers,
            USER="www-data",
            GROUP="www-data",
        )
        self._launch([which("apache2") or "apache2", "-D", "FOREGROUND", "-f", config])
        self.cookie = log_in(f"http://{HOST}:{self.clear}/tiny")


PEERS: tuple[type[Target], ...] = (Nginx, HAProxy, Caddy, Apache)


def start_upstream(fleet: Fleet, folder: Path, workers: int, cpus: Iterable[int] | None) -> int:
    """Start the nginx everybody stands before; returns its port. `folder/www` holds what it serves."""
    port = free_port()
    config = fill("upstream.conf", folder, stem=f"upstream-{port}", PORT=port, WORKERS=workers)
    fleet.start(f"upstream-{port}", [which("nginx") or "nginx", "-c", config, "-e", "stderr"], port=port, cpus=cpus)
    return port


def fill(template: str, folder: Path, *, stem: str, **values: object) -> Path:
    """Write `peers/<template>` with its `@NAME@` replaced; each copy has a folder of its own for pids and the like."""
    own = folder / stem
    own.mkdir(exist_ok=True)
    own.chmod(0o755)
    text = (HERE / "peers" / template).read_text()
    for name, value in {"DIR": own, "WWW": folder / "www", "USER": "root", **values}.items():
        text = text.replace(f"@{name}@", str(value))
    path = own / template
    path.write_text(text)
    return path


def _program(name: str) -> str | None:
    return None if which(name) else name
