"""What the agent remembers between starts: who it is, to whom it reports, and the number of its last report.

The number is written down before a report is sent, so that no crash can make it repeat. It is at least the time in
seconds, so that it grows even when the folder comes back from a backup. One far ahead of the time comes from a clock
that was wrong; the proxy takes none of those, so the next is of the time again.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from proxy.agent.errors import AgentError
from proxy.agent.home import Home
from proxy.model.report import SEQ_AHEAD

FILE: Final = "device.json"
AUTHORITIES: Final = "authorities.pem"


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """The file. Times are seconds since the epoch; `authorities`: whether a private authority is trusted instead of
    the system's; `tcti`: how the TPM is reached, when the environment said so at enrolment."""

    device: str
    login: str
    name: str
    storage: Literal["file", "tpm"]
    enrolled: float
    interval: float
    approved: bool = False
    authorities: bool = False
    tcti: str = ""
    seq: int = 0
    reported: float = 0.0
    note: str = ""
    stopped: str = ""


class Memory:
    """Reads and writes what is remembered in `home`."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def known(self) -> bool:
        """Whether this machine is enrolled."""
        return self._home.exists(FILE)

    def load(self) -> Remembered:
        """What is remembered. Raises AgentError."""
        if not self.known():
            raise AgentError(
                f"this machine is not enrolled (nothing in {self._home.path}): take a code from your apps page and run "
                "`ostiary device enrol URL --code CODE`"
            )
        try:
            return msgspec.json.decode(self._home.read(FILE), type=Remembered)
        except msgspec.DecodeError as error:
            raise AgentError(f"{self._home.path / FILE} is damaged ({error}): enrol again with --replace") from error

    def save(self, remembered: Remembered) -> None:
        """Write it down; it is on the disk when this returns. Raises AgentError."""
        self._home.write(FILE, msgspec.json.format(msgspec.json.encode(remembered), indent=2) + b"\n")

    def change(self, **changes: object) -> Remembered:
        """Write down some changes. Raises AgentError."""
        changed = msgspec.structs.replace(self.load(), **changes)
        self.save(changed)
        return changed

    def next_seq(self, now: float) -> int:
        """The number for the report about to be sent: never one that the proxy has taken before. Raises AgentError."""
        seq = max(self.load().seq + 1, int(now))
        if seq > now + SEQ_AHEAD:
            seq = int(now)
        self.change(seq=seq)
        return seq
