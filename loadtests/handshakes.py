"""Full TLS 1.3 handshakes with a client certificate, one after another, never resumed, over a few threads.

In TLS 1.3 a client is done before the server has looked at its certificate. So each handshake says goodbye
(close_notify) and waits for the server's answer: by then it has judged the certificate, and a refusal is an alert.
"""

from __future__ import annotations

import argparse
import json
import ssl
import threading
import time
from pathlib import Path

from loadtests import wire
from loadtests.processes import CorrectnessError
from loadtests.shapes import TINY


def shake(port: int, host: str, context: ssl.SSLContext, request: bytes) -> None:
    """One handshake, accepted by the server, perhaps one request, then closed. Raises CorrectnessError."""
    try:
        connection = wire.connect(port, host, context)
        assert isinstance(connection, ssl.SSLSocket)
        with connection:
            if connection.version() != "TLSv1.3" or connection.session_reused:
                raise CorrectnessError(f"not a full TLS 1.3 handshake: {connection.version()}")
            if request:
                connection.sendall(request)
                if wire.receive(connection)[0] != 200:
                    raise CorrectnessError("a request after a handshake was not answered with 200")
            try:
                connection.unwrap()
            except (ssl.SSLEOFError, ssl.SSLSyscallError, ConnectionResetError):
                return  # closed without saying so; a refusal would have been an alert
    except (TimeoutError, ssl.SSLError, ConnectionError) as error:
        raise CorrectnessError(f"a handshake failed: {error}") from error


def measure(args: argparse.Namespace) -> dict[str, float]:
    """How many were made, and in how many seconds."""
    context = wire.client_context(args.ca, (args.cert, args.key))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    request = wire.request(TINY, args.request, "none=here") if args.request else b""
    until = time.monotonic() + args.seconds
    made: list[int] = []
    failures: list[CorrectnessError] = []

    def work() -> None:
        count = 0
        try:
            while time.monotonic() < until:
                shake(args.port, args.host, context, request)
                count += 1
        except CorrectnessError as error:
            failures.append(error)
        made.append(count)

    started = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(args.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {"handshakes": sum(made), "seconds": time.monotonic() - started}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--request", metavar="AUTHORITY", help="also make one tiny GET, with this Host")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--threads", type=int, default=4)
    print(json.dumps(measure(parser.parse_args())))
