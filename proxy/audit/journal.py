"""The worker's end of the record: a synchronous `record`, a bounded buffer and one writer thread.

What is promised:
- `record` never waits. It encodes the line and appends it to a list; the thread writes what has gathered every 50 ms,
  or as soon as 512 lines wait. A worker killed with SIGKILL loses at most that; the next start says so in the record.
- The disk is asked to confirm (fdatasync) once a second while lines arrive, before rotation ends and at the close: a
  machine that loses power loses at most the last second.
- When the file cannot be written the log says so once, lines wait in a buffer of 16 MiB, and `healthy` turns False if
  `on_failure` is `refuse`. Writing is tried twice a second; when it works again the waiting lines are written and one
  line says how many, if any, were lost.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proxy.audit.appender import Appender
from proxy.audit.event import Event, Notice, encode_body, rfc3339, rfc3339_second
from proxy.audit.runs import Mark, Run, dead_runs, set_mark
from proxy.settings.schema import Audit

log = logging.getLogger("ostiary.audit")

GATHER = 0.05  # seconds the thread lets lines gather
RETRY = 0.5  # seconds between tries while the disk fails
SYNC = 1.0  # seconds between confirmations by the disk
BATCH = 512  # lines that end the gathering early
CHUNK = 4096  # lines written at once, when many waited for the disk


class Journal:
    """One per worker process; make it after the fork. `record` is for one thread, the event loop's.

    `healthy`: may requests be let in? Only ever False with `on_failure: refuse`. `writable`: does the disk take lines?
    `lost`: lines dropped so far in this run because the buffer was full.
    """

    def __init__(
        self,
        settings: Audit,
        clock: Callable[[], float] = time.time,
        *,
        worker: int = 0,
        buffer_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.healthy = True
        self.writable = True
        self.lost = 0
        self._settings = settings
        self._clock = clock
        self._buffer_bytes = buffer_bytes
        self._file = Path(settings.file)
        self._appender = Appender(self._file, rotate=settings.rotate, keep=settings.keep, torn=self._torn_line)
        self._run = Run(run=secrets.token_hex(4), worker=worker, pid=os.getpid(), started=rfc3339(clock()))
        self._head = b',"run":"' + self._run.run.encode() + b'","seq":'
        self._second = -1
        self._second_text = b""
        # Appended to by the event loop, cut off at the front by the thread: both are single steps of the interpreter.
        self._lines: list[bytes] = []
        self._sequence = 0  # numbers of lines given out
        self._recorded = 0  # events handed to `record`
        self._bytes_in = 0  # only the event loop adds to this one
        self._bytes_out = 0  # only the thread to these three
        self._delivered = 0
        self._lost_told = 0
        self._mark: Mark | None = None
        self._dead: list[Mark] = []
        self._synced = time.monotonic()
        self._dirty = False
        self._closing = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._progress = threading.Condition()
        self._open_run()
        self._writer = threading.Thread(target=self._write_until_closed, name="audit", daemon=True)
        self._writer.start()

    def __repr__(self) -> str:
        state = "writable" if self.writable else "failing"
        return f"<Journal {self._file} run={self._run.run} {state} waiting={len(self._lines)} lost={self.lost}>"

    # --- the event loop's side -------------------------------------------------------------------------------------

    def record(self, event: Event) -> None:
        """Put one event on record. Never waits, never raises for what a client sent."""
        self._recorded += 1
        self._add(event.time, encode_body(event))

    def record_encoded(self, moment: float, body: bytes) -> None:
        """As `record`, for a line made by `template.Template`; `moment` is its time."""
        self._recorded += 1
        self._add(moment, body)

    def _add(self, moment: float, body: bytes) -> None:
        second = int(moment)
        if second != self._second:
            self._second = second
            self._second_text = b'{"time":"' + rfc3339_second(second).encode()
        self._sequence = sequence = self._sequence + 1
        # Cutting off the body's own brace joins both into one object.
        line = b'%b.%06dZ"%b%d,%b\n' % (
            self._second_text,
            (moment - second) * 1e6,
            self._head,
            sequence,
            body[1:],
        )
        size = self._bytes_in + len(line)
        if size - self._bytes_out > self._buffer_bytes:
            self._drop()
            return
        self._bytes_in = size
        lines = self._lines
        lines.append(line)
        waiting = len(lines)
        if waiting == 1:
            self._wake.set()
        elif waiting == BATCH:
            self._hurry.set()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all recorded so far is in the file. False: not within `timeout` seconds, or the disk fails."""
        with self._progress:
            target = self._delivered + len(self._lines)
            self._hurry.set()
            self._wake.set()
            return self._progress.wait_for(lambda: self._delivered >= target, timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits and the closing record. Says in the log what could not be written within `timeout` s."""
        self._closing = True
        self._hurry.set()
        self._wake.set()
        self._writer.join(timeout)
        if missing := len(self._lines) + self.lost - self._lost_told:
            log.error("audit: %d records could not be written to %s and are lost", missing, self._file)

    def _drop(self) -> None:
        self.lost += 1
        self._fail("the buffer is full: the disk does not keep up")

    # --- the thread's side -----------------------------------------------------------------------------------------

    def _write_until_closed(self) -> None:
        while not self._closing:
            self._wake.wait(self._nap())
            self._wake.clear()
            if self._lines and self.writable:
                self._hurry.wait(GATHER)
            self._hurry.clear()
            self._deliver()
            self._sync_when_due()
            if self._lines and self.writable:
                self._wake.set()
        self._close_run()

    def _nap(self) -> float | None:
        """Seconds to wait when no line arrives; None is for ever."""
        if not self.writable:
            return RETRY
        return max(0.0, self._synced + SYNC - time.monotonic()) if self._dirty else None

    def _deliver(self) -> None:
        """Write all that waits; on failure it stays where it is."""
        try:
            while count := min(len(self._lines), CHUNK):
                batch = b"".join(self._lines[:count])
                self._appender.append(batch)
                self._bytes_out += len(batch)
                self._dirty = True
                with self._progress:
                    del self._lines[:count]
                    self._delivered += count
                    self._progress.notify_all()
            self._tell_lost()
            if not self.writable:  # believe in the disk again only when it confirms
                self._appender.sync()
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        self._recover()
        while self._dead:
            self._dead.pop().remove()

    def _tell_lost(self) -> None:
        if lost := self.lost - self._lost_told:
            note = "these records were dropped while the file could not be written; their seq numbers are missing"
            self._append_now(Notice(type="lost", worker=self._run.worker, lost=lost, note=note))
            self._lost_told += lost

    def _append_now(self, notice: Notice) -> None:
        self._appender.append(self._notice_line(notice))
        self._dirty = True

    def _notice_line(self, notice: Notice) -> bytes:
        """A line outside the numbering: only the event loop gives out numbers."""
        head = f'{{"time":"{rfc3339(self._clock())}","run":"{self._run.run}",'
        return head.encode() + encode_body(notice)[1:] + b"\n"

    def _torn_line(self) -> bytes:
        return self._notice_line(Notice(type="torn", note="the line before this one broke off: its writer was killed"))

    def _sync_when_due(self) -> None:
        if not self._dirty or time.monotonic() < self._synced + SYNC:
            return
        self._synced = time.monotonic()
        self._dirty = False
        try:
            self._appender.sync()
        except OSError as error:
            self._fail(f"the disk did not confirm what was written: {error.strerror}")

    # --- failing and recovering ------------------------------------------------------------------------------------

    def _fail(self, why: str) -> None:
        if not self.writable:
            return
        self.writable = False
        refuse = self._settings.on_failure == "refuse"
        self.healthy = not refuse
        then = "requests are refused" if refuse else "requests go on without record"
        log.error("audit: cannot write %s: %s; %s until it works again (audit.on_failure)", self._file, why, then)

    def _recover(self) -> None:
        if self.writable:
            return
        self.writable = True
        self.healthy = True
        self._mark_run()
        log.warning("audit: %s can be written again; %d records were lost in this run", self._file, self.lost)

    # --- a run's beginning and end ---------------------------------------------------------------------------------

    def _open_run(self) -> None:
        self._dead = dead_runs(self._file)
        for mark in self._dead:
            self._add_notice(_unclosed(mark.run))
        self._add_notice(Notice(type="start", worker=self._run.worker, pid=self._run.pid))
        self._mark_run()
        self._deliver()

    def _add_notice(self, notice: Notice) -> None:
        self._add(self._clock(), encode_body(notice))

    def _mark_run(self) -> None:
        if self._mark is not None or self._file.is_char_device() or self._file.is_fifo():
            return
        try:
            self._mark = set_mark(self._file, self._run)
        except OSError as error:
            log.warning("audit: a crash of this worker will not be noted, no mark beside %s: %s", self._file, error)

    def _close_run(self) -> None:
        self._deliver()
        run = self._run
        stop = Notice(type="stop", worker=run.worker, pid=run.pid, recorded=self._recorded, lost=self.lost)
        try:
            if self.writable:
                self._append_now(stop)
                self._appender.sync()
                if self._mark is not None:
                    self._mark.remove()
        except OSError as error:
            self._fail(error.strerror or str(error))
        self._appender.close()


def _unclosed(run: Run) -> Notice:
    return Notice(
        type="unclosed",
        worker=run.worker,
        pid=run.pid,
        of=run.run,
        started=run.started,
        note="this run ended without its closing record: it was killed or could not write; what it recorded in its "
        "last moments is missing after the highest seq of this run",
    )
