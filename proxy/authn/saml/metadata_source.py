"""Where a provider's metadata comes from: a file, read once, or an address, read again and again.

Rules for an address (they bound what a stranger can make us do, and what an outage can break): read again when
`metadata_refresh` or the document's own cacheDuration is over; a signature that no known certificate fits makes us read
it at once, but not more than once a minute; one request in flight, which whoever comes meanwhile joins; whatever goes
wrong, what we have stays, until its own validUntil. A file that changes is a reload of the configuration.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509

from proxy.authn.errors import ProviderMisconfigured, ProviderUnavailable
from proxy.authn.fetch import Fetcher, address
from proxy.authn.flight import SingleFlight
from proxy.authn.saml.keypair import load_certificate
from proxy.authn.saml.metadata import MAX_BYTES, IdpMetadata, read_metadata
from proxy.settings.schema import SamlProvider

LOG = logging.getLogger(__name__)
MIN_INTERVAL: Final = 60.0  # seconds between two attempts while we have metadata
RETRY_EMPTY: Final = 1.0  # seconds between two attempts while we have none
_ACCEPT: Final = "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.8"


class MetadataSource:
    """The current metadata of one provider. A file is read here and now: raises `ProviderMisconfigured`."""

    def __init__(self, settings: SamlProvider, fetcher: Fetcher, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._fetcher = fetcher
        self._clock = clock
        signer = settings.metadata_certificate
        self._signer: x509.Certificate | None = load_certificate(_file(signer)) if signer else None
        self._known: IdpMetadata | None = None
        self._failure: ProviderUnavailable | None = None
        self._tried_at = float("-inf")
        self._remote = "://" in settings.metadata
        self._renewed = SingleFlight(self._renew)
        if not self._remote:
            self._known = read_metadata(_file(settings.metadata), settings.idp, self._signer)

    async def current(self) -> IdpMetadata:
        """What is known now. Raises `ProviderUnavailable` when nothing is, or it has expired."""
        if self._remote and (self._renewed.under_way or self._is_due()):
            await self._renewed()
        if self._known is None:
            failure = self._failure or ProviderUnavailable("the SAML metadata was not asked for yet")
            raise type(failure)(str(failure))  # a new one each time: raising the same object piles up tracebacks
        if self._known.valid_until is not None and self._clock() >= self._known.valid_until:
            raise ProviderUnavailable(f"the SAML metadata of {self._known.entity_id} has expired (validUntil)")
        return self._known

    async def newer_than(self, known: IdpMetadata) -> IdpMetadata | None:
        """Metadata with other certificates than `known`, asked for if that is allowed just now; else None."""
        if self._remote and self._known is known and (self._renewed.under_way or self._may_try()):
            await self._renewed()
        latest = self._known
        return None if latest is None or set(latest.certificates) <= set(known.certificates) else latest

    def _is_due(self) -> bool:
        if self._known is None or self._failure is not None:
            return self._may_try()
        wait = min(self._settings.metadata_refresh, self._known.cache_duration or float("inf"))
        elapsed = self._clock() - self._tried_at
        return elapsed >= max(wait, MIN_INTERVAL) or elapsed < 0  # the clock was set back

    def _may_try(self) -> bool:
        elapsed = self._clock() - self._tried_at
        return elapsed >= (RETRY_EMPTY if self._known is None else MIN_INTERVAL) or elapsed < 0

    async def _renew(self) -> None:
        where = address(self._settings.metadata)
        try:
            self._known, self._failure = await self._read(where), None
        except ProviderUnavailable as failure:
            self._failure = failure
            kept = "none known" if self._known is None else "keeping the old"
            LOG.warning("SAML metadata not read, %s: %s", kept, failure)
        finally:
            self._tried_at = self._clock()

    async def _read(self, where: str) -> IdpMetadata:
        answer = await self._fetcher.get(self._settings.metadata, headers={"Accept": _ACCEPT})
        if answer.status != 200:
            raise ProviderMisconfigured(f"{where} answers status {answer.status}: check `metadata`")
        read = await asyncio.to_thread(read_metadata, answer.body, self._settings.idp, self._signer)
        if read.valid_until is not None and self._clock() >= read.valid_until:
            raise ProviderUnavailable(f"{where} gives metadata that has expired (validUntil)")
        return read


def _file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ProviderMisconfigured(f"SAML metadata or its certificate cannot be read: {error}") from None
    return data
