"""Nudges between the processes that share a store: “there is something new, look now”, and the acknowledgement.

Datagrams on Unix sockets in a folder only the proxy's user can enter. They carry no facts: the store has those, so a
lost or forged nudge can at worst make somebody look for nothing, and polling finds what a lost one meant.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from proxy.sessions.folder import make_private

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?:worker|visitor)-[0-9]{1,10}-[0-9a-f]{16}\.sock")
_MESSAGE = re.compile(rb"(nudge|ack) ([0-9a-f]{16}) ([a-z0-9.-]{1,64})")
_BURST = 256  # datagrams read in one turn of the loop


class Nudge(NamedTuple):
    """Somebody asks us to look now: `token` and the socket name to acknowledge it to."""

    token: bytes
    reply: str


class Delivery(NamedTuple):
    """How many running workers were told of a change, and how many said within the time that they had acted on it."""

    told: int
    acknowledged: int

    @property
    def complete(self) -> bool:
        """Every running worker has acted."""
        return self.told == self.acknowledged


class Nudges:
    """One process's socket in the folder. Without `on_nudge` we only visit: others do not nudge us.

    `create` makes the folder; without it a missing folder means that nobody runs. Raises OSError from `open`.
    """

    def __init__(self, folder: Path, on_nudge: Callable[[Nudge], None] | None = None, *, create: bool = True) -> None:
        role = "visitor" if on_nudge is None else "worker"
        self.name = f"{role}-{os.getpid()}-{secrets.token_hex(8)}.sock"
        self._folder = folder
        self._create = create
        self._on_nudge = on_nudge
        self._descriptor = -1
        self._socket: socket.socket | None = None
        self._asked: dict[bytes, set[str]] = {}  # token → names that have not acknowledged yet
        self._answered = asyncio.Event()

    def open(self) -> None:
        """Bind our socket and listen on the running loop. Nothing happens when the folder is missing and not made."""
        if self._create:
            make_private(self._folder)
        elif not self._folder.exists():
            return
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._check_folder()
            self._socket = self._bound()
        except OSError:
            self.close()
            raise
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Stop listening and remove our socket."""
        if self._socket is not None:
            with contextlib.suppress(RuntimeError):  # the loop is gone already
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
            with contextlib.suppress(OSError):
                os.unlink(self.name, dir_fd=self._descriptor)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def announce(self, wait: float) -> Delivery:
        """Nudge every running worker but ourselves; wait at most `wait` seconds for them to have acted."""
        if self._socket is None:
            return Delivery(0, 0)
        token = secrets.token_hex(8).encode()
        untold = {name for name in os.listdir(self._descriptor) if self._is_other_worker(name)}  # noqa: PTH208  by descriptor
        waiting = self._asked[token] = set()
        told = 0
        try:
            async with asyncio.timeout(wait):
                while untold or waiting:
                    self._answered.clear()
                    untold, reached = self._tell(untold, token)
                    waiting |= reached
                    told += len(reached)
                    if untold or waiting:
                        await self._answer(0.005 if untold else wait)
        except TimeoutError:
            pass
        finally:
            del self._asked[token]
        return Delivery(told + len(untold), told - len(waiting))

    async def _answer(self, patience: float) -> None:
        """Wait for any acknowledgement; whoever's queue was full is tried again in a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._answered.wait()

    def acknowledge(self, nudge: Nudge) -> None:
        """Say that we have acted on everything there was when the nudge came."""
        self._send(nudge.reply, b"ack %b %b" % (nudge.token, self.name.encode()))

    def _tell(self, names: set[str], token: bytes) -> tuple[set[str], set[str]]:
        """(those whose queue is full, those that have it now); the dead are neither, and their sockets are removed."""
        message = b"nudge %b %b" % (token, self.name.encode())
        sent = {name: self._send(name, message) for name in names}
        return {each for each, how in sent.items() if how is None}, {each for each, how in sent.items() if how}

    def _send(self, name: str, message: bytes) -> bool | None:
        """True: delivered; None: its queue is full; False: nobody is there."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(message, self._address(name))
        except BlockingIOError:
            return None
        except ConnectionRefusedError:  # its process was killed: nothing will ever listen under this name again
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._descriptor)
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return None
            if error.errno != errno.ENOENT:
                log.warning("nudge to %s failed: %s", name, error.strerror)
            return False
        return True

    def _readable(self) -> None:
        for _ in range(_BURST):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(256)
            except (BlockingIOError, InterruptedError):
                return
            if (message := _MESSAGE.fullmatch(data)) and _NAME.fullmatch(name := message[3].decode()):
                self._received(message[1], message[2], name)

    def _received(self, what: bytes, token: bytes, name: str) -> None:
        if what == b"nudge" and self._on_nudge is not None:
            self._on_nudge(Nudge(token, name))
        elif what == b"ack" and token in self._asked:
            self._asked[token].discard(name)
            self._answered.set()

    def _is_other_worker(self, name: str) -> bool:
        return name != self.name and name.startswith("worker-") and _NAME.fullmatch(name) is not None

    def _check_folder(self) -> None:
        found = os.fstat(self._descriptor)
        if found.st_mode & 0o077 or found.st_uid not in (os.geteuid(), *([found.st_uid] if os.geteuid() == 0 else [])):
            raise OSError(
                errno.EPERM,
                f"it must belong to the proxy's user with mode 0700; run `chmod 700 {self._folder}` or delete it",
            )

    def _bound(self) -> socket.socket:
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            bound.bind(self._address(self.name))
            # The folder keeps others out; root's command line must be answerable by a proxy that is not root.
            os.chmod(self.name, 0o666, dir_fd=self._descriptor)  # noqa: S103  in a 0700 folder, by descriptor
        except OSError:
            bound.close()
            raise
        return bound

    def _address(self, name: str) -> str:
        """Through /proc where there is one: a socket's path may be 108 bytes long only."""
        through = f"/proc/self/fd/{self._descriptor}/{name}"
        return through if os.path.exists(f"/proc/self/fd/{self._descriptor}") else str(self._folder / name)  # noqa: PTH110  hot enough
