"""Before anything is timed: does this target answer every request, byte for byte, and only to whom it should?"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Iterator

from loadtests import frames, wire
from loadtests.processes import CorrectnessError
from loadtests.shapes import DOWNLOAD, PAGE, POST, SHAPES, TINY, UPLOAD, Shape, download_body, page_body
from loadtests.targets import Target

_BODY = {
    TINY.name: b"ok\n",
    PAGE.name: page_body(),
    POST.name: b"received %d\n" % len(UPLOAD),
    DOWNLOAD.name: download_body(),
}


def verify(target: Target, tls: bool) -> dict[str, int]:
    """Make every kind of request once. Returns the length of each shape's whole answer, head and body, in bytes.

    Raises CorrectnessError when an answer is wrong, a byte is lost, or somebody without a session gets in.
    """
    context = wire.client_context(target.stage.certificates.ca) if tls else None
    with _named(target, tls):
        lengths = {shape.name: _answer(target, shape, context) for shape in SHAPES}
        _digest(target, context)
        _echo(target, context)
        if target.authenticated:
            _stranger(target, context)
    return lengths


def _answer(target: Target, shape: Shape, context: ssl.SSLContext | None) -> int:
    port = target.port(context is not None)
    with wire.connect(port, target.host, context) as connection:
        lengths = set()
        for _ in range(2):  # the second on the kept connection
            body = UPLOAD if shape.upload else b""
            connection.sendall(wire.request(shape, target.authority(context is not None), target.cookie, body))
            status, head, answer = wire.receive(connection)
            if status != 200 or answer != _BODY[shape.name]:
                raise CorrectnessError(f"{shape.title}: {status}, {len(answer)} bytes: {head[:300]!r} {answer[:300]!r}")
            lengths.add(len(head) + len(answer))
        return max(lengths)


def _digest(target: Target, context: ssl.SSLContext | None) -> None:
    port = target.port(context is not None)
    shape = Shape("digest", "POST for its digest", "/ws/digest")
    body = download_body()[: 3 * 1024 * 1024 + 17]
    with wire.connect(port, target.host, context) as connection:
        connection.sendall(wire.request(shape, target.authority(context is not None), target.cookie, body))
        status, _, answer = wire.receive(connection)
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}\n".encode()
    if status != 200 or answer != expected:
        raise CorrectnessError(f"an upload of {len(body)} bytes arrived as {answer!r} ({status})")


def _echo(target: Target, context: ssl.SSLContext | None) -> None:
    port = target.port(context is not None)
    with wire.connect(port, target.host, context) as connection:
        connection.sendall(
            wire.handshake(target.authority(context is not None), target.cookie, target.origin(context is not None))
        )
        status, head, _ = wire.receive(connection)
        if status != 101:
            raise CorrectnessError(f"a WebSocket was refused: {head!r}")
        reader = frames.Frames()
        for size in (0, 1, 125, 126, 5000, 60_000):
            message = download_body()[:size]
            connection.sendall(frames.frame(message, masked=True))
            got: list[tuple[int, bytes]] = []
            while not got:
                data = connection.recv(65_536)
                if not data:
                    raise CorrectnessError(f"a WebSocket ended while {size} bytes were on their way")
                got = reader.feed(data)
            if got != [(frames.BINARY, message)]:
                raise CorrectnessError(f"a WebSocket message of {size} bytes came back changed")


def _stranger(target: Target, context: ssl.SSLContext | None) -> None:
    port = target.port(context is not None)
    with wire.connect(port, target.host, context) as connection:
        connection.sendall(wire.request(PAGE, target.authority(context is not None), "nothing=here"))
        data = connection.recv(65_536)
    if not data.startswith(b"HTTP/1.1 ") or data[9:10] not in b"34" or page_body()[:40] in data:
        raise CorrectnessError(f"without a session the answer was {data[:200]!r}")


@contextlib.contextmanager
def _named(target: Target, tls: bool) -> Iterator[None]:
    try:
        yield
    except (CorrectnessError, OSError) as error:
        raise CorrectnessError(f"{target.title}, {'TLS' if tls else 'clear'}: {error!r}") from error
