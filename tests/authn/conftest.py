"""What the stories of this folder share: a provider that may lie, and us as its client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import settings
from lying_provider import CLIENT, NOW, SECRET, LyingProvider
from workload_world import Make, Spiffe

from proxy.authn.oidc import OidcProvider
from proxy.authn.workload.service import Workloads
from proxy.sessions.memory import MemoryStore
from proxy.settings import schema

settings.register_profile("authn", deadline=None)  # a busy machine is no failure
settings.load_profile("authn")


class Clock:
    """Time stands still until a test moves it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def idp() -> AsyncIterator[LyingProvider]:
    async with LyingProvider() as provider:
        yield provider


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def client(idp: LyingProvider, http: aiohttp.ClientSession, clock: Clock) -> Callable[..., OidcProvider]:
    """Make an OidcProvider for the lying provider; keyword arguments change its settings."""

    def make(*, secret: bytes | None = SECRET, **changes: object) -> OidcProvider:
        settings = schema.Provider(**{"name": "corp", "issuer": idp.issuer, "client_id": CLIENT, **changes})
        return OidcProvider(settings, secret, http, clock)

    return make


@pytest.fixture
def workloads(idp: LyingProvider, http: aiohttp.ClientSession, clock: Clock) -> Make:
    """Make Workloads that trust the lying provider; keyword arguments change its settings."""
    store = MemoryStore()

    def make(before: Workloads | None = None, **changes: Any) -> Workloads:
        truth = {
            "name": "ci",
            "issuer": idp.issuer,
            "audiences": ("https://deploy.example",),
            "service": "build/{repository}",
            "claims": {
                "repository_owner": "acme",
                "ref": ["refs/heads/main", "refs/tags/v*"],
                "ref_protected": True,
            },
        }
        issuer = schema.TokenIssuer(**{**truth, **changes})
        return Workloads(schema.Workloads(issuers=(issuer,)), http, clock, store.first_seen, before=before)

    return make


@pytest.fixture
def spiffe(tmp_path: Path) -> Spiffe:
    return Spiffe(tmp_path)
