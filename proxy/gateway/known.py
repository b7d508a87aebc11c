"""What follows from a request's fields alone, worked out once for all requests that repeat them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.gateway.bearer import token_in
from proxy.sessions import cookie
from proxy.wire.host import parse
from proxy.wire.request import Fields

if TYPE_CHECKING:
    from proxy.gateway.plan import RoutePlan
    from proxy.gateway.snapshot import Snapshot
    from proxy.gateway.views import WorkloadView


class Known:
    """Remembered in `Fields.memo`, for one connection and as long as one configuration is in force.

    `host` is canonical, "" for one we do not serve, `authority` the same with its port; `handle` the session cookie's
    value; `token` a bearer token of an issuer we know; `lines` the field lines for an app, our cookies and that token
    taken out. `stamp` is the last head made for an app (see `stamp.py`).
    """

    __slots__ = ("authority", "handle", "host", "lines", "snapshot", "stamp", "token")

    def __init__(self, snapshot: Snapshot, fields: Fields, workloads: WorkloadView) -> None:
        """Raises HostRefused, CredentialRefused."""
        self.snapshot = snapshot
        self.host = snapshot.host(fields.host)
        port = parse(fields.host).port
        self.authority = (self.host if port is None else f"{self.host}:{port}").encode("ascii")
        self.handle: bytes | None = None
        self.token: bytes | None = None
        self.lines = fields.lines
        self.stamp: tuple[RoutePlan, bytes, bytes, bytes, str, bytes] | None = None
        if fields.authorization is not None:
            self.token = token_in(fields.authorization, workloads.recognises)
            if self.token is not None:
                self.lines = [line for line in self.lines if not line.startswith(b"Authorization:")]
        if fields.cookies:
            self.handle, rest = cookie.take(*fields.cookies)
            if rest:
                self.lines = [*self.lines, b"Cookie: " + rest]
