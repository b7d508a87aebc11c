"""When a Linux machine was last upgraded, from the logs of its package manager.

Installing a new package is no upgrade. unattended-upgrades leaves a stamp when it ran to its end, also when there was
nothing to do: being up to date counts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

from proxy.agent.collect.looking import Look, moment, patch_age
from proxy.agent.probe import Probe
from proxy.model.device import Value

_UNATTENDED: Final = "/var/lib/apt/periodic/unattended-upgrades-stamp"
_UNPACKED: Final = 4 << 20  # bytes of an unpacked log


async def patch_age_days(look: Look) -> dict[str, Value]:
    """Days since the last successful upgrade."""
    probe = look.probe
    times = [*_apt(probe), *_dpkg(probe), *_dnf(probe), *_pacman(probe), probe.modified(_UNATTENDED)]
    return {**patch_age(times, look.now)}


def _apt(probe: Probe) -> Iterator[float | None]:
    """apt's history: entries of `Name: value` lines, with `Upgrade:` when something was, `Error:` when it failed. An
    `install` that brought a newer package along is none."""
    for text in _logs(probe, "/var/log/apt", "history.log"):
        for entry in text.split("\n\n"):
            fields = dict(re.findall(r"(?m)^([A-Z][A-Za-z-]+): (.*)$", entry))
            asked = re.search(r"upgrade\b|update-packages|aptdaemon", fields.get("Commandline", ""))
            if asked and "Upgrade" in fields and "Error" not in fields and "End-Date" in fields:
                yield moment(" ".join(fields["End-Date"].split()), "%Y-%m-%d %H:%M:%S")


def _dpkg(probe: Probe) -> Iterator[float | None]:
    """dpkg's log: `2024-05-01 06:12:13 upgrade PACKAGE OLD NEW`. Only where apt keeps no history: an upgrade that
    failed later is in it too."""
    if probe.names("/var/log/apt") is None:
        for text in _logs(probe, "/var/log", "dpkg.log"):
            for stamp in re.findall(r"(?m)^(\S+ \S+) upgrade ", text):
                yield moment(stamp, "%Y-%m-%d %H:%M:%S")


def _dnf(probe: Probe) -> Iterator[float | None]:
    """dnf's log of rpm: `2024-05-01T06:12:13+0200 SUBDEBUG Upgrade: PACKAGE`; `Upgraded:` when the old one is gone."""
    for text in _logs(probe, "/var/log", "dnf.rpm.log"):
        for stamp in re.findall(r"(?m)^(\S+) SUBDEBUG Upgraded: ", text):
            yield moment(stamp, "%Y-%m-%dT%H:%M:%S%z")


def _pacman(probe: Probe) -> Iterator[float | None]:
    """pacman's log: a `full system upgrade` that begins and whose transaction completes."""
    begun = ""
    for line in probe.tail("/var/log/pacman.log").splitlines():
        stamp, _, said = line.partition("] ")
        if said.startswith("[PACMAN] starting full system upgrade"):
            begun = stamp
        elif begun and said.startswith("[ALPM] transaction completed"):
            yield moment(stamp.lstrip("["), "%Y-%m-%dT%H:%M:%S%z")
            begun = ""


def _logs(probe: Probe, folder: str, name: str) -> Iterator[str]:
    """The text of a log and of the ones that were rotated away."""
    yield probe.tail(f"{folder}/{name}")
    for rotated in probe.names(folder) or []:
        if re.fullmatch(re.escape(name) + r"[.-]\d+", rotated):
            yield probe.tail(f"{folder}/{rotated}")
        elif re.fullmatch(re.escape(name) + r"[.-]\d+\.gz", rotated):
            yield _unpacked(probe.data(f"{folder}/{rotated}") or b"")


def _unpacked(data: bytes) -> str:
    try:
        unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        return unpack.decompress(data, _UNPACKED).decode("utf-8", "replace")
    except zlib.error:
        return ""
