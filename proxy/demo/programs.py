"""What the demo tells the programs it starts. Handed over by `launch`, never on a command line."""

from __future__ import annotations

import msgspec


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's one client. Redirect URIs are compared as strings, whole (RFC 9700 section 2.1)."""

    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None

    def __repr__(self) -> str:
        return f"<Registration {self.client_id}>"


class IdpLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """For the identity provider. `ca` is a PEM file: whom to trust when telling the client about a logout."""

    host: str
    port: int
    client: Registration
    ca: str


class SamlIdpLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """For the partner company's SAML provider. `metadata` is the proxy's own, fetched when first needed; `ca` is a PEM
    file: whom to trust for that."""

    host: str
    port: int
    metadata: str
    ca: str


class AppLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """For a sample app: its `name`, where it listens, whose assertions it believes (`issuer`, `jwks`) and meant for
    whom (`audience`)."""

    name: str
    host: str
    port: int
    audience: str
    issuer: str
    jwks: str
    ca: str


class CiLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """For the CI system's issuer of job tokens."""

    host: str
    port: int
