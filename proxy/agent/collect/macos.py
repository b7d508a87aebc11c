"""macOS: from the tools Apple ships. None of these needs root.

What they write is in tests/agent/recorded, as published for macOS 12 to 15. A tool that writes anything else leaves its
attribute unknown.
"""

from __future__ import annotations

import plistlib
import re
from datetime import UTC
from pathlib import PurePosixPath
from typing import Any, Final
from xml.parsers.expat import ExpatError

import msgspec

from proxy.agent.collect.looking import Look, patch_age, serial_number
from proxy.agent.probe import Output, Probe
from proxy.model.device import Value

_FIREWALL: Final = "/usr/libexec/ApplicationFirewall/socketfilterfw"
_HISTORY: Final = "/Library/Receipts/InstallHistory.plist"
_SECURE: Final = {"Full Security": True, "Reduced Security": True, "Medium Security": True}
_INSECURE: Final = {"Permissive Security": False, "No Security": False}


async def os_version(look: Look) -> dict[str, Value]:
    """`sw_vers`: 14.4.1. The build as `custom.`: rapid security responses change only that."""
    version = await look.probe.said("sw_vers", "-productVersion")
    build = await look.probe.said("sw_vers", "-buildVersion")
    found: dict[str, Value] = {"os_version": version}
    return found | ({"custom.build": build} if build else {})


async def disk_encrypted(look: Look) -> dict[str, Value]:
    """`fdesetup status`: on, or on its way there or back, which is not yet, or no longer, encrypted."""
    said = await look.probe.said("fdesetup", "status")
    if re.search(r"(?m)^(Encryption|Decryption) in progress", said):
        return {"disk_encrypted": False}
    return _either(said, r"(?m)^FileVault is On\.", r"(?m)^FileVault is Off\.", "disk_encrypted")


async def integrity_ok(look: Look) -> dict[str, Value]:
    """System Integrity Protection, whole. With exceptions (`Custom Configuration`) it is not."""
    said = await look.probe.said("csrutil", "status")
    return _either(said, r"status: enabled\.$", r"status: (disabled|enabled \(|unknown \()", "integrity_ok")


async def gatekeeper(look: Look) -> dict[str, Value]:
    """Gatekeeper, as `custom.gatekeeper`. It says `disabled` with exit code 1 in some versions."""
    said = _both(await look.probe.ask("spctl", "--status"))
    return _either(said, r"assessments enabled", r"assessments disabled", "custom.gatekeeper")


async def firewall(look: Look) -> dict[str, Value]:
    """The application firewall: state 1 is on, 2 on and blocking all that is not essential."""
    said = await look.probe.said(_FIREWALL, "--getglobalstate")
    return _either(said, r"\(State = [12]\)", r"\(State = 0\)", "firewall")


async def secure_boot(look: Look) -> dict[str, Value]:
    """The startup security policy of Apple silicon and T2 machines; older ones have none to tell of. Its words are in
    the language of the system: in another one than English it stays unknown."""
    policy = (await _profile(look.probe, "SPiBridgeDataType")).get("ibridge_secure_boot")
    known = _SECURE | _INSECURE
    return {"secure_boot": known[policy]} if policy in known else {}


async def serial(look: Look) -> dict[str, Value]:
    """The serial number, from the hardware overview."""
    return {**serial_number((await _profile(look.probe, "SPHardwareDataType")).get("serial_number"))}


async def screen_lock(look: Look) -> dict[str, Value]:
    """`sysadminctl -screenLock status` writes to standard error, with a time and its name before."""
    said = _both(await look.probe.ask("sysadminctl", "-screenLock", "status"))
    return _either(
        said,
        r"screenLock delay is (immediate|\d+(\.\d+)? seconds)",
        r"screenLock (is off|delay is -1(\.0+)? seconds)",
        "screen_lock",
    )


async def enrolment(look: Look) -> dict[str, Value]:
    """Whether an MDM profile is installed, as `custom.mdm_enrolled`: a hint, no more."""
    said = await look.probe.said("profiles", "status", "-type", "enrollment")
    return _either(said, r"(?m)^MDM enrollment: Yes", r"(?m)^MDM enrollment: No", "custom.mdm_enrolled")


async def patch_age_days(look: Look) -> dict[str, Value]:
    """Days since software update last brought the system up to date, from the receipts: macOS or a security response,
    not its lists of malware (config-data) nor tools."""
    data = look.probe.data(_HISTORY)
    try:
        receipts = plistlib.loads(data or b"", fmt=plistlib.FMT_XML)
    except (plistlib.InvalidFileException, ExpatError) as error:
        raise ValueError("the receipts cannot be read") from error
    times = [
        each["date"].replace(tzinfo=UTC).timestamp()
        for each in receipts
        if each.get("processName") in ("softwareupdated", "macOS Installer")
        and each.get("contentType") != "config-data"
        and re.search(r"macOS|Security", each.get("displayName", ""))
    ]
    return {**patch_age(times, look.now)}


async def edr_running(look: Look) -> dict[str, Value]:
    """Whether one of the known processes runs: by the last part of its path."""
    said = await look.probe.said("ps", "-axo", "comm=")
    running = {PurePosixPath(line.strip()).name.lower() for line in said.splitlines()}
    return {"edr_running": bool(running & look.edr)} if running else {}


async def _profile(probe: Probe, kind: str) -> dict[str, Any]:
    """The first item of a report of `system_profiler`."""
    said = await probe.said("system_profiler", kind, "-json")
    try:
        items = msgspec.json.decode(said, type=dict[str, list[dict[str, Any]]]).get(kind, [])
    except msgspec.DecodeError as error:
        raise ValueError(f"system_profiler {kind} wrote something else") from error
    return items[0] if items else {}


def _either(text: str, yes: str, no: str, name: str) -> dict[str, Value]:
    """`name` is true when `yes` is found in `text`, false when `no` is, else unknown."""
    if re.search(no, text):
        return {name: False}
    return {name: True} if re.search(yes, text) else {}


def _both(found: Output | None) -> str:
    return "" if found is None else f"{found.out}\n{found.err}"


PARTS: Final = (
    os_version,
    disk_encrypted,
    integrity_ok,
    gatekeeper,
    firewall,
    secure_boot,
    serial,
    screen_lock,
    enrolment,
    patch_age_days,
    edr_running,
)
