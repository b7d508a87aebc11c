"""Ostiary as one more target: configured as a company would (policy, assertion, audit, metrics on), a session at hand.

Configuration files are JSON, which is YAML. The session is written through `proxy.sessions` before the proxy starts,
so requests are authenticated by cookie without a provider having to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from loadtests.certificates import SERVICE, assertion_key
from loadtests.processes import CorrectnessError, free_port
from loadtests.targets import Stage, Target
from proxy.model.identity import Identity
from proxy.sessions.session import SessionRecord, hashed
from proxy.sessions.store import open_store

# `make bench` names the environment that holds the compiled wheel; PYTHONSAFEPATH keeps the checkout out of it.
PYTHON = os.path.abspath(os.environ.get("OSTIARY_PYTHON", sys.executable))  # noqa: PTH100  # a symbolic link stays one
_SAFE = {"PYTHONSAFEPATH": "1"} if "OSTIARY_PYTHON" in os.environ else {}

Size = Literal["few", "many", "rules"]
ROUTES = 10_000
RULES = 1_000
_PREFIXES = 100  # routes of the hit host, when there are many


class Ostiary(Target):
    """The proxy under test, started as `ostiary serve`. `size` says how many routes and rules it has."""

    name, title = "ostiary", "Ostiary, authenticated"
    authenticated = True
    keep_audit = 2  # rotated files; the soak reads them all and keeps more

    def __init__(self, stage: Stage, size: Size = "few", environment: Mapping[str, str] | None = None) -> None:
        super().__init__(stage)
        self.size = size
        self.environment = environment
        self.mtls = free_port()
        self.admin = free_port()
        self.provider = free_port()
        self.folder = stage.folder / f"ostiary-{self.clear}"
        self.audit = self.folder / "audit.jsonl"
        self.config = self.folder / "ostiary.yaml"
        self.state = f"sqlite:{self.folder / 'state.db'}"

    @classmethod
    def missing(cls) -> str | None:
        return None

    def authority(self, tls: bool) -> str:
        """The same everywhere: in front of the clear listener something ends TLS for the https origin."""
        del tls
        return f"{self.host}:{self.tls}"

    def origin(self, tls: bool) -> str:
        del tls
        return f"https://{self.host}:{self.tls}"

    def start(self) -> None:
        self.folder.mkdir(mode=0o700)
        (self.folder / "routes").mkdir()
        _write(self.folder / "routes" / "apps.yaml", {"routes": self.routes()})
        _write(self.config, self._configuration())
        self.cookie, _ = asyncio.run(make_session(self.state, self.host))
        stage = self.stage
        self.process = stage.fleet.start(
            f"ostiary-{self.clear}",
            [PYTHON, "-m", "proxy", "serve", "--config", self.config],
            port=self.clear,
            cpus=stage.cpus,
            environment={**_SAFE, **(self.environment or {})},
            within=60,
        )
        self._await_ready(120)

    def _await_ready(self, within: float) -> None:
        """The listening sockets are there before the workers are: ask for readiness. Raises CorrectnessError."""
        deadline = time.monotonic() + within
        assert self.process is not None
        while time.monotonic() < deadline and self.process.poll() is None:
            url = f"http://127.0.0.1:{self.admin}/readyz"
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        log = (self.stage.folder / f"ostiary-{self.clear}.log").read_text(errors="replace")[-2000:]
        raise CorrectnessError(f"Ostiary is not ready after {within:.0f} s; it said:\n{log}")

    def _configuration(self) -> dict[str, Any]:
        made = self.stage.certificates
        pair = [{"cert": str(made.cert), "key": str(made.key)}]
        asking = {"certificates": pair, "client_ca": str(made.ca), "client_certificate": "required"}
        return {
            "listeners": [
                {"address": f"127.0.0.1:{self.clear}", "cleartext": "proxy"},
                {"address": f"127.0.0.1:{self.tls}", "tls": {"certificates": pair}},
                {"address": f"127.0.0.1:{self.mtls}", "tls": asking},
            ],
            "login": {
                "url": f"https://login.bench.localhost:{self.tls}",
                # Nobody listens there: the session is in the store already, and nobody logs in.
                "providers": [
                    {"name": "corp", "issuer": f"http://127.0.0.1:{self.provider}", "client_id": "load-tests"}
                ],
            },
            "assertion": {"key": str(assertion_key(self.folder))},
            "state": self.state,
            "audit": {"file": str(self.audit), "keep": self.keep_audit},
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "limits": {"shutdown": "3s"},
            "workers": self.stage.workers,
        }

    def routes(self) -> list[dict[str, Any]]:
        """What is written into the routes folder; the last one is hit by the requests of the benchmark."""
        app = f"http://127.0.0.1:{self.stage.upstream}"
        here = f"https://{self.host}:{self.tls}"
        routes: list[dict[str, Any]] = [
            {
                "name": "live",
                "from": f"{here}/ws",
                "to": f"http://127.0.0.1:{self.stage.echo}",
                "upstream_connections": 10_000,
                "timeouts": {"idle": "1h"},
                "allow": policy()["allow"],
            },
            {"name": "admin", "from": f"{here}/admin", "to": app, "allow": [{"name": "admins", "groups": ["admin"]}]},
        ]
        hit = {"name": "app", "from": here, "to": app, **policy()}
        if self.size == "rules":
            hit["allow"] = [*_other_rules(RULES - 3), *policy()["allow"]]
        if self.size == "many":
            each = RULES // _PREFIXES
            hit["allow"] = [*_other_rules(each - 3), *policy()["allow"]]
            routes += [
                {"name": f"part-{number}", "from": f"{here}/part-{number}", "to": app, "allow": _other_rules(each)}
                for number in range(_PREFIXES - 1)
            ]
        if self.size != "few":
            routes += [
                {
                    "name": f"other-{number}",
                    "from": f"https://app-{number}.bench.localhost:{self.tls}",
                    "to": app,
                    "allow": [{"name": "team", "groups": [f"team-{number}"]}],
                }
                for number in range(ROUTES - len(routes) - 1)
            ]
        return [*routes, hit]


def policy() -> dict[str, list[dict[str, Any]]]:
    """Who may do what with the app: groups, methods, paths, a service, and one network nobody may come from."""
    return {
        "allow": [
            {"name": "load-service", "services": [SERVICE], "paths": ["/page", "/tiny"]},
            {"name": "engineers-write", "groups": ["eng"], "methods": ["POST"], "paths": ["/upload", "/ws/**"]},
            {"name": "engineers-read", "groups": ["eng", "sre"], "methods": ["GET", "HEAD"]},
        ],
        "deny": [{"name": "not-from-the-guest-network", "networks": ["10.9.0.0/16"]}],
    }


def _other_rules(count: int) -> list[dict[str, Any]]:
    return [
        {"name": f"team-{number}", "groups": [f"team-{number}"], "methods": ["GET"], "paths": [f"/team-{number}/**"]}
        for number in range(count)
    ]


async def make_session(state: str, host: str) -> tuple[str, str]:
    """Write a session of one engineer into the store, handed to `host`; returns its cookie and its `sid`."""
    now = time.time()
    sid = secrets.token_hex(16)
    identity = Identity(
        kind="person",
        subject="u-1842",
        provider="corp",
        email="alice@example.com",
        name="Alice Example",
        groups=frozenset({"eng", "staff", "oncall"}),
        session=sid,
        auth_time=now,
        amr=("pwd", "otp"),
    )
    record = SessionRecord(
        sid=sid,
        identity=identity,
        provider="corp",
        provider_sid="",
        created=now,
        authenticated_at=now,
        expires=now + 12 * 3600,
        last_seen=now,
        refresh_at=float("inf"),
    )
    handle = secrets.token_urlsafe(32)
    store = open_store(state)
    try:
        await store.create(record)
        await store.add_handle(hashed(handle.encode()), sid, host, record.expires)
    finally:
        await store.close()
    return f"__Host-ostiary={handle}", sid


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document, indent=1))
    return path
