"""What can go wrong, sorted by what to do about it. Every text is a sentence for the person at the machine."""

from __future__ import annotations


class AgentError(Exception):
    """It cannot be done. The text says why, and what to change."""


class Unreachable(AgentError):
    """The proxy cannot be asked right now, or gave no sensible answer: trying again later may help.

    `retry_after`: seconds the proxy asked us to wait; None when it did not say.
    """

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Refused(AgentError):
    """The proxy said no. `reason` is its code (see `model.reasons`); `status` that of HTTP."""

    def __init__(self, text: str, *, status: int, reason: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
