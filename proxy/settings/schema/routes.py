"""Routes and their rules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from proxy.settings.schema.base import Duration, Name, NonEmpty, Size, Strict


class Hours(Strict, frozen=True, kw_only=True):
    """A weekly window: `days` mon…sun, `from`/`to` as HH:MM in `zone` (an IANA name). `to` before `from` wraps."""

    start: Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")] = msgspec.field(name="from", default="00:00")
    end: Annotated[str, Meta(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")] = msgspec.field(
        name="to", default="24:00"
    )
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = (
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
        "sat",
        "sun",
    )
    zone: str = "UTC"


class Conditions(Strict, frozen=True, kw_only=True):
    """All that are given must hold (AND); a list inside one is OR. Absent means not asked."""

    users: NonEmpty | None = None  # e-mail addresses, or `provider:subject`
    domains: NonEmpty | None = None  # of the verified e-mail address
    groups: NonEmpty | None = None
    claims: dict[str, Any] | None = None  # name (dots reach inside) → value or list of values
    services: NonEmpty | None = None  # spiffe://…, DNS names, ISSUER:name by token; `*` as last segment, first label
    providers: NonEmpty | None = None
    authenticated: bool | None = None  # any person or service
    anyone: bool | None = None  # even nobody
    methods: NonEmpty | None = None
    paths: NonEmpty | None = None  # globs: `*` within a segment, `**` across
    networks: NonEmpty | None = None  # CIDRs of the client address
    hours: Annotated[tuple[Hours, ...], Meta(min_length=1)] | None = None
    auth_age: Duration | None = None  # the login, or our own second factor, must be at most this old
    mfa: bool | None = None  # several factors, by the provider's word or by our own second factor
    amr: NonEmpty | None = None  # any of these authentication methods (RFC 8176)
    acr: NonEmpty | None = None  # any of these authentication contexts
    device: dict[str, Any] | None = None  # attribute → true, false, value, list, or comparison such as ">=14.2";
    # also max_age, source, assurance
    not_: Conditions | None = msgspec.field(name="not", default=None)


class Rule(Conditions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named set of conditions."""

    name: Name


class Baseline(Conditions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions that every rule of the routes with one of these labels must meet as well. They add, they never
    replace. Nobody is exempt unless `applies_to` says so."""

    name: Name
    labels: NonEmpty  # `*` is every route
    applies_to: Literal["everybody", "people", "services"] = "everybody"


class WeightedUpstream(Strict, frozen=True, kw_only=True):
    """One of several upstreams; a share of `weight` in the sum of weights."""

    url: str  # http://host:port, https://host:port, unix:/path
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1


class UpstreamTls(Strict, frozen=True, kw_only=True):
    """How an https upstream is verified, and who we are to it."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None
    spiffe_id: str | None = None  # the server must prove this name, by the bundle of its trust domain; instead of `ca`


class Timeouts(Strict, frozen=True, kw_only=True):
    """Per-route deadlines; `idle` is without a byte either way, `total` (off by default) bounds the exchange."""

    connect: Duration = Duration(5)
    response: Duration = Duration(60)  # until the response head
    idle: Duration = Duration(300)
    total: Duration | None = None


class HeaderEdits(Strict, frozen=True, kw_only=True):
    """Headers to set (replacing any of that name) and to remove."""

    set: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Redirect(Strict, frozen=True, kw_only=True):
    """Answer with a redirect instead of an upstream. `{path}` in `url` stands for the canonical path and query."""

    url: str
    status: Literal[301, 302, 303, 307, 308] = 308


class Refusal(Strict, frozen=True, kw_only=True):
    """The route's own words for people who are refused: a text and perhaps a link to ask for access."""

    text: str
    link: str | None = None


class Route(Strict, frozen=True, kw_only=True):
    """What is behind one origin and path prefix, and who may use it. Nothing allows by default."""

    name: Name
    source: str = msgspec.field(name="from")  # https://host[:port][/prefix]; host may begin with `*.`
    to: str | Annotated[tuple[str | WeightedUpstream, ...], Meta(min_length=1)] | None = None
    redirect: Redirect | None = None
    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    labels: tuple[Name, ...] = ()  # what baselines go by
    public: bool = False  # anyone, without login; deny rules still apply
    strip_prefix: bool = False
    host: str = "preserve"  # or `rewrite` (the upstream's own name), or a literal name
    request_headers: HeaderEdits = HeaderEdits()
    response_headers: HeaderEdits = HeaderEdits()
    cors_preflight: bool = False  # let unauthenticated OPTIONS preflights through
    websocket_origins: tuple[str, ...] = ()  # foreign origins that may open WebSockets, or `*`
    upgrades: tuple[str, ...] = ("websocket",)
    client_certificate: Literal["optional", "required"] = "optional"
    timeouts: Timeouts = Timeouts()
    upstream_tls: UpstreamTls = UpstreamTls()
    upstream_connections: Annotated[int, Meta(ge=1)] = 256  # per upstream and worker
    body_bytes: Size | None = None
    provider: str | None = None  # log in here without asking which
    refusal: Refusal | None = None
    title: str | None = None  # on the portal; default: name
    description: str | None = None
    hidden: bool = False  # not on the portal
