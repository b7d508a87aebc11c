"""People with browsers: they keep cookies, follow redirects, walk through our pages, and choose who they are."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

from scenario_http import Answer, Headers, Line
from scenario_world import World

NAVIGATE = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), ("Accept", "text/html,*/*;q=0.8")]
FETCH = [("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty"), ("Accept", "application/json")]
_NEXT = re.compile(r'<a class="btn main" id="next" href="([^"]+)" data-step="(\w*)"')


@dataclass
class Page:
    """Where a journey ended."""

    url: str
    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def text(self) -> str:
        return self.answer.text


@dataclass
class Browser:
    """One person's browser. `person` is who they say they are at the provider."""

    world: World
    person: str = "alice"
    jar: dict[str, dict[str, str]] = field(default_factory=dict)
    visited: list[str] = field(default_factory=list)

    def cookie(self, host: str) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.jar.get(host, {}).items())

    async def fetch(
        self, url: str, method: str = "GET", headers: Headers = FETCH, data: dict[str, str] | None = None
    ) -> Answer:
        """One request; no redirect is followed, cookies are kept."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = list(headers)
        if cookie := self.cookie(host):
            sent.append(("Cookie", cookie))
        body = None
        if data is not None:
            body = urlencode(data).encode()
            sent += [
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Origin", f"{parts.scheme}://{parts.netloc}"),
            ]
        tls = self.world.tls() if parts.scheme == "https" else None
        async with await Line.open(parts.port or 443, tls, host) as line:
            answer = await line.request(method, target, parts.netloc, sent, body)
        for text in answer.all("set-cookie"):
            self._keep(host, text)
        return answer

    def _keep(self, host: str, text: str) -> None:
        jar = self.jar.setdefault(host, {})
        for name, morsel in SimpleCookie(text).items():
            if name.startswith("__Host-"):
                assert morsel["secure"], text
                assert morsel["httponly"], text
                assert morsel["path"] == "/", text
                assert not morsel["domain"], text
            if morsel["max-age"] == "0" or not morsel.value:
                jar.pop(name, None)
            else:
                jar[name] = morsel.value

    async def open(self, url: str) -> Page:
        """Go there as a person does, logging in where asked to."""
        return await self._walk(url, await self.fetch(url, headers=NAVIGATE))

    async def submit(self, url: str, data: dict[str, str]) -> Page:
        """Send a form and follow where it leads."""
        same = [("Sec-Fetch-Site", "same-origin")]
        return await self._walk(url, await self.fetch(url, "POST", [*NAVIGATE, *same], data))

    async def _walk(self, url: str, answer: Answer) -> Page:
        self.visited = [url]
        for _ in range(25):
            if answer.status == 303:
                url = urljoin(url, answer.header("location") or "")
            elif answer.header(
                "content-type",
            ) and (found := _NEXT.search(answer.text)):
                url = urljoin(url, html.unescape(found[1]))
            elif 'name="interaction"' in answer.text:
                interaction = re.search(r'name="interaction" value="([^"]+)"', answer.text)
                assert interaction
                form = {"interaction": interaction[1], "person": self.person, "factors": "one", "answer": "login"}
                url = urljoin(url, "/login")
                answer = await self.fetch(url, "POST", NAVIGATE, form)
                continue
            else:
                return Page(url, answer)
            self.visited.append(url)
            answer = await self.fetch(url, headers=NAVIGATE)
        raise AssertionError(f"no end: {self.visited}")
