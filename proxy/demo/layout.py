"""Where the demo lives: its ports, its folders, its copy of the example configuration."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

import msgspec

LOOPBACK = "127.0.0.1"
PROVIDER = "demo"  # the provider's name in the example configuration
PARTNER = "partner"  # the partner company's
CLIENT_ID = "ostiary"
APPS = ("headers", "live", "api")
_BUNDLED = Path(__file__).with_name("example")  # put there when the package is built
_IN_TREE = Path(__file__).parents[2] / "config"


class DemoError(Exception):
    """The demo cannot go on. The message says why, and what to do."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Every port, with the one the example configuration is written for."""

    https: int = 8443
    http: int = 8080
    admin: int = 9901
    idp: int = 9000
    partner: int = 9001
    ci: int = 9002
    headers: int = 3001
    live: int = 3002
    api: int = 3003

    def all(self) -> dict[str, int]:
        """By name."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


_USE = {
    "https": ("the proxy", "--port"),
    "http": ("the proxy's redirect to https", "--http-port"),
    "admin": ("the proxy's admin address", "--admin-port"),
    "idp": ("the identity provider", "--idp-port"),
    "partner": ("the partner company's identity provider", "--idp-port"),
    "ci": ("the CI system", "--idp-port"),
    "headers": ("the sample app “headers”", "--apps-port"),
    "live": ("the sample app “live”", "--apps-port"),
    "api": ("the sample app “api”", "--apps-port"),
}


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Paths and addresses of one demo."""

    home: Path
    ports: Ports

    @property
    def config(self) -> Path:
        """The configuration the proxy is started with."""
        return self.home / "config" / "ostiary.yaml"

    @property
    def certs(self) -> Path:
        """Where keys and certificates are."""
        return self.home / "certs"

    @property
    def secret(self) -> Path:
        """Where the provider's client secret is."""
        return self.home / "var" / "demo-client-secret"

    @property
    def trust(self) -> Path:
        """The authority that clients of the proxy trust."""
        return self.certs / "servers-ca.crt"

    @property
    def issuer(self) -> str:
        """The identity provider. An address, not a name: every browser and every resolver knows it."""
        return f"http://{LOOPBACK}:{self.ports.idp}"

    @property
    def partner(self) -> str:
        """The partner company's identity provider."""
        return f"http://{LOOPBACK}:{self.ports.partner}"

    @property
    def ci(self) -> str:
        """The CI system."""
        return f"http://{LOOPBACK}:{self.ports.ci}"

    @property
    def admin(self) -> str:
        """The proxy's admin address."""
        return f"http://{LOOPBACK}:{self.ports.admin}"

    def url(self, name: str) -> str:
        """The origin of a host below apps.localhost."""
        return f"https://{name}.apps.localhost:{self.ports.https}"


def prepare(home: Path, ports: Ports) -> Layout:
    """Make the folders and, where there is none, the configuration. Raises DemoError.

    With the usual ports the configuration in `home` is used as it is, so that editing it is part of trying. With
    others, the example is copied to `home/var/demo-PORT/` with the ports replaced; certificates are shared.
    """
    own = home / "config" / "ostiary.yaml"
    if ports == Ports():
        if not own.exists():
            _copy_example(own.parent, ports)
        layout = Layout(home=home, ports=ports)
    else:
        elsewhere = home / "var" / f"demo-{ports.https}"
        _copy_example(elsewhere / "config", ports)
        (home / "certs").mkdir(parents=True, exist_ok=True)
        shared = elsewhere / "certs"
        if not shared.is_symlink():
            shared.symlink_to((home / "certs").resolve(), target_is_directory=True)
        layout = Layout(home=elsewhere, ports=ports)
    layout.certs.mkdir(parents=True, exist_ok=True)
    layout.secret.parent.mkdir(parents=True, exist_ok=True)
    return layout


def example() -> Path:
    """The folder of the commented example configuration. Raises DemoError."""
    for folder in (_BUNDLED, _IN_TREE):
        if (folder / "ostiary.yaml").is_file():
            return folder
    raise DemoError("the example configuration is missing from this installation: install Ostiary again")


def _copy_example(target: Path, ports: Ports) -> None:
    source = example()
    if target.exists():
        shutil.rmtree(target)
    renamed = {str(old): str(new) for old, new in zip(Ports().all().values(), ports.all().values(), strict=True)}
    pattern = re.compile(r"(?<=:)(" + "|".join(renamed) + r")\b")
    for file in sorted(source.rglob("*.yaml")):
        text = pattern.sub(lambda match: renamed[match[1]], file.read_text("utf-8"))
        written = target / file.relative_to(source)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(text, "utf-8")


def refuse_taken(ports: Ports) -> None:
    """Raise DemoError when a port is in use, naming what wanted it and how to choose another."""
    for name, port in ports.all().items():
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((LOOPBACK, port))
                probe.listen(1)
        except OSError as error:
            what, option = _USE[name]
            raise DemoError(
                f"port {port} on {LOOPBACK} cannot be used for {what}: {error.strerror}. "
                f"Stop what holds it, or choose another with {option}; --free-ports chooses all of them"
            ) from error


def free_ports() -> Ports:
    """Ports that nobody used a moment ago."""
    names = Ports.__struct_fields__
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return Ports(**{name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)})
    finally:
        for probe in probes:
            probe.close()
