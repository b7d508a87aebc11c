"""The whole product as it is shipped, as programs of their own: what an employee's browser talks to.

`Demo` is `ostiary demo` in an empty folder. `Branch` is the same company with two identity providers, put together
from the demo's programs so that each can be stopped by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from proxy.demo import certificates
from proxy.demo.children import Child, Children
from proxy.demo.layout import APPS, LOOPBACK, Layout, Ports, free_ports, prepare
from proxy.demo.programs import AppLaunch, IdpLaunch, Registration
from proxy.settings.load import check

ROOT = Path(__file__).parents[2]
START = 40.0  # seconds; usually it takes three


class Product:
    """Addresses of a running product, and the admin's commands."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def url(self, name: str, path: str = "/") -> str:
        """A page of an app (or of the login host) as people type it."""
        return self.layout.url(name) + path

    async def ostiary(self, *words: str) -> str:
        """What `ostiary …` prints; fails the test when it is not content."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy",
            *words,
            "--config",
            str(self.layout.config),
            stdout=pipe,
            stderr=pipe,
            cwd=ROOT,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    async def sessions_of(self, email: str) -> list[str]:
        """The sids of a person's sessions."""
        said = json.loads(await self.ostiary("sessions", "list", "--json"))
        rows: list[dict[str, Any]] = said["sessions"] if isinstance(said, dict) else said
        return [row["sid"] for row in rows if email in json.dumps(row)]

    async def revoke(self, *sids: str) -> None:
        """What an admin does."""
        for sid in sids:
            await self.ostiary("sessions", "revoke", sid)

    def decisions(self) -> list[dict[str, Any]]:
        """Every line of the record so far."""
        text = (self.layout.home / "var" / "audit.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def route(self, name: str, text: str) -> None:
        """Add a route file, or change it."""
        _replace(self.layout.config.parent / "routes" / f"{name}.yaml", text)

    @contextlib.asynccontextmanager
    async def configured(self, changes: Mapping[str, str]) -> AsyncIterator[None]:
        """Meanwhile the configuration says something else; the running proxy has noticed, before and after."""
        file = self.layout.config
        text, before = file.read_text("utf-8"), await self._revisions()
        changed = text
        for old, new in changes.items():
            assert old in changed
            changed = changed.replace(old, new, 1)
        _replace(file, changed)
        await self._until(lambda now: len(now) == 1 and now != before)
        try:
            yield
        finally:
            _replace(file, text)
            await self._until(lambda now: now == before)

    async def alone(self) -> None:
        """From now on there is one company; the running proxy has noticed."""
        before = await self._revisions()
        one_company(self.layout)
        good = check(self.layout.config).settings
        assert good is not None
        await self._until(lambda now: now == {good.revision} != before)

    async def _until(self, good: Callable[[set[str]], bool]) -> None:
        until = time.monotonic() + START
        while not good(now := await self._revisions()):
            assert time.monotonic() < until, f"not reloaded, in force is {now}"
            await asyncio.sleep(0.05)

    async def _revisions(self) -> set[str]:
        """The configurations in force in the workers."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.layout.admin}/metrics") as answer:
            return set(re.findall(r'ostiary_configuration_revision_info{revision="(\w+)"} 1', await answer.text()))


def one_company(layout: Layout) -> None:
    """Take the partner company out: with one provider nobody is asked where to log in."""
    routes = layout.config.parent / "routes" / "headers.yaml"
    for file, block in (
        (layout.config, r"    - name: partner .*?\n\n"),
        (routes, r"      - name: partners\n(?:        .*\n)+"),
    ):
        text = file.read_text("utf-8")
        left = re.sub(block, "" if file is routes else "\n", text, count=1, flags=re.DOTALL if file != routes else 0)
        assert left != text, file
        _replace(file, left)


def _replace(file: Path, text: str) -> None:
    """As an editor does it: the whole file at once."""
    written = file.with_suffix(".new")
    written.write_text(text, "utf-8")
    written.rename(file)


@contextlib.asynccontextmanager
async def demo(home: Path) -> AsyncIterator[Product]:
    """`ostiary demo --free-ports` in an empty folder, until the test run ends."""
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "demo", "--free-ports", "--dir", str(home)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        said = b""
        try:
            async with asyncio.timeout(START):
                while b"What to try" not in said:
                    line = await process.stdout.readline()
                    assert line, _end_of(errors) + said.decode()
                    said += line
            reading = asyncio.create_task(process.stdout.read())
            one = Product(_layout(home, said.decode()))
            await one.alone()
            yield one
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
        await reading
        assert process.returncode == 0, _end_of(errors)


def _end_of(errors: Any) -> str:
    errors.seek(0)
    return errors.read()[-4000:].decode(errors="replace")


def _layout(home: Path, said: str) -> Layout:
    def port(pattern: str) -> int:
        found = re.search(pattern, said)
        assert found, said
        return int(found[1])

    https = port(r"https://login\.apps\.localhost:(\d+)/")
    ports = Ports(https=https, idp=port(r"http://127\.0\.0\.1:(\d+)/ "), admin=port(r":(\d+)/metrics"))
    return Layout(home=home / "var" / f"demo-{https}", ports=ports)


class Branch(Product):
    """The demo's apps behind one proxy and two identity providers, Head office and Branch office.

    `programs` are the running ones by name: headers, live, api, head, branch, proxy.
    """

    def __init__(self, layout: Layout, children: Children) -> None:
        super().__init__(layout)
        self.programs: dict[str, Child] = {}
        self.ports = layout.ports.all() | {"head": layout.ports.idp, "branch": free_ports().idp}
        self.issuers = {name: f"http://{LOOPBACK}:{self.ports[name]}" for name in ("head", "branch")}
        self._children = children
        self._secret = certificates.new_client_secret(layout.secret)

    async def start_app(self, name: str) -> None:
        """Start a sample app."""
        app = AppLaunch(
            name=name,
            host=LOOPBACK,
            port=self.ports[name],
            audience=self.layout.url(name),
            issuer=self.layout.url("login"),
            jwks=self.layout.url("login") + "/.well-known/ostiary/jwks.json",
            ca=str(self.layout.trust),
        )
        self.programs[name] = await self._children.start(name, ["-m", "proxy.demo.apps", name], app)

    async def start_idp(self, name: str) -> None:
        """Start an identity provider that knows us under `name`."""
        login = self.layout.url("login")
        client = Registration(
            client_id="ostiary",
            client_secret=self._secret,
            redirect_uris=(f"{login}/.ostiary/oidc/{name}/callback",),
            post_logout_redirect_uris=(f"{login}/.ostiary/logged-out",),
            backchannel_logout_uri=f"{login}/.ostiary/oidc/{name}/backchannel-logout",
        )
        idp = IdpLaunch(host=LOOPBACK, port=self.ports[name], client=client, ca=str(self.layout.trust))
        self.programs[name] = await self._children.start(name, ["-m", "proxy.demo.idp"], idp)

    async def start_proxy(self) -> None:
        """Start `ostiary serve`."""
        words = ["-m", "proxy", "serve", "--config", str(self.layout.config)]
        self.programs["proxy"] = await self._children.start("proxy", words)

    async def stop(self, name: str) -> None:
        """End one of them, and wait until it is gone."""
        process = self.programs.pop(name).process
        process.terminate()
        await process.wait()

    async def listening(self, name: str) -> None:
        """Wait until one of them takes connections."""
        until = time.monotonic() + START
        while True:
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, self.ports[name])
            except OSError:
                assert not self.programs[name if name in self.programs else "proxy"].ended, f"{name} has ended"
                assert time.monotonic() < until, f"{name} does not listen"
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    def configure(self) -> None:
        """Make two identity providers of the example's one."""
        config = yaml.safe_load(self.layout.config.read_text("utf-8"))
        (one,) = config["login"]["providers"]
        config["login"]["providers"] = [
            one | {"name": "head", "title": "Head office", "domains": ["example.com"], "issuer": self.issuers["head"]},
            one | {"name": "branch", "title": "Branch office", "issuer": self.issuers["branch"]},
        ]
        self.layout.config.write_text(json.dumps(config), "utf-8")  # JSON is YAML, without anchors


@contextlib.asynccontextmanager
async def branch(home: Path) -> AsyncIterator[Branch]:
    """Everything of the demo, with two identity providers."""
    layout = prepare(home, free_ports())
    certificates.ensure(layout.certs, now=time.time())
    with tempfile.TemporaryFile() as output:
        children = Children(output)
        one_company(layout)
        company = Branch(layout, children)
        company.configure()
        try:
            for name in company.issuers:
                await company.start_idp(name)
            for name in APPS:
                await company.start_app(name)
            await company.start_proxy()
            for name in (*company.issuers, *APPS, "https"):
                await company.listening(name)
        except BaseException:
            sys.stderr.write(_end_of(output))
            raise
        else:
            yield company
        finally:
            await children.stop()
