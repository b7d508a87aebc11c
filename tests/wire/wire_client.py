"""A client that reads strictly and sends however it likes."""

from __future__ import annotations

import asyncio
import socket
import struct

from strict_reader import Message, read_response


class Client(asyncio.Protocol):
    """One connection to the proxy. Reads responses strictly; `silent` is what came that no test has read yet."""

    def __init__(self) -> None:
        self.silent = b""
        self.eof = False
        self.reset = False  # hung up on so rudely that an answer might have been lost
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream transport

    def data_received(self, data: bytes) -> None:
        """Bytes from the proxy."""
        self.silent += data
        self._news.set()

    def eof_received(self) -> bool:
        """The proxy will say no more."""
        self.eof = True
        self._news.set()
        return self.transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody will say any more."""
        self.reset = isinstance(exc, ConnectionResetError | BrokenPipeError)
        self.eof = True
        self._news.set()

    async def send(self, data: bytes, *, by: int = 0) -> None:
        """Send; `by` bytes at a time, each in a segment of its own, until the proxy has hung up."""
        for at in range(0, len(data), by or len(data)):
            if self.eof or self.transport.is_closing():
                return
            self.transport.write(data[at : at + (by or len(data))])
            if by:
                await settle(2)

    def half_close(self) -> None:
        """Say that no more will be sent."""
        self.transport.write_eof()

    async def _more(self, seconds: float = 5.0) -> bool:
        if self.eof:
            return False
        self._news.clear()
        async with asyncio.timeout(seconds):
            await self._news.wait()
        return not self.eof

    async def response(self, method: str = "GET") -> Message | None:
        """The next response, or None when the proxy hung up without one. It may be incomplete."""
        while True:
            found = read_response(self.silent, method, closed=self.eof)
            if found is not None and found[0].complete:
                break
            if self.eof:
                break
            await self._more()
        if found is None:
            return None
        message, size = found
        self.silent = self.silent[size:]
        return message

    async def closed(self) -> bool:
        """Wait until the proxy has hung up. False when it sent something first."""
        before = self.silent
        while await self._more():
            pass
        return self.silent == before

    async def raw(self, size: int) -> bytes:
        """The next bytes, as they are."""
        while len(self.silent) < size and await self._more():
            pass
        data, self.silent = self.silent[:size], self.silent[size:]
        return data

    async def nothing(self) -> bool:
        """Whether nothing comes while both sides have had every chance to move."""
        await settle()
        return not self.silent and not self.eof

    def close(self) -> None:
        """Be gone: the proxy is told at once, by a reset."""
        if not self.transport.is_closing():
            own = self.transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


async def is_open(client: Client) -> bool:
    """Whether the proxy has not hung up, nor said anything."""
    await settle()
    return not client.eof and not client.silent


async def settle(rounds: int = 12) -> None:
    """Let what is on its way arrive: on loopback every hop takes one turn of the loop."""
    for _ in range(rounds):
        await asyncio.sleep(0)
