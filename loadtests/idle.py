"""Opens many connections and does nothing with them: `ready` on standard output, then a line on standard input ends it.

WebSockets are opened through the whole handshake; kept HTTP connections make one request each first. At the end every
WebSocket must still echo a message, every HTTP connection still answer. Blocking sockets from several loopback
addresses, since a proxy limits how many one address may open.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
from pathlib import Path

from loadtests import wire
from loadtests.frames import BINARY, Frames, frame
from loadtests.processes import CorrectnessError
from loadtests.shapes import TINY

_SOURCES = 10


def opened(args: argparse.Namespace, context: ssl.SSLContext | None, number: int) -> socket.socket:
    """Connection `number`, established and idle."""
    connection = wire.connect(args.port, args.host, context, f"127.0.0.{2 + number % _SOURCES}")
    authority = args.authority
    if args.websocket:
        connection.sendall(wire.handshake(authority, args.cookie, args.origin))
        expected = 101
    else:
        connection.sendall(wire.request(TINY, authority, args.cookie))
        expected = 200
    status, head, _ = wire.receive(connection)
    if status != expected:
        raise CorrectnessError(f"connection {number} was answered {head[:200]!r}")
    return connection


def alive(args: argparse.Namespace, connection: socket.socket, number: int) -> None:
    """It still works. Raises CorrectnessError or OSError."""
    if args.websocket:
        message = str(number).encode()
        connection.sendall(frame(message, masked=True))
        if Frames().feed(connection.recv(1024)) != [(BINARY, message)]:
            raise CorrectnessError(f"WebSocket {number} no longer echoes")
    else:
        connection.sendall(wire.request(TINY, args.authority, args.cookie))
        if wire.receive(connection)[0] != 200:
            raise CorrectnessError(f"connection {number} no longer answers")


def main(args: argparse.Namespace) -> None:
    """Open, wait, check."""
    context = wire.client_context(args.ca) if args.ca else None
    connections = [opened(args, context, number) for number in range(args.count)]
    print("ready", flush=True)
    sys.stdin.readline()
    for number, connection in enumerate(connections):
        alive(args, connection, number)
    print("alive", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--authority", required=True, help="what to send as Host")
    parser.add_argument("--cookie", required=True)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--websocket", action="store_true")
    parser.add_argument("--ca", type=Path, help="use TLS and verify against this authority")
    main(parser.parse_args())
