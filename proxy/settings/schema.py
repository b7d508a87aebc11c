"""The shape of the configuration: every key an admin can write, with its default.

Pure: no file is read here. `parse` turns YAML nodes into these Structs and reports mistakes by file, line and column;
`load` reads files; the JSON Schema that editors use is generated from these same Structs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class Duration(float):
    """Seconds, written as `250ms`, `10s`, `15m`, `12h`, `7d` or a sum such as `1h30m`."""


class Size(int):
    """Bytes, written as `512`, `32KiB`, `10MiB`, `2GiB` (or kB, MB, GB in powers of ten)."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only, unknown keys are errors."""


NonEmpty = Annotated[tuple[str, ...], Meta(min_length=1)]


# --- listeners -------------------------------------------------------------------------------------------------


class CertificatePair(_Strict, frozen=True, kw_only=True):
    """A certificate chain and its private key, both PEM files; chosen by SNI from the names in the certificate."""

    cert: str
    key: str


class Tls(_Strict, frozen=True, kw_only=True):
    """TLS of a listener. `client_ca` makes the listener ask for a client certificate; routes decide who needs one."""

    certificates: Annotated[tuple[CertificatePair, ...], Meta(min_length=1)]
    client_ca: str | None = None
    client_crl: tuple[str, ...] = ()  # PEM or DER revocation lists, read again when they change
    client_certificate: Literal["optional", "required"] = "optional"
    min_version: Literal["1.2", "1.3"] = "1.2"


class Listener(_Strict, frozen=True, kw_only=True):
    """One address to listen on. With `tls` it serves the routes; without, it only redirects to https,
    unless `cleartext: proxy` says that TLS ends in front of it (loopback or with `trusted_proxies` only)."""

    address: str  # host:port, [v6]:port
    tls: Tls | None = None
    cleartext: Literal["redirect", "proxy"] = "redirect"
    trusted_proxies: tuple[str, ...] = ()  # CIDRs whose X-Forwarded-For is believed; none by default


# --- login -----------------------------------------------------------------------------------------------------


class SecretRef(_Strict, frozen=True, kw_only=True):
    """Where a secret is: an environment variable or a file. Secrets are never written in the configuration."""

    env: str | None = None
    file: str | None = None


class ClaimsMapping(_Strict, frozen=True, kw_only=True):
    """Which claim holds what; dots reach into nested objects (`realm_access.roles`)."""

    subject: str = "sub"
    email: str = "email"
    name: str = "name"
    groups: str = "groups"


class Provider(_Strict, frozen=True, kw_only=True):
    """An OpenID provider. `domains` sends people who type a mail address of these domains straight to it."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
    issuer: str
    client_id: str
    type: Literal["oidc"] = "oidc"
    client_secret: SecretRef | None = None
    title: str | None = None  # on the chooser; default: name
    scopes: tuple[str, ...] = ("openid", "email", "profile", "groups")
    claims: ClaimsMapping = ClaimsMapping()
    domains: tuple[str, ...] = ()
    ca: str | None = None  # PEM file; default: the system's authorities
    algorithms: tuple[str, ...] = ("RS256", "ES256", "PS256", "EdDSA")
    trust_unverified_email: bool = False
    authorization_params: dict[str, str] = {}


class Login(_Strict, frozen=True, kw_only=True):
    """The host of our own pages and the identity providers. Without providers only certificates identify anybody."""

    url: str
    providers: tuple[Provider, ...] = ()


class Sessions(_Strict, frozen=True, kw_only=True):
    """How long a login lasts. `refresh` is how often tokens and groups are renewed at the provider;
    `outage_grace` is how long a session goes on while the provider is down, counted from when it confirmed it last."""

    lifetime: Duration = Duration(12 * 3600)
    idle: Duration = Duration(3600)
    refresh: Duration = Duration(300)
    outage_grace: Duration = Duration(3600)
    key: SecretRef | None = None  # seals cookies and tokens at rest; default: a key file made beside the state


# --- identity to apps, state, record, admin ---------------------------------------------------------------------


class Assertion(_Strict, frozen=True, kw_only=True):
    """Keys that sign `X-Ostiary-Assertion`: `key` signs, `previous` are still published."""

    key: str
    previous: tuple[str, ...] = ()
    lifetime: Duration = Duration(300)


class Audit(_Strict, frozen=True, kw_only=True):
    """The decision record: JSON lines, rotated by size. `on_failure`: refuse requests, or continue without record."""

    file: str = "var/audit.jsonl"
    rotate: Size = Size(100 * 1024 * 1024)
    keep: Annotated[int, Meta(ge=0)] = 10
    on_failure: Literal["refuse", "continue"] = "refuse"


class Admin(_Strict, frozen=True, kw_only=True):
    """Health, readiness and metrics. Loopback unless `allow_remote` says otherwise."""

    address: str = "127.0.0.1:9901"
    allow_remote: bool = False
    hosts: tuple[str, ...] = ()  # names it is asked under, besides localhost and IP addresses (others are refused)


class Limits(_Strict, frozen=True, kw_only=True):
    """Every bound on what a client may cost. Deadlines are absolute, not per byte."""

    header_bytes: Size = Size(32 * 1024)  # of a request head
    header_fields: int = 100  # of a request
    header_timeout: Duration = Duration(10)  # until a request head is complete
    tls_handshake: Duration = Duration(10)  # until it is complete
    keepalive: Duration = Duration(75)  # without a request
    body_bytes: Size | None = None  # per request; routes may set their own
    body_stall: Duration = Duration(30)  # a request body must keep arriving
    write_stall: Duration = Duration(60)  # a client must keep reading
    pipeline_bytes: Size = Size(64 * 1024)  # sent ahead of an answer
    chunk_overhead: Size = Size(16 * 1024)  # framing bytes of a chunked body beyond twice its data
    drain_bytes: Size = Size(256 * 1024)  # body bytes read and dropped after an early answer
    connections: int = 20_000  # per worker
    connections_per_address: int = 2_000  # per worker
    shutdown: Duration = Duration(30)  # for requests under way when the proxy ends


# --- routes ----------------------------------------------------------------------------------------------------


class Hours(_Strict, frozen=True, kw_only=True):
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


class Conditions(_Strict, frozen=True, kw_only=True):
    """All that are given must hold (AND); a list inside one is OR. Absent means not asked."""

    users: NonEmpty | None = None  # e-mail addresses, or `provider:subject`
    domains: NonEmpty | None = None  # of the verified e-mail address
    groups: NonEmpty | None = None
    claims: dict[str, Any] | None = None  # name (dots reach inside) → value or list of values
    services: NonEmpty | None = None  # spiffe://… or DNS names; `*` as a last path segment or first label
    providers: NonEmpty | None = None
    authenticated: bool | None = None  # any person or service
    anyone: bool | None = None  # even nobody
    methods: NonEmpty | None = None
    paths: NonEmpty | None = None  # globs: `*` within a segment, `**` across
    networks: NonEmpty | None = None  # CIDRs of the client address
    hours: Annotated[tuple[Hours, ...], Meta(min_length=1)] | None = None
    auth_age: Duration | None = None  # the login must be at most this old
    not_: Conditions | None = msgspec.field(name="not", default=None)


class Rule(Conditions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named set of conditions."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class WeightedUpstream(_Strict, frozen=True, kw_only=True):
    """One of several upstreams; a share of `weight` in the sum of weights."""

    url: str  # http://host:port, https://host:port, unix:/path
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1


class UpstreamTls(_Strict, frozen=True, kw_only=True):
    """How an https upstream is verified, and who we are to it."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None


class Timeouts(_Strict, frozen=True, kw_only=True):
    """Per-route deadlines; `idle` is without a byte either way, `total` (off by default) bounds the exchange."""

    connect: Duration = Duration(5)
    response: Duration = Duration(60)  # until the response head
    idle: Duration = Duration(300)
    total: Duration | None = None


class HeaderEdits(_Strict, frozen=True, kw_only=True):
    """Headers to set (replacing any of that name) and to remove."""

    set: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Redirect(_Strict, frozen=True, kw_only=True):
    """Answer with a redirect instead of an upstream. `{path}` in `url` stands for the canonical path and query."""

    url: str
    status: Literal[301, 302, 303, 307, 308] = 308


class Refusal(_Strict, frozen=True, kw_only=True):
    """The route's own words for people who are refused: a text and perhaps a link to ask for access."""

    text: str
    link: str | None = None


class Route(_Strict, frozen=True, kw_only=True):
    """What is behind one origin and path prefix, and who may use it. Nothing allows by default."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    source: str = msgspec.field(name="from")  # https://host[:port][/prefix]; host may begin with `*.`
    to: str | Annotated[tuple[str | WeightedUpstream, ...], Meta(min_length=1)] | None = None
    redirect: Redirect | None = None
    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
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


class RouteFile(_Strict, frozen=True, kw_only=True):
    """One file of the routes folder."""

    routes: tuple[Route, ...]


class Configuration(_Strict, frozen=True, kw_only=True):
    """`ostiary.yaml`."""

    listeners: Annotated[tuple[Listener, ...], Meta(min_length=1)]
    login: Login
    assertion: Assertion
    routes: str | NonEmpty = "routes/"
    sessions: Sessions = Sessions()
    state: str = "sqlite:var/state.db"
    audit: Audit = Audit()
    admin: Admin = Admin()
    limits: Limits = Limits()
    workers: Annotated[int, Meta(ge=1, le=256)] | None = None  # default: one per core


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration and its routes, checked as a whole. Relative paths are already resolved against the
    configuration file's folder. `revision` is a short hash of the names and bytes
    of the YAML files, the same on every machine that has the same files."""

    configuration: Configuration
    routes: tuple[Route, ...]
    revision: str
    files: tuple[str, ...]  # every file whose change should lead to a reload (YAML, certificates, keys, CRLs)
