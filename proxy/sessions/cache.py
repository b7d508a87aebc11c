"""What a worker remembers of sessions: bounded, and never more than the store would say."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import OrderedDict, deque
from collections.abc import Iterable
from weakref import WeakValueDictionary

from proxy.model.reasons import Reason
from proxy.sessions.live import Gone, LiveSession, Stream

log = logging.getLogger(__name__)

MOST_HANDLES = 50_000
MOST_GONE = 4096
GONE_FOR = 5.0  # seconds for which a handle that leads nowhere is not looked up again
_SLICE = 64  # streams cut in one turn of the loop


class Cache:
    """Handles → sessions, oldest out first beyond MOST_HANDLES, and the handles known to lead nowhere.

    A session is held by its handles only. One whose handles were all pushed out is still found by its id for as long as
    an exchange holds it, so that its end reaches that exchange.
    """

    def __init__(self) -> None:
        self.handles: OrderedDict[bytes, tuple[LiveSession, str]] = OrderedDict()
        self.by_sid: WeakValueDictionary[str, LiveSession] = WeakValueDictionary()
        self._gone: OrderedDict[bytes, tuple[Gone, float]] = OrderedDict()

    def remember(self, handle: bytes, live: LiveSession, host: str) -> None:
        """From now on this handle leads to this session on this host."""
        if len(self.handles) >= MOST_HANDLES and handle not in self.handles:
            oldest, (old, _) = self.handles.popitem(last=False)
            old.handles.discard(oldest)
        self.handles[handle] = (live, host)
        live.handles.add(handle)

    def forget(self, live: LiveSession) -> set[bytes]:
        """Its next request must ask the store. Returns the handles it had."""
        forgotten, live.handles = live.handles, set()
        for handle in forgotten:
            self.handles.pop(handle, None)
        return forgotten

    def forget_all(self) -> None:
        """Every next request must ask the store."""
        for live in list(self.by_sid.values()):
            live.handles.clear()
        self.handles.clear()
        self._gone.clear()

    def bury(self, handles: Iterable[bytes], gone: Gone, now: float) -> None:
        """These handles lead nowhere; remembered for a moment."""
        for handle in handles:
            if len(self._gone) >= MOST_GONE:
                self._gone.popitem(last=False)
            self._gone[handle] = (gone, now + GONE_FOR)

    def buried(self, handle: bytes, now: float) -> Gone | None:
        """What is known of a handle that leads nowhere; None: ask the store."""
        found = self._gone.get(handle)
        if found is None:
            return None
        gone, until = found
        if until - GONE_FOR <= now < until:
            return gone
        del self._gone[handle]
        return None


class Deadlines:
    """When to look at which session next: a heap, so that a quiet second costs nothing."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []
        self._serial = 0

    def add(self, when: float, live: LiveSession) -> None:
        """Look at this session at `when`."""
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, live.sid))

    def due(self, now: float, most: int) -> list[str]:
        """At most `most` session ids whose time has come, removed."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(found) < most:
            found.append(heapq.heappop(self._heap)[2])
        return found

    def rebuild(self, entries: Iterable[tuple[float, LiveSession]]) -> None:
        """Start over with these."""
        self._heap = []
        for when, live in entries:
            self.add(when, live)

    def __len__(self) -> int:
        return len(self._heap)


class Cutter:
    """Cuts streams a few in each turn of the loop, so that ten thousand of them do not make everybody else wait."""

    def __init__(self) -> None:
        self._order: deque[Stream] = deque()
        self._waiting: dict[Stream, Reason] = {}

    def cut(self, streams: Iterable[Stream], reason: Reason) -> None:
        """End these, each once: the first at once, the others in the next turns of the loop."""
        idle = not self._waiting
        for stream in streams:
            if stream not in self._waiting:
                self._waiting[stream] = reason
                self._order.append(stream)
        if idle and self._waiting:
            self._some()

    def _some(self) -> None:
        for _ in range(min(_SLICE, len(self._order))):
            stream = self._order.popleft()
            try:
                stream.cut(self._waiting[stream])
            except Exception:
                log.exception("a stream of an ended session could not be cut")
            finally:
                del self._waiting[stream]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._some)
