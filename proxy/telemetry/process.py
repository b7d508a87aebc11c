"""What this process costs, read from the kernel when somebody asks."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import NamedTuple

from proxy.telemetry.metrics import Metrics

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Cost(NamedTuple):
    """CPU in seconds, memory in bytes, `files` is 0 where the kernel does not say."""

    cpu_seconds: float
    resident_bytes: int
    files: int


def cost() -> Cost:
    """The calling process now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(used.ru_utime + used.ru_stime, _resident(used.ru_maxrss), _files())


def report(metrics: Metrics, worker: str, started: float) -> None:
    """Put the calling process's cost under the label `worker`; `started` is seconds since the epoch."""
    now = cost()
    metrics.set("ostiary_process_cpu_seconds_total", worker, value=now.cpu_seconds)
    metrics.set("ostiary_process_resident_bytes", worker, value=now.resident_bytes)
    metrics.set("ostiary_process_open_files", worker, value=now.files)
    metrics.set("ostiary_process_start_time_seconds", worker, value=started)


def _resident(peak: int) -> int:
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except OSError:  # not Linux: the peak is the nearest there is, in bytes on macOS, else in KiB
        return peak if sys.platform == "darwin" else peak * 1024


def _files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path objects for thousands of descriptors are waste
    except OSError:
        return 0
