"""The door of a clear-text listener: every request is sent to https, and nothing else happens here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.audit.event import Event
from proxy.gateway.answers import write_redirect, write_refusal
from proxy.gateway.record import record_malformed
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.net.downstream import Downstream
from proxy.web.refusals import Refusal
from proxy.wire.host import HostRefused
from proxy.wire.host import parse as parse_host
from proxy.wire.lines import Malformed
from proxy.wire.path import PathRefused, canonical
from proxy.wire.request import RequestHead

if TYPE_CHECKING:
    from proxy.gateway.door import House


class RedirectDoor:
    """Answers 308 to the same host and path over TLS, for hosts we serve; 404 for others, so nobody is sent astray."""

    def __init__(self, house: House, released: Callable[[str], None]) -> None:
        self.house = house
        self._released = released

    def open(self, connection: Downstream, head: RequestHead) -> _Redirected:
        """Called by a connection for each request."""
        return _Redirected(self, connection, head)

    def refuse(self, connection: Downstream, mistake: Malformed) -> None:
        """Answer what is not a request, and close."""
        self._say_no(connection, Reason.BAD_REQUEST, mistake.why)
        connection.close()

    def _say_no(self, connection: Downstream, reason: Reason, why: str) -> None:
        reference = self.house.reference()
        refusal = Refusal(reason, reference=reference, detail=why)
        status, size = write_refusal(connection, refusal, want="json", keep=False)
        record_malformed(self.house, connection.address, reason, why, reference, status, size)

    def _record(self, address: str, head: RequestHead, outcome: Outcome, reason: Reason, status: int) -> None:
        house = self.house
        event = Event(
            time=house.clock(),
            outcome=outcome,
            reason=reason,
            reference=house.reference(),
            address=address,
            method=head.method,
            host=parse_host(head.fields.host).host,
            path=canonical(head.target).path,
            status=status,
            revision=house.snapshot.revision,
        )
        house.journal.record(event)
        house.metrics.observe("", str(outcome), status, 0.0, 0)
        house.metrics.decided(str(reason))

    def location(self, head: RequestHead) -> str | None:
        """Where a request belongs; None for a host we do not serve. Raises HostRefused, PathRefused."""
        host = parse_host(head.fields.host).host
        snapshot = self.house.snapshot
        plan = snapshot.any_plan(host)
        if plan is None:
            return None
        target = canonical(head.target).forward.decode("ascii")
        return plan.source._replace(host=host, scheme="https").origin + target

    def closed(self, connection: Downstream) -> None:
        """The connection is gone."""
        self._released(connection.address)

    def answer(self, connection: Downstream, head: RequestHead) -> None:
        """Redirect or refuse; the connection is not kept."""
        try:
            location = self.location(head)
        except (HostRefused, PathRefused) as refused:
            self._say_no(connection, Reason.BAD_REQUEST, refused.why)
            return
        if location is None:
            self._say_no(connection, Reason.NO_ROUTE, "")
        else:
            write_redirect(connection, 308, location, keep=False)
            self._record(connection.address, head, Outcome.ALLOW, Reason.REDIRECT, 308)


class _Redirected:
    """One redirected request: answered from its head; a body is read and dropped by the connection."""

    def __init__(self, door: RedirectDoor, connection: Downstream, head: RequestHead) -> None:
        self._door = door
        self._connection = connection
        self._head = head

    def begin(self) -> None:
        self._door.answer(self._connection, self._head)
        self._connection.finished(keep=False)

    def request_data(self, data: bytes) -> None:
        """Not read."""

    def request_end(self) -> None:
        """Not waited for."""

    def request_malformed(self, mistake: Malformed) -> None:
        """Not looked at."""

    def client_gone(self) -> None:
        """Nothing to let go of."""

    def client_paused(self) -> None:
        """The answer is small."""

    def client_resumed(self) -> None:
        """The answer is small."""

    def overdue(self, now: float) -> None:
        self._connection.abort()
