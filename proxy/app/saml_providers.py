"""Settings → the SAML providers of a plan, carried over from plan to plan while nothing about them changes.

A provider without a `key` of its own gets one made here, once: it stays beside the state, so that every worker and
every start of the proxy signs with the same, and the provider's administrator imports our metadata once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp

from proxy.app.errors import Unusable
from proxy.authn.errors import AuthnError
from proxy.authn.saml import Entity, Keys, SamlProvider, make_key
from proxy.routing import parse_source
from proxy.sessions.keyfile import KeyFileUnusable, load_or_create
from proxy.settings import schema
from proxy.settings.resolve import is_url
from proxy.web.endpoints import SAML_ACS, SAML_SLO, saml_entity


class SamlSource(NamedTuple):
    """All that a provider is made of: when one of these is another, so is the provider."""

    settings: schema.SamlProvider
    entity: Entity
    keys: Keys
    files: tuple[bytes, ...]  # what is in `metadata`, `metadata_certificate` and `ca`

    def __repr__(self) -> str:
        return f"<SamlSource {self.settings.name}>"  # the key stays where it is


class BuiltSaml(NamedTuple):
    """A provider and what it was made of."""

    source: SamlSource
    provider: SamlProvider


def build_saml_providers(
    configuration: schema.Configuration,
    before: Mapping[str, BuiltSaml],
    http: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> dict[str, BuiltSaml]:
    """The providers by name; those that stay the same keep the metadata they have fetched. Raises Unusable."""
    made = {}
    for settings in configuration.login.providers:
        if isinstance(settings, schema.SamlProvider):
            old = before.get(settings.name)
            try:
                source = _source(settings, configuration, old, clock())
                same = old is not None and old.source == source
                made[settings.name] = old if old and same else _built(source, http, clock)
            except (AuthnError, KeyFileUnusable, ValueError) as error:
                raise Unusable(f"login.providers, {settings.name}: {error}") from None
            except OSError as error:
                raise Unusable(f"login.providers, {settings.name}: {error.filename}: {error.strerror}") from None
    return made


def _built(source: SamlSource, http: aiohttp.ClientSession, clock: Callable[[], float]) -> BuiltSaml:
    return BuiltSaml(source, SamlProvider(source.settings, source.entity, source.keys, http, clock))


def _source(
    settings: schema.SamlProvider, configuration: schema.Configuration, old: BuiltSaml | None, now: float
) -> SamlSource:
    names = (None if is_url(settings.metadata) else settings.metadata, settings.metadata_certificate, settings.ca)
    return SamlSource(
        settings=settings,
        entity=_entity(settings, configuration.login.url),
        keys=_keys(settings, configuration.state, old, now),
        files=tuple(Path(name).read_bytes() for name in names if name is not None),
    )


def _entity(settings: schema.SamlProvider, login_url: str) -> Entity:
    origin = parse_source(login_url.rstrip("/")).origin
    name = settings.name
    return Entity(
        entity_id=settings.entity_id or saml_entity(name, origin),
        acs_url=origin + SAML_ACS.format(provider=name),
        slo_url=origin + SAML_SLO.format(provider=name),
    )


def _keys(settings: schema.SamlProvider, state: str, old: BuiltSaml | None, now: float) -> Keys:
    """Those of the settings, else those beside the state, else (with a state in memory) those of this process."""
    if settings.key is not None and settings.certificate is not None:
        return Keys.read(settings.key, settings.certificate, settings.previous_key)
    kind, _, place = state.partition(":")

    def make() -> bytes:
        return b"".join(make_key(f"ostiary {settings.name}", now))

    if kind == "sqlite":
        pem = load_or_create(Path(f"{place}.saml-{settings.name}.pem"), make)
    elif old is not None and old.source.settings.key is None:
        pem = old.source.keys.key
    else:
        pem = make()
    return Keys(key=pem, certificate=pem)  # each reader takes the block that is its own
