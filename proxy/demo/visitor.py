"""A visitor who drives the tour: keeps cookies, follows redirects, fills in the login form, as a browser would."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urljoin

import aiohttp
import msgspec

from proxy.demo import loopback
from proxy.demo.laptop import Laptop
from proxy.demo.layout import PROVIDER, Layout
from proxy.model.report import PROVE_PATH

_PAGE = {"Accept": "text/html,application/xhtml+xml"}
_PROGRAM = {"Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `url` is where the redirects ended."""

    status: int
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None


class Visitor:
    """One browser, or with a certificate one service."""

    def __init__(self, layout: Layout, service: str | None = None) -> None:
        """`service` is the file name of a client certificate in the demo's folder."""
        self._layout = layout
        self._certificate = None if service is None else layout.certs / f"{service}.crt"
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=loopback.connector(Path(self._layout.trust), self._certificate),
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # the provider is at an address, not a name
            timeout=aiohttp.ClientTimeout(total=30),
            requote_redirect_url=False,  # SAML signs the query as it was written
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def open(self, url: str) -> Answer:
        """Open a page as a person does: redirects are followed, cookies kept."""
        return await self._send("GET", url, _PAGE, follow=True)

    async def ask(
        self, url: str, method: str = "GET", *, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Ask as a program does: JSON, no redirect followed."""
        return await self._send(method, url, _PROGRAM | (headers or {}), data=data)

    async def log_in(self, url: str, person: str, factors: str = "one") -> Answer:
        """Open `url`, choose provider and `person` when asked, and end where that leads."""
        page = await self.choose(await self.open(url), PROVIDER)
        if not page.url.startswith(self._layout.issuer):
            return page
        return await self.submit(page, {"person": person, "factors": factors, "answer": "login"})

    async def choose(self, page: Answer, provider: str) -> Answer:
        """Follow the link to a provider, when the page is the one that asks for it."""
        link = re.search(rf'href="([^"]*[?&;]provider={provider}[^"]*)"', page.text)
        return page if link is None else await self.open(urljoin(page.url, unescape(link[1])))

    async def prove(self, url: str, device: Laptop) -> Answer:
        """Let `device` answer the page that asks which device this is, as its script would, and end at `url`."""
        asking = await self.open(f"{self._layout.url('login')}{PROVE_PATH}?return={quote(url, safe='')}")
        given = dict(re.findall(r'data-(challenge|post|next)="([^"]*)"', asking.text))
        if "challenge" not in given:
            return asking
        body = {"jws": device.proof(given["challenge"]), "next": unescape(given["next"])}
        headers = {
            "Content-Type": "application/json",
            "Origin": self._layout.url("login"),
            "Sec-Fetch-Site": "same-origin",
        }
        data = msgspec.json.encode(body)
        said = await self.ask(urljoin(asking.url, given["post"]), "POST", data=data, headers=headers)
        return said if said.status != 200 else await self.open(urljoin(asking.url, said.json["next"]))

    async def post(self, url: str, values: dict[str, str] | None = None, *, origin: str) -> Answer:
        """Send a form from a page of `origin`."""
        headers = _PAGE | {"Origin": origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
        return await self._send("POST", url, headers, data=values or {}, follow=True)

    async def submit(self, page: Answer, values: dict[str, str]) -> Answer:
        """Fill in the first form of a page and send it."""
        form = _Form(page.text)
        origin = "/".join(page.url.split("/")[:3])
        headers = _PAGE | {"Origin": origin}
        return await self._send("POST", urljoin(page.url, form.action), headers, data=form.fields | values, follow=True)

    def websocket(self, url: str, origin: str) -> Any:
        """Open a WebSocket; an asynchronous context manager."""
        return self._http.ws_connect(url, origin=origin)

    def stream(self, url: str) -> Any:
        """Open a response that does not end; an asynchronous context manager."""
        return self._http.get(url, headers={"Accept": "text/event-stream"})

    async def _send(
        self, method: str, url: str, headers: dict[str, str], *, data: Any = None, follow: bool = False
    ) -> Answer:
        async with self._http.request(
            method, url, headers=headers, data=data, allow_redirects=follow, max_redirects=20
        ) as response:
            fields = {name: ", ".join(response.headers.getall(name)) for name in response.headers}
            return Answer(response.status, str(response.url), fields, await response.read())


class _Form(HTMLParser):
    """The first form of a page: where it goes and its hidden fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self._forms = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        values = dict(attrs)
        if tag == "form":
            self._forms += 1
            if self._forms == 1:
                self.action = values.get("action") or ""
        elif tag == "input" and self._forms == 1 and values.get("type") == "hidden":
            self.fields[values.get("name") or ""] = values.get("value") or ""


TROUBLE = (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError)
"""What can go wrong on the way, as opposed to a wrong answer."""
