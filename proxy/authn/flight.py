"""One piece of work at a time, shared by everybody who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class SingleFlight:
    """Awaiting an instance runs `work`, or joins the run under way.

    The work is a task of its own: when a waiter is cancelled (the browser left), the others still get the result.
    """

    def __init__(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether a run is under way that a caller would join."""
        return self._task is not None and not self._task.done()

    async def __call__(self) -> None:
        """Return when a run has ended, raising what it raised."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        await asyncio.shield(self._task)
