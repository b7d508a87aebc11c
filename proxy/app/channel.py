"""The words between the supervisor and its workers: MessagePack over a socket pair, each behind its length.

Knows neither of them, so that the supervisor need not load what only workers use.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import pickle
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec.structs import replace

from proxy.settings.schema import Settings
from proxy.telemetry.log import Format

_LENGTH = 4  # bytes of a message's length, big endian
_PIECE = 100  # routes


class Order(msgspec.Struct):
    """What a worker process is started with: descriptors are inherited."""

    number: int
    channel: int
    sockets: dict[str, int]  # listener address → descriptor
    folder: str  # for sockets of our own, mode 0700
    log_format: Format = "auto"
    log_level: str = "info"


class Message(msgspec.Struct, omit_defaults=True):
    """`word` says what it is; an answer carries the `number` of its question. `data` may hold bytes.

    supervisor → worker: build, serve, prepare, commit, discard, metrics, drain
    worker → supervisor: built, status, answer
    """

    word: str
    number: int = 0
    ok: bool = True
    text: str = ""
    data: Any = None


_decoder = msgspec.msgpack.Decoder(Message)
_encoder = msgspec.msgpack.Encoder()


class Channel:
    """One end. `say` never waits; `messages` ends when the other side is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Channel:
        """Take over a connected Unix socket."""
        return cls(*await asyncio.open_unix_connection(sock=sock))

    def say(self, message: Message) -> None:
        """Send, unless the other side is gone."""
        if not self._writer.is_closing():
            encoded = _encoder.encode(message)
            self._writer.write(len(encoded).to_bytes(_LENGTH, "big") + encoded)

    async def messages(self) -> AsyncIterator[Message]:
        """What the other side says."""
        while True:
            try:
                length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
                encoded = await self._reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError):
                return
            yield _decoder.decode(encoded)

    async def close(self) -> None:
        """Hang up, once everything said is on its way."""
        self._writer.close()
        with contextlib.suppress(OSError):  # the other side was faster
            await self._writer.wait_closed()


def packed(settings: Settings) -> list[bytes]:
    """A configuration as the `data` of a message: in pieces, because whoever unpacks one piece does nothing else."""
    routes = settings.routes
    pieces: list[object] = [routes[start : start + _PIECE] for start in range(0, len(routes), _PIECE)]
    return [pickle.dumps(piece) for piece in (replace(settings, routes=()), *pieces)]


def settings_in(message: Message) -> Settings:
    """The configuration in a message."""
    pieces = [pickle.loads(piece) for piece in message.data]  # noqa: S301  # from our own parent, over our own socket
    settings = pieces[0]
    if not isinstance(settings, Settings):
        raise TypeError("a configuration was expected")
    return replace(settings, routes=tuple(itertools.chain(*pieces[1:])))
