"""Starts the certified provider (npm `oidc-provider`) and walks through its pages as a browser would."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

HERE = Path(__file__).parent
REDIRECT = "https://login.example/.ostiary/oidc/corp/callback"
GOODBYE = "https://login.example/.ostiary/logged-out"


def require_node() -> str:
    """The node program; without it these tests are skipped aloud, and fail where CI=true says they must run."""
    node = shutil.which("node")
    if node and (HERE / "node_modules" / "oidc-provider").is_dir():
        return node
    text = "the certified OpenID provider is not installed: run `make test-provider` (needs node and npm)"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class RealProvider:
    """The provider as a child process, and a place where its back-channel logout requests arrive.

    `redirect` and `goodbye` are its clients' addresses. `tell` passes a logout token on and answers the HTTP status:
    the provider can reach loopback addresses only, and neither knows the names nor trusts the authority of a test.
    """

    def __init__(
        self, redirect: str = REDIRECT, goodbye: str = GOODBYE, tell: Callable[[str], Awaitable[int]] | None = None
    ) -> None:
        self._redirect, self._goodbye, self._tell = redirect, goodbye, tell
        self.logout_tokens: asyncio.Queue[str] = asyncio.Queue()
        app = web.Application()
        app.router.add_post("/backchannel", self._backchannel)
        self._listener = TestServer(app)

    async def __aenter__(self) -> Self:
        node = require_node()
        await self._listener.start_server()
        told = {
            "redirectUri": self._redirect,
            "postLogoutUri": self._goodbye,
            "backchannelUri": f"http://127.0.0.1:{self._listener.port}/backchannel",
        }
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            node, str(HERE / "server.mjs"), json.dumps(told), stdin=pipe, stdout=pipe, cwd=HERE
        )
        self.issuer: str = (await self._answer())["issuer"]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        await self._listener.close()

    async def set_groups(self, account: str, groups: list[str]) -> None:
        """From now on the provider says this about the account."""
        await self._command({"account": account, "groups": groups})

    async def close_account(self, account: str) -> None:
        """From now on there is no such account."""
        await self._command({"account": account, "closed": True})

    async def _command(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        assert await self._answer() == {"ok": True}

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while line := await self._process.stdout.readline():
                if line.startswith(b"{"):
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        raise AssertionError("the provider ended before it said anything")

    async def _backchannel(self, request: web.Request) -> web.Response:
        token = str((await request.post())["logout_token"])
        self.logout_tokens.put_nowait(token)
        return web.Response(status=await self._tell(token) if self._tell else 200)


class Browser:
    """Follows redirects and fills in forms until it is sent to an address that is not the provider's."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def visit(self, url: str, *, login: str = "ann", abort: bool = False) -> str:
        """Open `url`, log in and agree on the way (or refuse). Returns the address left for, or that of the page that
        asks nothing more."""
        method, form = "GET", None
        for _step in range(20):
            async with self._http.request(method, url, data=form, allow_redirects=False) as response:
                if response.status in (302, 303):
                    url, method, form = urljoin(url, response.headers["Location"]), "GET", None
                    if not url.startswith(self._issuer):
                        return url
                    continue
                page = await response.text()
                assert response.status == 200, page
            if abort:
                url = urljoin(url, _one(r'href="([^"]*/abort)"', page))
                continue
            if "<form" not in page:
                return url
            url, method, form = urljoin(url, _one(r'action="([^"]+)"', page)), "POST", _fields(page, login)
        raise AssertionError("the provider leads in circles")


def _one(pattern: str, page: str) -> str:
    found = re.search(pattern, page)
    assert found, page
    return html.unescape(found.group(1))


def _fields(page: str, login: str) -> dict[str, str]:
    fields = {}
    for tag in re.findall(r"<(?:input|button)\b[^>]*>", page):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if attributes.get("name"):
            fields[attributes["name"]] = html.unescape(attributes.get("value", ""))
    return {**fields, **({"login": login, "password": "any"} if "login" in fields else {})}
