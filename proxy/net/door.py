"""Who decides about requests: what a connection expects of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from proxy.wire.lines import Malformed
from proxy.wire.request import RequestHead

if TYPE_CHECKING:
    from proxy.net.downstream import Downstream


class Exchange(Protocol):
    """What the door makes of one request; told what the client does."""

    def begin(self) -> None:
        """The head is read; decide. A body, if any, follows."""

    def request_data(self, data: bytes) -> None:
        """Body bytes, or raw bytes after an upgrade."""

    def request_end(self) -> None:
        """The body is complete, or the client half-closed after an upgrade."""

    def request_malformed(self, mistake: Malformed) -> None:
        """The body broke its framing."""

    def client_gone(self) -> None:
        """The client went away before the exchange was finished."""

    def client_paused(self) -> None:
        """The client reads slower than we write."""

    def client_resumed(self) -> None:
        """It caught up."""

    def overdue(self, now: float) -> None:
        """The deadline that the exchange set on the connection has passed."""


class Door(Protocol):
    """Who decides about requests on a listener."""

    def open(self, connection: Downstream, head: RequestHead) -> Exchange:
        """A request has arrived."""

    def refuse(self, connection: Downstream, mistake: Malformed) -> None:
        """Something arrived that is not a request: answer, record, close."""

    def closed(self, connection: Downstream) -> None:
        """The connection is gone."""
