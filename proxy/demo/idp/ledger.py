"""What the provider has granted: logins, codes, access tokens, families of refresh tokens.

Pure state in memory, bounded, gone when the provider ends. Time is the injected `clock` (seconds since the epoch).
Secrets are kept as hashes, so that looking one up takes no longer for a nearly right guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import TTLCache

CODE_LIFETIME = 60
TOKEN_LIFETIME = 300
LOGIN_LIFETIME = 12 * 3600
INTERACTION_LIFETIME = 600


class Refusal(Exception):
    """An OAuth error: `code` from RFC 6749 section 5.2, and a sentence for the log."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody at a browser, from logging in until logging out or in again. `amr` after RFC 8176.

    A grant keeps the one it was made with: its `auth_time` stays that of the original authentication, also in refreshed
    ID tokens (OpenID Connect Core section 12.2).
    """

    sid: str
    sub: str
    auth_time: int
    acr: str
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A checked authorization request."""

    redirect_uri: str
    state: str | None
    nonce: str | None
    challenge: str
    scope: tuple[str, ...]
    prompt: frozenset[str] = frozenset()
    max_age: int | None = None
    login_hint: str = ""
    acr_values: tuple[str, ...] = ()


@dataclass(slots=True)
class Grant:
    """What one authorization led to. `refresh` is the hash of the only good refresh token; `live` ends for ever."""

    login: Login
    request: Request
    refresh: bytes = b""
    live: bool = True
    redeemed: bool = False


@dataclass(frozen=True, slots=True)
class Interaction:
    """A login page that was shown, and to which browser."""

    request: Request
    browser: bytes


@dataclass
class Ledger:
    """Everything granted. Every look-up answers None or raises Refusal; nothing expired is ever found."""

    clock: Callable[[], float]
    _logins: TTLCache[str, Login] = field(init=False)
    _codes: TTLCache[bytes, Grant] = field(init=False)
    _access: TTLCache[bytes, Grant] = field(init=False)
    _refresh: TTLCache[bytes, Grant] = field(init=False)
    _interactions: TTLCache[str, Interaction] = field(init=False)
    _browsers: TTLCache[bytes, str] = field(init=False)

    def __post_init__(self) -> None:
        self._logins = TTLCache(1000, LOGIN_LIFETIME, self.clock)
        self._browsers = TTLCache(1000, LOGIN_LIFETIME, self.clock)
        self._codes = TTLCache(1000, CODE_LIFETIME, self.clock)
        self._access = TTLCache(10_000, TOKEN_LIFETIME, self.clock)
        self._refresh = TTLCache(10_000, LOGIN_LIFETIME, self.clock)
        self._interactions = TTLCache(1000, INTERACTION_LIFETIME, self.clock)

    # --- people at browsers ------------------------------------------------------------------------------------

    def login_of(self, browser: str | None) -> Login | None:
        """Who is logged in at the browser with this cookie."""
        sid = self._browsers.get(digest(browser)) if browser else None
        return self._logins.get(sid) if sid else None

    def login(self, browser: str, sub: str, acr: str, amr: tuple[str, ...]) -> Login:
        """Somebody has just authenticated. The same person again keeps the session id and renews the rest."""
        current = self.login_of(browser)
        again = current is not None and current.sub == sub
        sid = current.sid if again and current is not None else secrets.token_urlsafe(16)
        made = Login(sid, sub, int(self.clock()), acr, amr)
        self._logins[made.sid] = made
        self._browsers[digest(browser)] = made.sid
        return made

    def logins(self) -> list[Login]:
        """Everybody who is logged in."""
        self._logins.expire()
        return list(self._logins.values())

    def end(self, sid: str) -> Login | None:
        """End a login, and with it every code and token that came from it. None when there is none."""
        login = self._logins.pop(sid, None)
        for cache in (self._codes, self._access, self._refresh):
            for grant in list(cache.values()):
                if grant.login.sid == sid:
                    grant.live = False
        return login

    def ask(self, request: Request, browser: str) -> str:
        """Remember that a login page is shown at this browser. Returns the interaction's id."""
        name = secrets.token_urlsafe(16)
        self._interactions[name] = Interaction(request, digest(browser))
        return name

    def answer(self, name: str, browser: str | None) -> Request | None:
        """The request a login page was for, once, and only at the browser that was shown the page."""
        asked = self._interactions.get(name)
        if asked is None or not browser or not hmac.compare_digest(asked.browser, digest(browser)):
            return None
        del self._interactions[name]
        return asked.request

    # --- grants ------------------------------------------------------------------------------------------------

    def code(self, login: Login, request: Request) -> str:
        """Issue an authorization code, good once and for a minute."""
        code = secrets.token_urlsafe(32)
        self._codes[digest(code)] = Grant(login, request)
        return code

    def redeem(self, code: str, redirect_uri: str, verifier: str) -> Grant:
        """Exchange a code. A second use ends everything the first one led to (RFC 6749 section 4.1.2)."""
        grant = self._codes.get(digest(code))
        if grant is None:
            raise Refusal("invalid_grant", "the code is unknown or older than a minute")
        if grant.redeemed or not grant.live:
            grant.live = False
            raise Refusal("invalid_grant", "the code was used before; what it led to has ended")
        grant.redeemed = True  # also when what follows is wrong: nobody gets a second guess at the verifier
        if not hmac.compare_digest(grant.request.redirect_uri.encode(), redirect_uri.encode()):
            raise Refusal("invalid_grant", "redirect_uri is not the one the code was issued for")
        if not hmac.compare_digest(grant.request.challenge, challenge_of(verifier)):
            raise Refusal("invalid_grant", "code_verifier does not fit the code_challenge")
        return grant

    def access_token(self, grant: Grant) -> str:
        """Issue an access token, good for five minutes."""
        token = secrets.token_urlsafe(32)
        self._access[digest(token)] = grant
        return token

    def by_access_token(self, token: str) -> Grant | None:
        """What an access token is good for, or None."""
        grant = self._access.get(digest(token))
        return grant if grant is not None and grant.live else None

    def refresh_token(self, grant: Grant) -> str:
        """Issue the next refresh token of a grant; the one before is no longer good."""
        token = secrets.token_urlsafe(32)
        grant.refresh = digest(token)
        self._refresh[grant.refresh] = grant
        return token

    def refresh(self, token: str) -> Grant:
        """Use a refresh token. One that was used before ends its grant (RFC 9700 section 4.14.2)."""
        grant = self._refresh.get(digest(token))
        if grant is None or not grant.live:
            raise Refusal("invalid_grant", "the refresh token is unknown, expired, or its login has ended")
        if not hmac.compare_digest(grant.refresh, digest(token)):
            grant.live = False
            raise Refusal("invalid_grant", "the refresh token was used before; the grant has ended")
        return grant


def digest(secret: str) -> bytes:
    """The hash under which a secret is kept."""
    return hashlib.sha256(secret.encode()).digest()


def challenge_of(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636 section 4.2)."""
    return urlsafe_b64encode(digest(verifier)).rstrip(b"=").decode()
