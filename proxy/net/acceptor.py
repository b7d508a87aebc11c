"""Accepting connections, with the caps that must hold before a handshake has cost anything."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from proxy.net.tls import TlsListener
from proxy.settings.schema import Limits

_log = logging.getLogger("ostiary.net")
_BURST = 64
_BREATH = 0.5  # seconds to wait when the process is out of descriptors


class Counts(Protocol):
    """Where the acceptor reports; told about connections and handshakes."""

    def connections(self, listener: str, open_now: int) -> None:
        """How many connections a listener has now."""

    def handshake(self, result: str) -> None:
        """A TLS handshake ended: ok, failed or timeout."""


class Acceptor:
    """Accepts on one listening socket and hands each connection to a protocol made by `make(address)`.

    `connections` bounds all of them and leaves the rest queued in the kernel; `connections_per_address` closes what
    is over, except from `exempt` addresses (trusted proxies speak for many). Call `released(address)` when one is gone.
    """

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        tls: TlsListener | None,
        make: Callable[[str], Any],
        limits: Limits,
        counts: Counts,
        exempt: Callable[[str], bool] = lambda _address: False,
    ) -> None:
        self.name = name
        self.limits = limits
        self.open = 0
        self._sock = sock
        self._tls = tls
        self._make = make
        self._counts = counts
        self._exempt = exempt
        self._per_address: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = False
        self._stopped = False

    def start(self) -> None:
        """Begin accepting on the running loop."""
        self._listen()

    def stop(self) -> None:
        """Accept no more; connections under way go on."""
        self._stopped = True
        self._pause()

    def _listen(self) -> None:
        if not self._listening and not self._stopped:
            asyncio.get_running_loop().add_reader(self._sock, self._accept)
            self._listening = True

    def _pause(self) -> None:
        if self._listening:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._listening = False

    def _accept(self) -> None:
        for _ in range(_BURST):
            if self.open >= self.limits.connections:
                self._pause()
                return
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    _log.error("%s: no connection can be accepted for a moment: %s", self.name, error.strerror)
                    self._pause()
                    asyncio.get_running_loop().call_later(_BREATH, self._listen)
                return
            self._admit(sock, str(peer[0]))

    def _admit(self, sock: socket.socket, address: str) -> None:
        if address.startswith("::ffff:"):
            address = address[7:]
        held = self._per_address.get(address, 0)
        if held >= self.limits.connections_per_address and not self._exempt(address):
            sock.close()
            return
        self._per_address[address] = held + 1
        self.open += 1
        self._counts.connections(self.name, self.open)
        sock.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._connect(sock, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, sock: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        protocol = self._make(address)
        if self._tls is None:
            await loop.connect_accepted_socket(lambda: protocol, sock)
            return
        result = "failed"
        try:
            await loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self._tls.context, ssl_handshake_timeout=self.limits.tls_handshake
            )
            result = "ok"
        except TimeoutError:
            result = "timeout"
        except (OSError, ssl.SSLError):
            pass  # the client's doing; counted
        finally:
            self._counts.handshake(result)
            if result != "ok":
                self.released(address)

    def released(self, address: str) -> None:
        """A connection from `address` is gone."""
        self.open -= 1
        held = self._per_address.get(address, 0) - 1
        if held > 0:
            self._per_address[address] = held
        else:
            self._per_address.pop(address, None)
        self._counts.connections(self.name, self.open)
        if not self._listening and self.open < self.limits.connections:
            self._listen()
