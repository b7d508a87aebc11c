"""A listener's door: opens an exchange for each request and holds what exchanges share."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from proxy.assertion import Signer
from proxy.audit.journal import Journal
from proxy.gateway.answers import write_refusal
from proxy.gateway.http import HttpExchange
from proxy.gateway.record import record_malformed
from proxy.gateway.snapshot import Snapshot
from proxy.gateway.views import DeviceView, NoDevices, NoWorkloads, WorkloadView
from proxy.gateway.watch import Watch
from proxy.model.identity import Certificate
from proxy.model.reasons import Reason
from proxy.net.downstream import Downstream
from proxy.net.peer import chain_of
from proxy.net.ticker import Ticker
from proxy.net.tls import requested_name
from proxy.sessions.live import LiveSession
from proxy.sessions.service import Sessions
from proxy.telemetry.metrics import Metrics
from proxy.web.refusals import Refusal
from proxy.wire.forwarded import Network, client_address
from proxy.wire.lines import Malformed
from proxy.wire.request import RequestHead

_log = logging.getLogger("ostiary.gateway")
_REASON_OF_STATUS = {
    408: Reason.REQUEST_TIMEOUT,
    413: Reason.BODY_TOO_LARGE,
    417: Reason.EXPECTATION_FAILED,
    431: Reason.HEAD_TOO_LARGE,
    501: Reason.NOT_IMPLEMENTED,
}


class Renewal(Protocol):
    """Renews a session at its provider, in the background, once for all who ask."""

    def poke(self, live: LiveSession, now: float) -> bool:
        """The session is due; True when the request must wait for `settled` before it is decided."""

    async def settled(self, live: LiveSession) -> None:
        """Wait for the renewal under way."""


class House:
    """What the exchanges of one worker share. `snapshot` and `signer` are replaced by a reload, whole."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        sessions: Sessions,
        journal: Journal,
        metrics: Metrics,
        signer: Signer,
        ticker: Ticker,
        clock: Callable[[], float],
        renewal: Renewal,
        devices: DeviceView | None = None,
        workloads: WorkloadView | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.sessions = sessions
        self.journal = journal
        self.metrics = metrics
        self.signer = signer
        self.ticker = ticker
        self.clock = clock
        self.renewal = renewal
        self.devices: DeviceView = NoDevices() if devices is None else devices
        self.workloads: WorkloadView = NoWorkloads() if workloads is None else workloads
        self.draining = False
        self.open: set[HttpExchange] = set()  # what is forwarded to apps now
        self.watch = Watch(self)
        self.exchanges = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._store_down = False
        self._prefix = secrets.token_hex(4)
        self._count = itertools.count(1)

    def store_failed(self, error: Exception) -> None:
        """The session store did not answer; said once, until it does again."""
        if not self._store_down:
            self._store_down = True
            _log.error("sessions cannot be read, nobody is let in by one: %s", error)

    def store_answered(self) -> None:
        """The session store answers."""
        if self._store_down:
            self._store_down = False
            _log.info("sessions can be read again")

    def device_news(self, device: str, at: float) -> None:
        """Something is known anew of this device ("" is any), decided at `at`: what is open from it is decided again.

        To be called after `devices` knows it."""
        self.watch.device_news(device, at)

    def reference(self) -> str:
        """A name for one request, unique among workers and restarts."""
        return f"{self._prefix}-{next(self._count):08x}"


class Notes:
    """What the door knows about one connection."""

    __slots__ = (
        "address",
        "certificate",
        "chain",
        "forwarded_line",
        "identity_blocks",
        "line",
        "problem",
        "sni",
        "verifier",
    )

    def __init__(self, address: str, sni: str | None, chain: tuple[bytes, ...]) -> None:
        self.address = address
        self.sni = sni  # None without TLS; "" when the client named no host
        self.chain = chain
        self.verifier: object = None  # the judge that gave the verdict below
        self.certificate: Certificate | None = None
        self.problem: Reason | None = None
        self.forwarded_line = b"X-Forwarded-For: %b\r\n" % address.encode("ascii", "replace")
        self.line: tuple[Any, ...] | None = None  # the last line of the record, see `record.py`
        self.identity_blocks: dict[Any, Any] = {}  # as LiveSession.scratch, for services


class HttpDoor:
    """The door of one listener."""

    def __init__(
        self, house: House, listener: str, trusted: Sequence[Network], released: Callable[[str], None]
    ) -> None:
        self.house = house
        self.listener = listener
        self.trusted = trusted
        self._released = released

    def open(self, connection: Downstream, head: RequestHead) -> HttpExchange:
        """Called by a connection for each request."""
        notes = connection.scratch
        if notes is None:
            notes = connection.scratch = self._notes(connection)
        if self.trusted:
            address = client_address(connection.address, head.fields.forwarded_for, self.trusted)
            if address != notes.address:
                chain, sni = notes.chain, notes.sni
                notes = connection.scratch = Notes(address, sni, chain)
        return HttpExchange(self.house, self.listener, connection, head, notes)

    def _notes(self, connection: Downstream) -> Notes:
        ssl_object = connection.ssl_object
        if ssl_object is None:
            return Notes(connection.address, None, ())
        return Notes(connection.address, requested_name(ssl_object), chain_of(ssl_object))

    def refuse(self, connection: Downstream, mistake: Malformed) -> None:
        """Answer what is not a request, and close."""
        reason = _REASON_OF_STATUS.get(mistake.status, Reason.BAD_REQUEST)
        reference = self.house.reference()
        refusal = Refusal(reason, reference=reference, detail=mistake.why)
        status, size = write_refusal(connection, refusal, want="json", keep=False)
        record_malformed(self.house, connection.address, reason, mistake.why, reference, status, size)
        connection.close()

    def closed(self, connection: Downstream) -> None:
        """The connection is gone."""
        self._released(connection.address)
