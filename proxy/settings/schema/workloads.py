"""Workloads: programs that prove who they are without a secret of ours."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from proxy.settings.schema.base import Duration, NonEmpty, PlainName, Strict


class TrustDomain(Strict, frozen=True, kw_only=True):
    """A SPIFFE trust domain. `bundle` is a file, read again when it changes: a SPIFFE bundle (JWKS, with keys for
    `x509-svid` and `jwt-svid`), or PEM certificates."""

    name: Annotated[str, Meta(pattern="^[a-z0-9._-]{1,255}$")]
    bundle: str
    audiences: tuple[str, ...] = ()  # of JWT-SVIDs; default: the origin of the route asked for


class TokenIssuer(Strict, frozen=True, kw_only=True):
    """An OIDC issuer whose tokens name services: CI systems, Kubernetes clusters. `service` makes the name from claims,
    as in `ci/{repository}`; rules list it with the issuer's name in front, as in `github:ci/acme/app`."""

    name: PlainName
    issuer: str
    audiences: NonEmpty
    service: str  # letters, digits and -._/:@ with {claim} in between
    claims: dict[str, Any] = {}  # required: claim → value, or list of values; `*` stands for anything but / and :
    algorithms: tuple[str, ...] = ("RS256", "ES256", "PS256", "EdDSA")
    ca: str | None = None  # PEM file; default: the system's authorities
    jwks: str | None = None  # https URL or file with the keys, for an issuer without discovery
    longest: Duration = Duration(24 * 3600)  # a token valid for longer is refused
    reuse: Duration | None = None  # how long after its first use a token is accepted, which must have a `jti`; 0s: once
    grace: Duration = Duration(0)  # how long after a token's end what was begun with it may go on: long uploads of jobs


class Workloads(Strict, frozen=True, kw_only=True):
    """Who vouches for services besides the authorities of the listeners."""

    trust_domains: tuple[TrustDomain, ...] = ()
    issuers: tuple[TokenIssuer, ...] = ()
