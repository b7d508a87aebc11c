"""People whose browsers walk through a partner's own pages too: its login form, and forms that post themselves."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from scenario_http import Answer, Headers, Line
from scenario_people import FETCH, NAVIGATE, Browser, Page

_NEXT = re.compile(r'<a class="btn main" id="next" href="([^"]+)"')
_FORM = re.compile(r"<form\b([^>]*)>(.*?)</form>", re.DOTALL | re.IGNORECASE)
_CARRIED = {"SAMLRequest", "SAMLResponse"}


@dataclass
class Form:
    """One form of a page: where it goes, and its fields as they are."""

    method: str
    action: str
    fields: dict[str, str]


@dataclass
class Employee(Browser):
    """Somebody of the partner company. A form of another site arrives without our cookies, which are SameSite=Lax."""

    password: str = ""
    posted: list[Form] = field(default_factory=list)  # the forms that carried SAML messages, in order
    asked: list[str] = field(default_factory=list)  # the pages on which she typed her password

    async def fetch(
        self,
        url: str,
        method: str = "GET",
        headers: Headers = FETCH,
        data: dict[str, str] | None = None,
        initiator: str = "",
    ) -> Answer:
        parts = urlsplit(url)
        host = parts.hostname or ""
        sent, body = list(headers), None
        foreign = bool(initiator) and _site(initiator) != _site(url)
        if (cookie := self.cookie(host)) and not (foreign and method == "POST" and host.endswith(".test")):
            sent.append(("Cookie", cookie))
        if data is not None:
            body = urlencode(data).encode()
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(initiator or url))
            sent += [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", origin)]
            sent += [("Sec-Fetch-Site", "cross-site" if foreign else "same-origin")]
        tls = self.world.tls() if parts.scheme == "https" else None
        async with await Line.open(parts.port or 443, tls, host) as line:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            answer = await line.request(method, target, parts.netloc, sent, body)
        for text in answer.all("set-cookie"):
            self._keep(host, text)
        return answer

    async def submit(self, url: str, data: dict[str, str]) -> Page:
        """Send a form of the page at `url` and follow where it leads."""
        return await self._walk(url, await self.fetch(url, "POST", NAVIGATE, data, url))

    async def post(self, form: Form, initiator: str) -> Page:
        """Send a form that a page of `initiator` holds, and follow where it leads."""
        return await self._walk(form.action, await self.fetch(form.action, "POST", NAVIGATE, form.fields, initiator))

    async def confirm(self, page: Page) -> Page:
        """Press the button of the only form of a page."""
        [form] = forms(page.url, page.text)
        return await self.post(form, page.url)

    def sent(self, name: str) -> str:
        """The last SAML message of that kind that a form carried, as XML."""
        return base64.b64decode(
            next(form.fields[name] for form in reversed(self.posted) if name in form.fields)
        ).decode()

    async def _walk(self, url: str, answer: Answer) -> Page:
        self.visited = [url]
        for _ in range(30):
            if answer.status in (302, 303):
                url = urljoin(url, answer.header("location") or "")
            elif answer.status == 200 and (found := _NEXT.search(answer.text)):
                url = urljoin(url, html.unescape(found[1]))
            elif answer.status == 200 and (form := self.next_form(url, answer.text)):
                came_from, url = url, form.action
                answer = await self.fetch(url, form.method, NAVIGATE, form.fields, came_from)
                self.visited.append(url)
                continue
            else:
                return Page(url, answer)
            self.visited.append(url)
            answer = await self.fetch(url, headers=NAVIGATE)
        raise AssertionError(f"no end: {self.visited}")

    def next_form(self, url: str, page: str) -> Form | None:
        """The form that a person would send here, filled in; None when the page is for reading."""
        for form in forms(url, page):
            if _CARRIED & form.fields.keys():
                self.posted.append(form)
                return form
            if "password" in form.fields:
                self.asked.append(url)
                form.fields |= {"username": self.person, "password": self.password}
                return form
        return None


def forms(url: str, page: str) -> list[Form]:
    """Every form of a page."""
    found = []
    for attributes, inside in _FORM.findall(page):
        told = _attributes(attributes)
        fields = {}
        for text in re.findall(r"<(?:input|button)\b([^>]*)>", inside, re.IGNORECASE):
            one = _attributes(text)
            if one.get("name"):
                fields[one["name"]] = one.get("value", "")
        action = urljoin(url, told.get("action", ""))
        found.append(Form(told.get("method", "get").upper(), action, fields))
    return found


def _attributes(text: str) -> dict[str, str]:
    return {name.lower(): html.unescape(value) for name, value in re.findall(r'([\w-]+)\s*=\s*"([^"]*)"', text)}


def _site(url: str) -> tuple[str, str]:
    """Scheme and registrable domain, near enough."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme, host if host.replace(".", "").isdigit() else ".".join(host.split(".")[-2:])
