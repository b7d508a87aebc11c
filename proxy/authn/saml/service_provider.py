"""One SAML identity provider, and us as its service provider: login, logout, metadata.

Everything that verifies, decrypts or signs takes milliseconds and runs in threads, a few at a time.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import aiohttp
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.authn.errors import LoginRefused, ProviderMisconfigured, ProviderUnavailable
from proxy.authn.fetch import Fetcher
from proxy.authn.saml import authn_request, logout, strict_xml
from proxy.authn.saml.assertion import Said, read_assertion
from proxy.authn.saml.attributes import device_claims, identity_from
from proxy.authn.saml.keypair import Keys, load_certificate, load_private, self_signed
from proxy.authn.saml.messages import Binding, Entity, LogoutRequest, NameId, Outgoing, SamlLogin
from proxy.authn.saml.metadata import IdpMetadata
from proxy.authn.saml.metadata_source import MetadataSource
from proxy.authn.saml.own_metadata import own_metadata, same_key
from proxy.authn.saml.response import Expected, Trusted, verified_assertion
from proxy.authn.saml.signature import UnknownSigner
from proxy.settings import schema

T = TypeVar("T")
AT_ONCE: Final = 4  # in threads at a time, for each provider
WAITING: Final = 64  # more than this many wait already: the next is turned away


class SamlProvider:
    """Everything we ask of, tell and accept from one provider. Safe to share between tasks.

    `keys` are from the settings, or made by `make_key` and kept by the caller. `clock` gives seconds since the epoch.
    Raises `ProviderMisconfigured` at once for settings that can never work, among them an unreadable metadata file.
    """

    def __init__(
        self,
        settings: schema.SamlProvider,
        entity: Entity,
        keys: Keys,
        http: aiohttp.ClientSession,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.entity = entity
        self._clock = clock
        self._key = load_private(keys.key)
        certificate = load_certificate(keys.certificate)
        if not same_key(self._key, certificate):
            raise ProviderMisconfigured("the SAML certificate does not belong to the SAML key")
        former = [load_private(keys.previous)] if keys.previous else []
        self._opening = [key for key in (self._key, *former) if isinstance(key, rsa.RSAPrivateKey)]
        if settings.require_encryption and not self._opening:
            raise ProviderMisconfigured("require_encryption needs an RSA key: nobody can encrypt for an EC key")
        self._certificates = [certificate, *(self_signed(key, settings.name, clock()) for key in former)]
        self._source = MetadataSource(settings, Fetcher(http, settings.ca), clock)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    def __repr__(self) -> str:
        return f"SamlProvider({self.settings.name!r}, entity_id={self.entity.entity_id!r})"

    @property
    def name(self) -> str:
        """The provider's name in the configuration."""
        return self.settings.name

    def metadata(self) -> bytes:
        """Our metadata, signed, good for two weeks. Takes milliseconds: serve it from a copy, or off the loop."""
        return own_metadata(
            self.entity,
            self._key,
            self._certificates,
            name_id=self.settings.name_id,
            identifier=_new_id(),
            now=self._clock(),
        )

    async def login(
        self,
        *,
        relay_state: str,
        request_id: str,
        force: bool = False,
        acr: Sequence[str] = (),
        binding: Binding = "redirect",
    ) -> Outgoing:
        """What begins a login. `request_id` is an XML name made for this login: begin it with an underscore.

        Raises `ProviderUnavailable` while nothing is known about the provider.
        """
        known = await self._source.current()
        chosen = authn_request.chosen(known.sso, binding) or binding
        url = known.sso[chosen].url
        request = authn_request.authn_request(
            self.entity,
            identifier=request_id,
            destination=url,
            name_id=self.settings.name_id,
            force=force,
            acr=acr,
            now=self._clock(),
        )
        return await self._work(
            partial(authn_request.outgoing, request, url, chosen, "SAMLRequest", relay_state, self._key)
        )

    async def accept(
        self, saml_response: str, *, request_id: str | None, now: float, authenticated_since: float | None = None
    ) -> SamlLogin:
        """Turn a posted response (base64) into a login. The caller consumes `assertion_id` before it believes it.

        `request_id` is that of the login this browser began, None when it began none: accepted only with
        `idp_initiated`. `authenticated_since`: when a login with `force` was begun; an older one is refused.
        Raises `LoginRefused` (or `CallbackInvalid`, a kind of it) and `ProviderUnavailable`.
        """
        if request_id is None and not self.settings.idp_initiated:
            raise LoginRefused("nobody here asked for this login, and idp_initiated is off")
        document = strict_xml.decode_base64(saml_response)
        settings = self.settings
        said = await self._verified(
            lambda known: self._read(
                document,
                known,
                Expected(
                    idp=known.entity_id,
                    entity=self.entity,
                    request_id=request_id,
                    now=now,
                    authenticated_since=authenticated_since,
                    require_encryption=settings.require_encryption,
                    name_id_format=authn_request.NAME_ID_FORMATS.get(settings.name_id, ""),
                    subject_is_name_id=not settings.attributes.subject,
                ),
            )
        )
        index = said.session_index if not settings.attributes.subject else ""
        return SamlLogin(
            identity=identity_from(said, settings),
            provider_sid=said.name_id.reference(index),
            name_id=said.name_id,
            session_index=said.session_index,
            session_expires=said.session_expires,
            assertion_id=f"saml:{self.name}:assertion:{said.id}",
            assertion_expires=said.expires,
            device_claims=device_claims(said.attributes, settings, now),
        )

    async def logout_request(
        self,
        name_id: NameId,
        session_index: str,
        *,
        request_id: str,
        relay_state: str = "",
        binding: Binding = "redirect",
    ) -> Outgoing | None:
        """What ends a login at the provider too; None when it has no such place or nothing is known about it."""
        try:
            known = await self._source.current()
        except ProviderUnavailable:
            return None
        chosen = authn_request.chosen(known.slo, binding)
        if chosen is None:
            return None
        url = known.slo[chosen].url
        document = logout.request(
            self.entity, name_id, session_index, identifier=request_id, destination=url, now=self._clock()
        )
        return await self._work(
            partial(authn_request.outgoing, document, url, chosen, "SAMLRequest", relay_state, self._key)
        )

    async def accept_logout(
        self, *, query: str = "", form: Mapping[str, str] | None = None, now: float
    ) -> LogoutRequest:
        """Check a LogoutRequest of the provider: the raw query string of a GET, or the form of a POST.

        The caller consumes `key`, ends `sessions`, and answers with `logout_response`.
        Raises `LoginRefused` and `ProviderUnavailable`.
        """
        return await self._verified(lambda known: self._read_logout(known, query, form, now))

    async def logout_response(
        self,
        in_response_to: str,
        *,
        relay_state: str,
        complete: bool = True,
        binding: Binding = "redirect",
    ) -> Outgoing | None:
        """The answer to a LogoutRequest. `complete` is false when something could not be ended."""
        known = await self._source.current()
        chosen = authn_request.chosen(known.slo, binding)
        if chosen is None:
            return None
        url = known.slo[chosen].response_url
        document = logout.answer(
            self.entity,
            identifier=_new_id(),
            in_response_to=in_response_to,
            destination=url,
            complete=complete,
            now=self._clock(),
        )
        return await self._work(
            partial(authn_request.outgoing, document, url, chosen, "SAMLResponse", relay_state, self._key)
        )

    async def accept_logout_response(
        self, *, query: str = "", form: Mapping[str, str] | None = None, request_id: str, now: float
    ) -> bool:
        """Check the answer to our LogoutRequest `request_id`. True when the provider ended everything.

        Raises `LoginRefused` and `ProviderUnavailable`.
        """

        def read(known: IdpMetadata) -> bool:
            root, _relay_state = logout.arrived("SAMLResponse", query, form, known.certificates)
            return logout.read_answer(root, self._expected_of_logout(known, request_id, now))

        return await self._verified(read)

    def _read(self, document: bytes, known: IdpMetadata, expected: Expected) -> Said:
        assertion = verified_assertion(document, Trusted(known.certificates, self._opening), expected)
        return read_assertion(assertion, expected, self._opening)

    def _read_logout(self, known: IdpMetadata, query: str, form: Mapping[str, str] | None, now: float) -> LogoutRequest:
        root, relay_state = logout.arrived("SAMLRequest", query, form, known.certificates)
        expected = self._expected_of_logout(known, None, now)
        return logout.read_request(root, relay_state, expected, self._opening, self.name)

    def _expected_of_logout(self, known: IdpMetadata, request_id: str | None, now: float) -> Expected:
        return Expected(
            idp=known.entity_id,
            entity=self.entity,
            request_id=request_id,
            now=now,
            subject_is_name_id=not self.settings.attributes.subject,
        )

    async def _verified(self, read: Callable[[IdpMetadata], T]) -> T:
        """Read something signed; when no known certificate fits, once more with newer metadata, if there is any."""
        known = await self._source.current()
        try:
            return await self._work(partial(read, known))
        except UnknownSigner:
            newer = await self._source.newer_than(known)
            if newer is None:
                raise
        return await self._work(partial(read, newer))

    async def _work(self, task: Callable[[], T]) -> T:
        """In a thread, when it is its turn."""
        if self._waiting >= WAITING:
            raise ProviderUnavailable("too many logins at once: try again in a moment")
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(task)
        finally:
            self._waiting -= 1


def _new_id() -> str:
    return "_" + secrets.token_hex(20)
