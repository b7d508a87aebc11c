"""The partner's provider: who is logged in there, and what it says to whom."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources

import aiohttp
import msgspec
from cachetools import TTLCache
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.demo.saml_idp import messages
from proxy.demo.saml_idp.messages import ONE_FACTOR, TWO_FACTORS, Peer, Request, Signer

LOG = logging.getLogger("ostiary.demo.saml_idp")
Fetch = Callable[[], Awaitable[bytes]]  # the proxy's metadata
Tell = Callable[[str, dict[str, str]], Awaitable[int]]  # post a form to a URL; answers the HTTP status


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """An employee of the partner company. `note` is for whoever tries the demo; no assertion says it."""

    id: str
    name: str
    email: str
    groups: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody at a browser. `since` in seconds since the epoch, `context` an AuthnContextClassRef."""

    person: Person
    index: str
    since: float
    context: str


def people() -> dict[str, Person]:
    """Everybody, by id, in the order of the file."""
    data = resources.files("proxy.demo.saml_idp").joinpath("people.json").read_bytes()
    return {person.id: person for person in msgspec.json.decode(data, type=list[Person])}


class SamlProvider:
    """One issuer with one service provider. `clock` gives seconds since the epoch."""

    def __init__(self, origin: str, clock: Callable[[], float], fetch: Fetch, tell: Tell) -> None:
        self.origin = origin
        self.people = people()
        self.signer = _signer(origin, clock())
        self._clock, self._fetch, self._tell = clock, fetch, tell
        self._peer: Peer | None = None
        self._asked: TTLCache[str, tuple[Request, str]] = TTLCache(1000, 600)
        self._logins: TTLCache[str, Login] = TTLCache(1000, 12 * 3600)  # by browser

    async def peer(self) -> Peer:
        """The proxy, from its metadata: read when first needed. Raises Wrong."""
        if self._peer is None:
            try:
                self._peer = messages.read_peer(await self._fetch())
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise messages.Wrong(f"The proxy’s metadata cannot be read: {error}") from error
        return self._peer

    # --- logins

    def login_of(self, browser: str | None) -> Login | None:
        """Who is logged in at this browser."""
        return self._logins.get(browser or "")

    def logins(self) -> list[Login]:
        """Everybody who is logged in."""
        return list(self._logins.values())

    def enough(self, request: Request, login: Login) -> bool:
        """Whether the login that is there answers the request without asking again."""
        return not request.force and (not request.contexts or login.context in request.contexts)

    def ask(self, request: Request, browser: str) -> str:
        """Remember a request while its login page is open; the page's secret."""
        interaction = secrets.token_urlsafe(24)
        self._asked[interaction] = (request, browser)
        return interaction

    def answered(self, interaction: str, browser: str | None) -> Request | None:
        """The request of a login page, once, in its own browser."""
        request, asked = self._asked.pop(interaction, (None, ""))
        return request if request is not None and browser == asked else None

    def log_in(self, browser: str, person: Person, *, two: bool) -> Login:
        """Somebody chose who to be."""
        login = Login(person, secrets.token_hex(16), self._clock(), TWO_FACTORS if two else ONE_FACTOR)
        self._logins[browser] = login
        return login

    # --- messages

    def response(self, peer: Peer, request: Request, login: Login | None) -> dict[str, str]:
        """The form that answers a request; `login` None is a person who said no."""
        now, inside = self._clock(), None
        if login is not None:
            person = login.person
            told = {"email": (person.email,), "name": (person.name,), "groups": person.groups}
            how = {
                "request": request.id,
                "index": login.index,
                "context": login.context,
                "since": messages.instant(login.since),
            }
            inside = self.signer.sign(messages.assertion(self.signer.entity_id, peer, person.id, told, how, now))
        root = messages.response(self.signer.entity_id, peer, request.id, inside, now)
        fields = {"SAMLResponse": self.signer.form(root)}
        return fields | ({"RelayState": request.relay_state} if request.relay_state else {})

    def ended_by(self, peer: Peer, request: Request) -> str:
        """The proxy ended a login: forget it; the address that answers."""
        for browser, login in list(self._logins.items()):
            if login.person.id == request.name_id and login.index in request.session_indexes:
                del self._logins[browser]
        root = messages.logout_response(self.signer.entity_id, peer, request.id, self._clock())
        return self.signer.redirect(peer.slo, "SAMLResponse", root, request.relay_state)

    async def end(self, index: str) -> None:
        """End a login here and at the proxy, without a browser."""
        found = [browser for browser, login in self._logins.items() if login.index == index]
        for browser in found:
            login = self._logins.pop(browser)
            try:
                peer = await self.peer()
                name = login.person.id
                root = messages.logout_request(self.signer.entity_id, peer, name, index, self._clock())
                status = await self._tell(peer.slo, {"SAMLRequest": self.signer.form(root)})
            except Exception as error:  # noqa: BLE001 -- whatever the proxy's trouble is, the logout here has happened
                LOG.warning("the proxy could not be told that %s logged out: %s", login.person.name, error)
                continue
            if status not in {200, 302, 303}:
                LOG.warning("the proxy answered %d to the logout of %s", status, login.person.name)


def _signer(origin: str, now: float) -> Signer:
    """A key and a certificate that live as long as the provider."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ostiary demo: partner company")])
    start = datetime.fromtimestamp(now, UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start - timedelta(days=1))
    return Signer(origin, builder.not_valid_after(start + timedelta(days=365)).sign(key, hashes.SHA256()), key)
