"""Who is asking: a person who logged in, or a service that proved a key."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One authenticated party, as every later phase sees it.

    `kind` says which: a *person* comes from an identity provider through a session, a *service* from a verified
    client certificate or a verified token. Nobody is represented by `None`, never by an empty Identity.
    """

    kind: Literal["person", "service"]
    subject: str  # OIDC `sub`, SAML NameID, SPIFFE ID (`spiffe://…`), DNS name or the configured name of a service
    provider: str = ""  # name of the login provider, or of the issuer of a service's token; "" by certificate
    email: str = ""  # canonical lower-case address, only when the provider says it is verified; else ""
    name: str = ""  # for display
    groups: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()  # fields here, such as "groups", that the provider did not tell us
    claims: dict[str, Any] = {}  # the mapped-through claims of the ID token, JSON values; absent means unknown
    session: str = ""  # public session id (`sid`), "" for services
    auth_time: float | None = None  # seconds since the epoch of the last active authentication; None is unknown
    acr: str = ""
    amr: tuple[str, ...] = ()
    mfa: bool | None = None  # what the provider's acr and amr say by its `mfa` setting; None is unknown
    second_factor: tuple[str, ...] = ()  # our own second factor in this session, as RFC 8176 words; outlives a refresh
    second_factor_at: float | None = None  # seconds since the epoch of its last use


class Certificate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client certificate that passed verification (RFC 5280 path, times, EKU, CRL)."""

    sha256: str  # hex SHA-256 of the DER
    serial: str  # hex
    subject_serial: str = ""  # serialNumber of its subject (RFC 5280 appendix A.1); "" when it has none or several
    names: tuple[str, ...]  # URI and DNS subject alternative names, URIs first, as presented (CN is never read)
    not_after: float  # seconds since the epoch
    good_until: float  # when the verdict must be made anew: min(chain not_after, CRL nextUpdate)
