"""Binding listening sockets.

Each worker gets a socket of its own per address (SO_REUSEPORT), so the kernel spreads connections evenly; the
supervisor keeps all of them open, so what queues on a crashed worker's socket is served by its successor.
"""

from __future__ import annotations

import errno
import socket


class AddressUnusable(Exception):
    """An address cannot be listened on; the message names it and says what to do."""


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` → (host, port). Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{address!r}: write an IPv6 address in brackets, as in [::1]:8443")
    return host, int(port)


def _open(address: str, reuse_port: bool) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if host != "::" else 0)
        sock.bind((host or "0.0.0.0", port))  # noqa: S104  # an empty host is the admin's explicit choice
    except OSError as error:
        sock.close()
        raise AddressUnusable(_explain(address, error)) from None
    return sock


def _explain(address: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use: stop the program that listens there, or choose another address"
    if error.errno == errno.EACCES:
        return f"{address}: not allowed; ports below 1024 need CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address}: this machine has no such address"
    return f"{address}: {error.strerror or error}"


def bind(address: str, count: int) -> list[socket.socket]:
    """`count` listening sockets on one address, one for each worker. Raises AddressUnusable, ValueError."""
    # SO_REUSEPORT would let us share the port with a stranger of the same user: look first, without it.
    _open(address, reuse_port=False).close()
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = _open(address, reuse_port=True)
            sockets.append(sock)
            sock.listen(4096)
            sock.setblocking(False)
    except AddressUnusable:
        for sock in sockets:
            sock.close()
        raise
    return sockets
