"""Sessions, identity to apps, the record, the admin address, and every bound."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from proxy.settings.schema.base import Duration, SecretRef, Size, Strict


class Sessions(Strict, frozen=True, kw_only=True):
    """How long a login lasts. `refresh` is how often tokens and groups are renewed at the provider;
    `outage_grace` is how long a session goes on while the provider is down, counted from when it confirmed it last."""

    lifetime: Duration = Duration(12 * 3600)
    idle: Duration = Duration(3600)
    refresh: Duration = Duration(300)
    outage_grace: Duration = Duration(3600)
    key: SecretRef | None = None  # seals cookies and tokens at rest; default: a key file made beside the state


class Assertion(Strict, frozen=True, kw_only=True):
    """Keys that sign `X-Ostiary-Assertion`: `key` signs, `previous` are still published."""

    key: str
    previous: tuple[str, ...] = ()
    lifetime: Duration = Duration(300)


class Audit(Strict, frozen=True, kw_only=True):
    """The decision record: JSON lines, rotated by size. `on_failure`: refuse requests, or continue without record."""

    file: str = "var/audit.jsonl"
    rotate: Size = Size(100 * 1024 * 1024)
    keep: Annotated[int, Meta(ge=0)] = 10
    on_failure: Literal["refuse", "continue"] = "refuse"


class Admin(Strict, frozen=True, kw_only=True):
    """Health, readiness and metrics. Loopback unless `allow_remote` says otherwise."""

    address: str = "127.0.0.1:9901"
    allow_remote: bool = False
    hosts: tuple[str, ...] = ()  # names it is asked under, besides localhost and IP addresses (others are refused)


class Limits(Strict, frozen=True, kw_only=True):
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
