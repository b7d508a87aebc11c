"""Starts Keycloak on loopback, and asks it what an administrator would: a realm, clients, who is logged in."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import string
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from install_keycloak import HOME, is_installed
from scenario_world import free_port

HERE = Path(__file__).parent
REALM = "partner"
START = 90.0  # seconds; it takes fifteen when nothing else runs
_MEMORY = "-Xms64m -Xmx384m"
_JAVA = "-XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # a short life on a shared machine


def require_keycloak() -> None:
    """Without it these tests are skipped aloud, and fail where CI=true says they must run."""
    if is_installed() and shutil.which("java"):
        return
    text = "Keycloak is not installed: run `make test-keycloak` (needs Java 17 or later, and Maven)"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class Keycloak:
    """The server with the realm `partner`. It finds `*.apps.test` on loopback and trusts the test's authority, so what
    it says to the proxy directly (back-channel logout) really goes there."""

    def __init__(self, folder: Path, authority: Path) -> None:
        self._folder, self._authority = folder, authority
        self._password = secrets.token_urlsafe(24)
        self.origin = f"http://127.0.0.1:{free_port()}"
        self.issuer = f"{self.origin}/realms/{REALM}"
        self.log = folder / "keycloak.log"

    @property
    def saml_metadata(self) -> str:
        return f"{self.issuer}/protocol/saml/descriptor"

    def __enter__(self) -> Self:
        require_keycloak()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, env=self._environment(), start_new_session=True
            )
        try:
            until = time.monotonic() + START
            while not self._answers():
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < until, self.log.read_text()
                time.sleep(0.2)
            asyncio.run(self.admin("POST", "", json.loads((HERE / "keycloak_realm.json").read_text())))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # its shell and its Java: a group of their own
            self._process.wait()

    def _command(self) -> list[str]:
        port = self.origin.rpartition(":")[2]
        return [
            *(str(HOME / "bin" / "kc.sh"), "start", "--optimized", "--cache=local", "--log-level=warn"),
            *("--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={port}", f"--hostname={self.origin}"),
            f"--truststore-paths={self._authority}",
        ]

    def _environment(self) -> dict[str, str]:
        hosts = self._folder / "hosts"
        hosts.write_text("127.0.0.1 localhost login.apps.test\n")
        return {
            **os.environ,
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self._password,
            "JAVA_OPTS_KC_HEAP": _MEMORY,
            "JAVA_OPTS_APPEND": f"{_JAVA} -Djdk.net.hosts.file={hosts}",
        }

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.origin}/realms/master", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    # --- what its administrator does

    async def admin(self, method: str, path: str, body: object = None, *, kind: str = "application/json") -> Any:
        """Ask the admin API below `/admin/realms`; `path` "" is the list of realms."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": self._password}
        data = body if isinstance(body, str) else None if body is None else json.dumps(body)
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{self.origin}/realms/master/protocol/openid-connect/token", data=form) as response:
                headers = {"Authorization": f"Bearer {(await response.json())['access_token']}", "Content-Type": kind}
            url = f"{self.origin}/admin/realms{path}"
            async with http.request(method, url, headers=headers, data=data) as response:
                text = await response.text()
                assert response.status < 300, f"{method} {path}: {response.status} {text}"
                return json.loads(text) if text else None

    async def add_oidc_client(self, login: str) -> None:
        """Make us a client over OpenID Connect, with our login host at `login`."""
        await self._add(self._template(login)["oidc"])

    async def add_saml_client(
        self, metadata: str, login: str, *, attributes: dict[str, str] | None = None, **more: Any
    ) -> None:
        """Make us a client as an administrator does: by importing our metadata. The rest is what they change in it."""
        read = await self.admin("POST", f"/{REALM}/client-description-converter", metadata, kind="application/xml")
        read["attributes"] |= attributes or {}
        await self._add(read | self._template(login)["saml"] | more)

    async def _add(self, client: dict[str, Any]) -> None:
        """In place of one of that name, which another test left."""
        for known in await self.admin("GET", f"/{REALM}/clients"):
            if known["clientId"] == client["clientId"]:
                await self.admin("DELETE", f"/{REALM}/clients/{known['id']}")
        await self.admin("POST", f"/{REALM}/clients", client)

    def _template(self, login: str) -> dict[str, Any]:
        text = (HERE / "keycloak_clients.json").read_text()
        filled: dict[str, Any] = json.loads(string.Template(text).substitute(login=login))
        return filled

    async def end_sessions(self, username: str) -> None:
        """What the administrator's “sign out” does: the user's sessions end, and their apps are told directly."""
        [user] = await self.admin("GET", f"/{REALM}/users?exact=true&username={username}")
        await self.admin("POST", f"/{REALM}/users/{user['id']}/logout")

    async def change_group(self, username: str, group: str, *, member: bool) -> None:
        """Put somebody into a group, or take them out."""
        [user] = await self.admin("GET", f"/{REALM}/users?exact=true&username={username}")
        [found] = [one for one in await self.admin("GET", f"/{REALM}/groups") if one["name"] == group]
        await self.admin("PUT" if member else "DELETE", f"/{REALM}/users/{user['id']}/groups/{found['id']}")

    async def sessions(self, username: str) -> int:
        """How many sessions somebody has there."""
        [user] = await self.admin("GET", f"/{REALM}/users?exact=true&username={username}")
        return len(await self.admin("GET", f"/{REALM}/users/{user['id']}/sessions"))
