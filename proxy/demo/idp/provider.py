"""What every endpoint of the provider works with."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources

import jinja2
from aiohttp import web

from proxy.demo.idp.ledger import Ledger, Login
from proxy.demo.idp.people import Person
from proxy.demo.idp.tokens import TokenSigner
from proxy.demo.programs import Registration

LOG = logging.getLogger("ostiary.demo.idp")
BROWSER_COOKIE = "demo_idp"


Notify = Callable[[str, str], Awaitable[int]]  # POST a logout token to a URL; answers the HTTP status


class Provider:
    """Issuer, client, people, what was granted, and how to tell the client about a logout."""

    def __init__(
        self,
        issuer: str,
        client: Registration,
        people: Mapping[str, Person],
        *,
        clock: Callable[[], float],
        notify: Notify,
    ) -> None:
        """`clock` in seconds since the epoch; `notify` may raise, which is logged and changes nothing."""
        self.issuer = issuer
        self.client = client
        self.people = people
        self.clock = clock
        self.ledger = Ledger(clock)
        self.signer = TokenSigner(issuer, client.client_id)
        self._notify = notify

    async def end(self, sid: str) -> None:
        """End a login here and at the client."""
        login = self.ledger.end(sid)
        if login is None or self.client.backchannel_logout_uri is None:
            return
        await self._tell(login, self.client.backchannel_logout_uri)

    async def _tell(self, login: Login, uri: str) -> None:
        token = self.signer.logout_token(login, self.clock())
        try:
            status = await self._notify(uri, token)
        except Exception as error:  # noqa: BLE001 -- whatever the client's trouble is, the logout here has happened
            LOG.warning("the client could not be told that %s logged out: %s", login.sub, error)
            return
        if status not in {200, 204}:
            LOG.warning("the client answered %d to the logout of %s", status, login.sub)


PROVIDER = web.AppKey("provider", Provider)
_PAGES = jinja2.Environment(
    loader=jinja2.FunctionLoader(
        lambda name: resources.files("proxy.demo.idp").joinpath("templates", name).read_text("utf-8")
    ),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(name: str, *, status: int = 200, **values: object) -> web.Response:
    """Render a page. Only its own style may load; forms may end (by redirect) at https addresses."""
    nonce = secrets.token_urlsafe(16)
    text = _PAGES.get_template(name).render(nonce=nonce, **values)
    answer = web.Response(text=text, status=status, content_type="text/html")
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self' https:; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return answer


def problem(title: str, text: str, status: int = 400) -> web.Response:
    """A page for somebody whose request must not be sent on."""
    return page("problem.html", status=status, title=title, text=text)


def browser_of(request: web.Request) -> str | None:
    """The cookie that tells one browser from another."""
    return request.cookies.get(BROWSER_COOKIE)


def same_secret(given: str, wanted: str) -> bool:
    """Compare without telling by time how much was right."""
    return hmac.compare_digest(given.encode(), wanted.encode())
