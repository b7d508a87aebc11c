"""Settings → the identity providers of a plan, carried over from plan to plan while nothing about them changes."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp

from proxy.app.errors import Unusable
from proxy.authn.errors import AuthnError
from proxy.authn.oidc import OidcProvider
from proxy.settings.schema import AnyProvider, Provider
from proxy.settings.secrets import SecretUnavailable, read_secret


class Source(NamedTuple):
    """All that a provider is made of: when one of these is another, so is the provider."""

    settings: Provider
    secret: bytes | None
    authority: bytes | None  # what is in the file `ca`

    def __repr__(self) -> str:
        return f"<Source {self.settings.name}>"  # the secret stays where it is


class Built(NamedTuple):
    """A provider and what it was made of."""

    source: Source
    provider: OidcProvider


def build_providers(
    wanted: tuple[AnyProvider, ...],
    before: Mapping[str, Built],
    http: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> dict[str, Built]:
    """The providers by name; those that stay the same keep the keys and metadata they have fetched. Raises Unusable."""
    return {
        provider.name: _build(provider, before.get(provider.name), http, clock)
        for provider in wanted
        if isinstance(provider, Provider)
    }


def _build(settings: Provider, old: Built | None, http: aiohttp.ClientSession, clock: Callable[[], float]) -> Built:
    try:
        secret = read_secret(settings.client_secret) if settings.client_secret is not None else None
        authority = Path(settings.ca).read_bytes() if settings.ca is not None else None
        source = Source(settings, secret, authority)
        if old is not None and old.source == source:
            return old
        return Built(source, OidcProvider(settings, secret, http, clock))
    except ssl.SSLError as error:  # an OSError, too
        raise Unusable(f"login.providers, {settings.name}: {settings.ca}: {error.reason or error}") from None
    except OSError as error:
        raise Unusable(f"login.providers, {settings.name}: {error.filename}: {error.strerror}") from None
    except (AuthnError, SecretUnavailable, ValueError) as error:
        raise Unusable(f"login.providers, {settings.name}: {error}") from None
