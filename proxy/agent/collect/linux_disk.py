"""Whether the root file system of a Linux machine lies on an encrypted device.

The kernel tells without root: mountinfo names the device, and below /sys/class/block each device names those it lies
on; dm-crypt devices have a `dm/uuid` that begins with CRYPT-. Where /sys does not show it, lsblk is asked. ZFS keeps
its own counsel and is asked itself. A network or memory file system has no answer.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.agent.collect.looking import Look
from proxy.agent.probe import Probe
from proxy.model.device import Value

_DEEPEST = 12  # layers of devices


async def disk_encrypted(look: Look) -> dict[str, Value]:
    """`disk_encrypted` of the root file system."""
    probe = look.probe
    mounted = _root(probe.text("/proc/self/mountinfo") or "")
    if mounted is None:
        return {}
    number, kind, source = mounted
    if kind == "zfs":
        said = await probe.said("zfs", "get", "-H", "-o", "value", "encryption", source)
        return {"disk_encrypted": said != "off"} if said else {}
    name = probe.link(f"/sys/dev/block/{number}") or _named(probe, source)
    if name:
        answer = _encrypted(probe, name)
        if answer is not None:
            return {"disk_encrypted": answer}
    if not source.startswith("/dev/"):
        return {}
    told = await probe.said("lsblk", "--json", "--output", "NAME,PATH,TYPE,MOUNTPOINT")
    answer = _by_lsblk(told, source) if told else None
    return {} if answer is None else {"disk_encrypted": answer}


def _root(text: str) -> tuple[str, str, str] | None:
    """proc_pid_mountinfo(5): the device number, the type and the source of what is mounted on / last."""
    for line in reversed(text.splitlines()):
        before, separator, after = line.partition(" - ")
        words, more = before.split(), after.split()
        if separator and len(words) >= 5 and len(more) >= 2 and words[4] == "/":
            return words[2], more[0], re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), more[1])
    return None


def _named(probe: Probe, source: str) -> str:
    """The kernel's name of a device file; btrfs has no device number of its own."""
    return (probe.link(source) or source.rpartition("/")[2]) if source.startswith("/dev/") else ""


def _encrypted(probe: Probe, name: str, depth: int = 0) -> bool | None:
    """Whether everything below the device `name` passes through dm-crypt; None when /sys does not show the device."""
    here = f"/sys/class/block/{name}"
    if depth > _DEEPEST or probe.names(here) is None:
        return None
    if (probe.text(f"{here}/dm/uuid") or "").startswith("CRYPT-"):
        return True
    below = [_encrypted(probe, each, depth + 1) for each in probe.names(f"{here}/slaves") or []]
    if not below or False in below:
        return False
    return None if None in below else True


def _by_lsblk(text: str, source: str) -> bool | None:
    """The same from `lsblk --json`: whether a device of type crypt is on the way from the disk to `source`."""
    try:
        found = msgspec.json.decode(text, type=dict[str, list[dict[str, Any]]])
    except msgspec.DecodeError as error:
        raise ValueError("lsblk wrote something else") from error
    ways = [way for top in found.get("blockdevices", []) for way in _ways(top, source, ())]
    return all("crypt" in way for way in ways) if ways else None


def _ways(device: dict[str, Any], source: str, above: tuple[str, ...]) -> list[tuple[str, ...]]:
    way = (*above, str(device.get("type")))
    ways = (
        [way] if source in (device.get("path"), f"/dev/{device.get('name')}") or device.get("mountpoint") == "/" else []
    )
    for each in device.get("children", []):
        ways += _ways(each, source, way)
    return ways
