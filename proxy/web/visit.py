"""One request to our pages: who asks, on which host, and the forms our answers take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aiohttp import web
from multidict import CIMultiDict

from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.routing import RouteTable
from proxy.sessions.session import SessionRecord, deadline
from proxy.settings.schema import AnyProvider, Route, Settings
from proxy.web.context import WebContext
from proxy.web.endpoints import CLIENT_HEADER, REFERENCE_HEADER, SESSION_HEADER
from proxy.web.pages import BARE_HEADERS, Header, page
from proxy.web.refusals import Refusal, render, wants
from proxy.web.returns import Origins, Place, read_host
from proxy.wire.host import Host


class Refused(Exception):
    """A handler's answer is a refusal: which one, cookies to set with it, and the login attempt that ended with it."""

    def __init__(
        self, reason: Reason, detail: str = "", *, retry: str = "", cookies: Sequence[str] = (), attempt: str = ""
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.retry = retry
        self.cookies = cookies
        self.attempt = attempt


class Snapshot:
    """What our pages derive from one configuration."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.origins = Origins.of(settings)
        self.routes: RouteTable[Route] = RouteTable((route.source, route) for route in settings.routes)
        self.providers: dict[str, AnyProvider] = {p.name: p for p in settings.configuration.login.providers}


class Site:
    """The context and the snapshot that belongs to the current settings."""

    def __init__(self, context: WebContext) -> None:
        self.context = context
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """The snapshot of the current settings; made anew after a reload."""
        settings = self.context.settings()
        if self._snapshot is None or self._snapshot.settings is not settings:
            self._snapshot = Snapshot(settings)
        return self._snapshot


class Visit:
    """One request. `host` is canonical and without port."""

    __slots__ = (
        "_asked_host",
        "address",
        "context",
        "host",
        "now",
        "on_login_host",
        "origins",
        "reference",
        "request",
        "snapshot",
    )

    def __init__(self, site: Site, request: web.Request) -> None:
        self.request = request
        self.context = site.context
        self.snapshot = site.snapshot()
        self.origins = self.snapshot.origins
        self._asked_host: Host = read_host(request.headers.get("Host", ""))
        self.host = self._asked_host.host
        self.on_login_host = self.host == self.origins.login_host
        self.now = self.context.clock()
        self.address = request.headers.get(CLIENT_HEADER) or None
        self.reference = request.headers.get(REFERENCE_HEADER, "")

    @property
    def cookies(self) -> Mapping[str, str]:
        """The request's cookies."""
        return self.request.cookies

    def asked(self, name: str) -> str:
        """A query parameter; "" when absent. Raises `Refused` when it is there twice: no reading of it is safe."""
        values = self.request.query.getall(name, [])
        if len(values) > 1:
            raise Refused(Reason.BAD_REQUEST, f"The address holds “{name}” more than once.")
        return values[0] if values else ""

    def home(self) -> str:
        """The origin this request came to, or the login host's when the host is none of ours."""
        return self.origins.own(self._asked_host) or self.origins.login

    def back(self) -> Place:
        """Where `return` leads: a place on one of our hosts, whatever it says."""
        return self.origins.resolve(self.asked("return") or "/", self._asked_host)

    def place(self, url: str) -> Place:
        """The place a URL of our own making names, judged anew: the configuration may have changed since."""
        return self.origins.resolve(url, self._asked_host)

    async def session(self) -> SessionRecord | None:
        """The session the gateway vouches for, if it lives. Raises `StoreUnavailable`."""
        sid = self.request.headers.get(SESSION_HEADER, "")
        record = await self.context.sessions.store.get(sid) if sid else None
        if record is None or record.ended is not None or self.now >= self.ends(record):
            return None
        return record

    def ends(self, record: SessionRecord) -> float:
        """When a session ends whatever happens, seconds since the epoch."""
        return deadline(record, self.snapshot.settings.configuration.sessions.lifetime)

    def want(self) -> str:
        """ "redirect", "html" or "json": see `refusals.wants`."""
        get = self.request.headers.get
        return wants(
            self.request.method, get("Accept"), get("Sec-Fetch-Mode"), get("Sec-Fetch-Dest"), get("X-Requested-With")
        )

    def navigates(self) -> bool:
        """Whether a current browser's window is being navigated: it can run a page on the way."""
        headers = self.request.headers
        return headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest", "document") == "document"

    def refuse(self, refusal: Refusal, cookies: Iterable[str] = ()) -> web.Response:
        """The answer for a refusal, in the form the asker wants."""
        status, headers, body = render(refusal, want="json" if self.want() == "json" else "html")
        return _response(status, headers, body, cookies)

    def refused(self, refused: Refused, identity: str = "") -> web.Response:
        """The answer for a `Refused`."""
        return self.refuse(
            Refusal(
                refused.reason,
                reference=self.reference,
                host=self.host,
                identity=identity,
                detail=refused.detail,
                login_url=refused.retry or None,
                attempt=refused.attempt,
                target=self.request.raw_path if self.request.method in ("GET", "HEAD") else "",
            ),
            refused.cookies,
        )

    def page(self, name: str, cookies: Iterable[str] = (), status: int = 200, **values: object) -> web.Response:
        """One of our pages."""
        headers, body = page(name, {"host": self.host, **values})
        return _response(status, headers, body, cookies)


def _response(status: int, headers: Sequence[Header], body: bytes, cookies: Iterable[str]) -> web.Response:
    fields = CIMultiDict((name.decode(), value.decode()) for name, value in headers if name != b"Content-Length")
    for cookie in cookies:
        fields.add("Set-Cookie", cookie)
    return web.Response(status=status, headers=fields, body=body)


def answer(status: int, headers: Sequence[Header], body: bytes = b"", cookies: Iterable[str] = ()) -> web.Response:
    """An answer with the given headers."""
    return _response(status, headers, body, cookies)


def see_other(location: str, cookies: Iterable[str] = ()) -> web.Response:
    """303: whatever the method was, fetch `location` with GET (RFC 9110 §15.4.4)."""
    return _response(303, (*BARE_HEADERS, (b"Location", location.encode("ascii"))), b"", cookies)


def set_cookie(name: str, value: str, max_age: float | None = None) -> str:
    """A Set-Cookie value in the only form we use; `max_age` in seconds, None for as long as the browser runs."""
    lasting = "" if max_age is None else f"; Max-Age={int(max_age)}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{lasting}"


def expire(name: str) -> str:
    """The Set-Cookie value that makes a browser forget a cookie."""
    return set_cookie(name, "", 0)


def label(identity: Identity) -> str:
    """How a person is addressed: name and e-mail, whatever is known, else the subject."""
    if identity.name and identity.email:
        return f"{identity.name} ({identity.email})"
    return identity.name or identity.email or identity.subject


def route_of(visit: Visit, place: Place) -> Route | None:
    """The route a place belongs to."""
    return visit.snapshot.routes.match(place.host, place.path.partition("?")[0])


def app_title(visit: Visit, place: Place) -> str:
    """What a place is called, for people; "" when it is the portal."""
    route = route_of(visit, place)
    if route is not None and not route.hidden:
        return route.title or route.name
    return "" if place.host == visit.origins.login_host else place.host
