"""The words between the supervisor and its workers: JSON lines over a socket pair."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec

_LIMIT = 16 * 1024 * 1024  # a worker's metrics with ten thousand routes fit


class Message(msgspec.Struct, omit_defaults=True):
    """One line. `word` says what it is; an answer carries the `number` of its question.

    supervisor → worker: prepare, commit, discard, metrics, drain
    worker → supervisor: ready, status, answer
    """

    word: str
    number: int = 0
    ok: bool = True
    text: str = ""
    data: Any = None


_decoder = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()


class Channel:
    """One end. `say` never waits; `messages` ends when the other side is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Channel:
        """Take over a connected Unix socket."""
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_LIMIT)
        return cls(reader, writer)

    def say(self, message: Message) -> None:
        """Send a line, unless the other side is gone."""
        if not self._writer.is_closing():
            self._writer.write(_encoder.encode(message) + b"\n")

    async def messages(self) -> AsyncIterator[Message]:
        """What the other side says."""
        while True:
            try:
                line = await self._reader.readline()
            except (OSError, ValueError):
                return
            if not line:
                return
            yield _decoder.decode(line)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
