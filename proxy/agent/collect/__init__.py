"""Posture of this machine, from its own tools and files. One module per system; each has `PARTS`, functions that find
out one thing each. What a part cannot find out it leaves out, and a part that fails takes nothing else with it.

Whether the device is managed is for the management system to say: an enrolment seen here is only a `custom.` hint.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

import msgspec

from proxy import __version__
from proxy.agent.collect import linux, macos, windows
from proxy.agent.collect.looking import EDR_PROCESSES, Look
from proxy.agent.errors import AgentError
from proxy.agent.probe import Probe
from proxy.model.device import ATTRIBUTES, CUSTOM, Kind, Value

_log = logging.getLogger(__name__)

Part = Callable[[Look], Coroutine[Any, Any, Mapping[str, Value]]]


class System(msgspec.Struct, frozen=True):
    """A system we know: the value of `os`, its parts, and how often its tools may be asked, in seconds."""

    name: str
    parts: tuple[Part, ...]
    every: float


SYSTEMS: Final[dict[str, System]] = {
    "linux": System("linux", linux.PARTS, 30),
    "darwin": System("macos", macos.PARTS, 60),
    "win32": System("windows", windows.PARTS, 300),
}
_NOT_OURS: Final = frozenset(  # for others to say about a device; the proxy refuses a report that does
    ("id", "cert_sha256", "ownership", "managed", "compliant", "approved", "score", "risk", "last_seen", "tags")
)
_LONGEST: Final = 200  # characters of a text
_CUSTOM: Final = re.compile(rf"{re.escape(CUSTOM)}[a-z][a-z0-9_]{{0,63}}")
_VERSION: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,7}")


def this_system(platform: str = sys.platform) -> System:
    """The system we run on. Raises AgentError."""
    try:
        return SYSTEMS[platform]
    except KeyError:
        raise AgentError(f"{platform} is not known to the agent; it knows Linux, macOS and Windows") from None


async def collect(
    probe: Probe, *, now: float, system: System | None = None, edr: Iterable[str] = EDR_PROCESSES
) -> dict[str, Value]:
    """What can be found out now, by attribute. `edr`: names of processes of endpoint protection."""
    system = system or this_system()
    look = Look(probe, now, frozenset(name.lower() for name in edr))
    found: dict[str, Value] = {"os": system.name, "agent_version": __version__}
    for part in await asyncio.gather(*(_safely(part, look) for part in system.parts)):
        found |= {name: value for name, value in part.items() if _sound(name, value)}
    return dict(sorted(found.items()))


async def _safely(part: Part, look: Look) -> Mapping[str, Value]:
    try:
        return await part(look)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:  # the tool said something new
        _log.debug("%s: %s: %s", part.__name__, type(error).__name__, error)
        return {}


def _sound(name: str, value: Value) -> bool:
    """Whether a value has the type its attribute must have, and is one that a device may tell of itself."""
    kind = ATTRIBUTES.get(name)
    if name in _NOT_OURS or (kind is None and not _CUSTOM.fullmatch(name)):
        return False
    if isinstance(value, str):
        fits = 0 < len(value) <= _LONGEST and value.isprintable()
        return fits and (kind in (None, Kind.TEXT) or (kind is Kind.VERSION and _VERSION.fullmatch(value) is not None))
    if isinstance(value, bool):
        return kind in (None, Kind.BOOLEAN)
    return isinstance(value, int | float) and math.isfinite(value) and kind in (None, Kind.NUMBER)
