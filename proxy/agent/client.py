"""Talks to the proxy: https only, its certificate verified, every answer bounded in time and size.

Redirects are not followed and the environment's proxies and `.netrc` are not read: what we say goes to the login URL
and nowhere else.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult

from proxy import __version__
from proxy.agent.errors import AgentError, Refused, Unreachable
from proxy.model.report import (
    ACTIVATE_PATH,
    ATTEST_PATH,
    ENROL_PATH,
    NONCE_PATH,
    REPORT_PATH,
    Accepted,
    Attested,
    Credential,
    Enrolled,
    Nonce,
)

TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=10)
LARGEST: Final = 64 * 1024  # bytes of an answer
SKEW: Final = 60.0  # seconds by which the proxy lets clocks differ
_LONGEST_WAIT: Final = 24 * 3600.0
_LONGEST_TEXT: Final = 500
T = TypeVar("T")


class _Refusal(msgspec.Struct):
    """The part of the proxy's JSON refusals that we tell on."""

    error: str = ""
    reason: str = ""
    detail: str = ""
    remedy: str = ""


def login_origin(url: str) -> str:
    """The login URL in the one form that is signed and compared: an https origin. Raises AgentError."""
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not text.isascii() or not text.isprintable():
        raise AgentError(f"{text!r} is not an address: take it from your apps page, such as https://login.example.com")
    if parts.scheme != "https":
        raise AgentError(f"{text}: only https is used; write https://{host}")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise AgentError(f"{text}: give the login address without anything after the host: https://{host}")
    shown = f"[{host}]" if ":" in host else host
    return f"https://{shown}" if port in (None, 443) else f"https://{shown}:{port}"


def trust(authorities: str | None) -> ssl.SSLContext:
    """TLS that verifies: against these PEM certificates, or the system's. Raises AgentError."""
    try:
        context = ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise AgentError("--ca: this is no file of PEM certificates") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Proxy:
    """The proxy at `login`. Methods raise Unreachable, or Refused."""

    def __init__(self, login: str, http: aiohttp.ClientSession, clock: Callable[[], float]) -> None:
        self.login = login
        self._http = http
        self._clock = clock

    async def enrol(self, jws: str) -> Enrolled:
        """Send an enrolment."""
        return await self._post(ENROL_PATH, {"jws": jws}, Enrolled)

    async def nonce(self, device: str) -> str:
        """A nonce for one report within a few minutes."""
        return (await self._post(NONCE_PATH, {"device": device}, Nonce)).nonce

    async def report(self, jws: str) -> Accepted:
        """Send a report."""
        return await self._post(REPORT_PATH, {"jws": jws}, Accepted)

    async def attest(self, jws: str) -> Credential:
        """Send what the TPM is, to be given what to ask it."""
        return await self._post(ATTEST_PATH, {"jws": jws}, Credential)

    async def activate(self, jws: str) -> Attested:
        """Send what the TPM answered."""
        return await self._post(ACTIVATE_PATH, {"jws": jws}, Attested)

    async def _post(self, path: str, body: dict[str, str], kind: type[T]) -> T:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with self._http.post(
                self.login + path, data=msgspec.json.encode(body), headers=headers, allow_redirects=False
            ) as response:
                return await self._understood(response, kind)
        except aiohttp.ClientConnectorCertificateError as error:
            raise Unreachable(
                f"{self.login}: its certificate is not trusted here ({error.certificate_error}). With a private "
                "authority, enrol with --ca FILE; and make sure that the address is the right one"
            ) from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            raise Unreachable(f"{self.login} cannot be reached: {why[:_LONGEST_TEXT]}") from error

    async def _understood(self, response: aiohttp.ClientResponse, kind: type[T]) -> T:
        data = bytearray()
        async for chunk in response.content.iter_chunked(16 * 1024):
            data += chunk
            if len(data) > LARGEST:
                raise Unreachable(f"{self.login} answers more than a proxy would: is the address right?")
        if response.status != 200:
            raise self._failure(response, bytes(data))
        try:
            return msgspec.json.decode(bytes(data), type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Unreachable(f"{self.login} answers what a proxy would not: is the address right?") from error

    def _failure(self, response: aiohttp.ClientResponse, data: bytes) -> Unreachable | Refused:
        status = response.status
        try:
            told = msgspec.json.decode(data, type=_Refusal)
        except (msgspec.MsgspecError, RecursionError):
            told = _Refusal()
        words = [_sentence(word) for word in (told.error, told.detail or told.remedy) if word.strip()]
        text = " ".join(words) or f"{self.login} answers with status {status}."
        skew = self._skew(response.headers.get("Date", ""))
        if abs(skew) > SKEW:
            text += f" This machine's clock is {abs(skew):.0f} s {'fast' if skew > 0 else 'slow'}: set it right."
        if status in (408, 429) or status >= 500:
            return Unreachable(text, _wait(response.headers.get("Retry-After", "")))
        if status < 400 or not told.reason:
            return Unreachable(f"{text} Is {self.login} the address of the proxy?")
        return Refused(text, status=status, reason=told.reason)

    def _skew(self, date: str) -> float:
        """Seconds by which our clock is ahead of the proxy's; 0 when it did not say."""
        try:
            return self._clock() - parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return 0.0


def _sentence(text: str) -> str:
    plain = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text.strip())
    plain = plain[:_LONGEST_TEXT]
    return plain if plain.endswith((".", "!", "?")) else plain + "."


def _wait(text: str) -> float | None:
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else None


class _Resolver(ThreadedResolver):
    """The system's, but for names below `localhost`: those are this machine, which not every system knows by itself
    (RFC 6761 §6.3)."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError."""
        found = await super().resolve("127.0.0.1" if host.endswith(".localhost") else host, port, family)
        return [ResolveResult(**{**one, "hostname": host}) for one in found]  # the name the certificate is checked for


@contextlib.asynccontextmanager
async def connected(
    login: str, authorities: str | None, clock: Callable[[], float] = time.time
) -> AsyncIterator[Proxy]:
    """The proxy at `login`, over a connection of our own. Raises AgentError for authorities that are none."""
    connector = aiohttp.TCPConnector(ssl=trust(authorities), limit=4, resolver=_Resolver())
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=TIMEOUT,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"ostiary-device/{__version__}"},
    ) as http:
        yield Proxy(login, http, clock)
