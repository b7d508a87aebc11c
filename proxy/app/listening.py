"""The listeners of one worker: their sockets, what a connection is made of, and what a reload changes about them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence

from proxy.app.compose import Plan
from proxy.gateway.door import House, HttpDoor
from proxy.gateway.redirector import RedirectDoor
from proxy.net.acceptor import Acceptor, Counts
from proxy.net.door import Door
from proxy.net.downstream import Downstream
from proxy.net.tls import TlsListener
from proxy.settings.schema import Limits, Listener
from proxy.wire.forwarded import Network, networks


class Listening:
    """All listeners of a configuration. `sockets` are theirs, by address; they are closed by `stop`."""

    def __init__(self, plan: Plan, sockets: Mapping[str, socket.socket], house: House, counts: Counts) -> None:
        configuration = plan.settings.configuration
        self._sockets = sockets
        self._house = house
        self._tls: dict[str, TlsListener] = dict(plan.tls)  # a reload changes what is in them
        self._doors: dict[str, HttpDoor] = {}
        self._acceptors = [self._acceptor(one, configuration.limits, counts) for one in configuration.listeners]

    def _acceptor(self, listener: Listener, limits: Limits, counts: Counts) -> Acceptor:
        address = listener.address
        tls = self._tls.get(address)
        door: Door
        acceptor: Acceptor

        def released(client: str) -> None:
            acceptor.released(client)

        if tls is None and listener.cleartext == "redirect":
            door = RedirectDoor(self._house, released)
        else:
            door = self._doors[address] = HttpDoor(self._house, address, networks(listener.trusted_proxies), released)

        def exempt(client: str) -> bool:
            return isinstance(door, HttpDoor) and _within(client, door.trusted)

        def connection(client: str) -> Downstream:
            return Downstream(door, acceptor.limits, self._house.ticker, client)

        acceptor = Acceptor(address, self._sockets[address], tls, connection, limits, counts, exempt)
        return acceptor

    def start(self) -> None:
        """Begin to accept."""
        for acceptor in self._acceptors:
            acceptor.start()

    def stop(self) -> None:
        """Accept no more: who connects now is refused, and may go elsewhere, instead of waiting for nobody."""
        for acceptor in self._acceptors:
            acceptor.stop()
        for sock in self._sockets.values():
            sock.close()

    def adopt(self, fresh: Plan) -> None:
        """From the next connection on: other certificates, authorities, limits and trusted proxies."""
        configuration = fresh.settings.configuration
        for address, tls in self._tls.items():
            tls.adopt(fresh.tls[address])
        for listener in configuration.listeners:
            if listener.address in self._doors:
                self._doors[listener.address].trusted = networks(listener.trusted_proxies)
        for acceptor in self._acceptors:
            acceptor.limits = configuration.limits


def _within(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
