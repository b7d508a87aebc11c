"""What the stories of SAML share: a provider that may lie, and us as its service provider."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from saml_idp import Idp
from saml_signer import certificate_pem, pem_of, rsa_key
from saml_stage import US, Clock, Make

from proxy.authn.saml import Keys, SamlProvider
from proxy.settings import schema


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def idp() -> Idp:
    return Idp()


@pytest.fixture
def make(idp: Idp, http: aiohttp.ClientSession, clock: Clock, tmp_path: Path) -> Make:
    """Make a SamlProvider that knows the provider's metadata; keyword arguments change its settings."""

    def made(*, metadata: bytes | None = None, url: str = "", previous: str = "", **changes: object) -> SamlProvider:
        file = tmp_path / "idp.xml"
        file.write_bytes(idp.metadata() if metadata is None else metadata)
        usual = {"name": "partner", "metadata": url or str(file), "domains": ("partner.example",)}
        keys = Keys(
            key=pem_of(rsa_key("sp")),
            certificate=certificate_pem(rsa_key("sp")),
            previous=pem_of(rsa_key(previous)) if previous else b"",
        )
        return SamlProvider(schema.SamlProvider(**{**usual, **changes}), US, keys, http, clock)

    return made
