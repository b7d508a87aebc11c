"""Whether the screen of a Linux desktop locks by itself: asked of the desktop whose session this is."""

from __future__ import annotations

import re
from typing import Final

from proxy.agent.collect.looking import Look
from proxy.agent.probe import Probe
from proxy.model.device import Value

_SCHEMAS: Final = {  # desktop → (schema and key: does it lock; schema and key: idle after so many seconds, 0 never)
    "gnome": (
        ("org.gnome.desktop.screensaver", "lock-enabled"),
        ("org.gnome.desktop.session", "idle-delay"),
    ),
    "x-cinnamon": (
        ("org.cinnamon.desktop.screensaver", "lock-enabled"),
        ("org.cinnamon.desktop.session", "idle-delay"),
    ),
    "mate": (
        ("org.mate.screensaver", "lock-enabled"),
        ("org.mate.session", "idle-delay"),
    ),
}
_SHELLS: Final = {  # process → desktop: a service of the user often lacks XDG_CURRENT_DESKTOP
    "gnome-shell": "gnome",
    "plasmashell": "kde",
    "cinnamon": "x-cinnamon",
    "mate-session": "mate",
}


async def screen_lock(look: Look) -> dict[str, Value]:
    """`screen_lock` of the session the agent runs in; without a session it is unknown."""
    probe = look.probe
    if "DBUS_SESSION_BUS_ADDRESS" not in probe.environment and "XDG_RUNTIME_DIR" not in probe.environment:
        return {}
    desktop = _desktop(probe)
    if desktop == "kde":
        return await _kde(probe)
    if desktop not in _SCHEMAS:
        return {}
    locks, idle = [await probe.said("gsettings", "get", *each) for each in _SCHEMAS[desktop]]
    seconds = re.fullmatch(r"(?:uint32 )?(\d+)", idle)
    if locks not in ("true", "false") or seconds is None:
        return {}
    return {"screen_lock": locks == "true" and int(seconds[1]) > 0}


async def _kde(probe: Probe) -> dict[str, Value]:
    """kscreenlockerrc: unset means what Plasma does then, which is to lock after five minutes."""
    for tool in ("kreadconfig6", "kreadconfig5"):
        words = (tool, "--file", "kscreenlockerrc", "--group", "Daemon", "--key")
        locks = await probe.said(*words, "Autolock", "--default", "true")
        if locks in ("true", "false"):
            minutes = await probe.said(*words, "Timeout", "--default", "5")
            return {"screen_lock": locks == "true" and minutes != "0"}
    return {}


def _desktop(probe: Probe) -> str:
    """The desktop's name in lower case, "" when there is none."""
    named = [word for word in probe.environment.get("XDG_CURRENT_DESKTOP", "").lower().split(":") if word]
    for word in named:
        if word in _SCHEMAS or word == "kde":
            return word
    if named:
        return ""
    for process in probe.names("/proc") or []:
        name = (probe.text(f"/proc/{process}/comm") or "").strip() if process.isdigit() else ""
        if name in _SHELLS and _ours(probe, process):
            return _SHELLS[name]
    return ""


def _ours(probe: Probe, process: str) -> bool:
    """Whether a process is of the user the agent runs as."""
    status = [re.search(r"(?m)^Uid:\s+(\d+)", probe.text(f"/proc/{each}/status") or "") for each in (process, "self")]
    first, second = status
    return first is not None and second is not None and first[1] == second[1]
