"""Programs under test: started, pinned to processors, weighed, and stopped whatever happens.

CPU time is user + system time of a whole process tree from `/proc` (proc(5), stat fields 14–17), memory its
proportional set size from `smaps_rollup`: shared pages are divided among those who share them, so a tree sums up right.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class CorrectnessError(Exception):
    """Something answered wrongly or lost bytes: the run fails, whatever its timing."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now, below the range outgoing connections are given."""
    first = 10_000 + os.getpid() * 37 % 15_000
    for port in range(first, first + 5_000):
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                _handed_out.add(port)
                return port
    raise RuntimeError("no free port on 127.0.0.1")


_handed_out: set[int] = set()


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue.extend(children.get(current, ()))
    return found


def cpu_seconds(pid: int) -> float:
    """User + system seconds the tree of `pid` has used, with those of children that ended and were waited for."""
    ticks = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_SECOND


def pss_kib(pid: int) -> int:
    """Proportional set size of the tree of `pid`, in KiB."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total


def pin(pid: int, cpus: Iterable[int]) -> None:
    """Bind every thread of the tree of `pid` to `cpus`."""
    wanted = set(cpus)
    for member in tree(pid):
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{member}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), wanted)


def dies_with_us(cpus: Iterable[int] | None) -> Callable[[], None]:
    """What a child does before it runs: be ended when we end, and be bound to `cpus`."""
    wanted = None if cpus is None else set(cpus)

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if wanted:
            os.sched_setaffinity(0, wanted)

    return prepare


class Fleet:
    """Every program one run started. Use as a context manager: leaving it stops them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, process in reversed(self._running):
            stop(process)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        port: int | None = None,
        cpus: Iterable[int] | None = None,
        environment: Mapping[str, str] | None = None,
        within: float = 30,
    ) -> subprocess.Popen[bytes]:
        """Start a program; with `port`, return once it accepts connections there. Output goes to `<name>.log`."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                preexec_fn=dies_with_us(cpus),
                start_new_session=True,
            )
        self._running.append((name, process))
        if port is not None:
            self.await_port(process, port, within)
        return process

    def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        """Stop one program early."""
        self._running = [(name, other) for name, other in self._running if other is not process]
        if process is not None:
            stop(process)

    def await_port(self, process: subprocess.Popen[bytes], port: int, within: float = 30) -> None:
        """Wait until a program we started listens on a port. Raises CorrectnessError when it does not, or ends."""
        name = next(name for name, other in self._running if other is process)
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.05)
        log = (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]
        state = "ended" if process.poll() is not None else f"does not listen on port {port} after {within:.0f} s"
        raise CorrectnessError(f"{name} {state}; it said:\n{log or '(nothing)'}")


def stop(process: subprocess.Popen[bytes], patience: float = 10) -> None:
    """End a program and all of its session: asked first, killed when it does not obey within `patience` seconds."""
    members = tree(process.pid)
    with contextlib.suppress(subprocess.TimeoutExpired):
        if process.poll() is None:
            process.terminate()
            process.wait(patience)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads its own group, so orphans of a crash go too
    process.wait()
    deadline = time.monotonic() + 2  # orphans are not ours to wait for, but they are to be gone
    while any(running(member) for member in members) and time.monotonic() < deadline:
        time.sleep(0.01)


def running(pid: int) -> bool:
    """Whether a process lives; one that ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def run_python(
    module: str, *arguments: str | float | Path, cpus: Iterable[int] | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run one of our own load generators to its end, bound to `cpus`; its standard output is the answer."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        check=False,
        preexec_fn=dies_with_us(cpus),
    )
    if done.returncode != 0:
        raise CorrectnessError(f"{module} failed:\n{done.stderr[-2000:] or done.stdout[-2000:]}")
    return done
