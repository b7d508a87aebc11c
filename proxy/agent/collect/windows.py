"""Windows: from PowerShell, the registry and dsregcmd. What needs an administrator is asked of something that does not,
where there is such a thing.

Each question is a script of its own with fixed words, so that one that hangs or fails takes nothing else with it. All
answer in JSON with numbers, never in words: words come in the language of the system. What they write is in
tests/agent/recorded, as published for Windows 10 and 11.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from proxy.agent.collect.looking import Look, moment, patch_age, serial_number
from proxy.agent.probe import Probe
from proxy.model.device import Value

_POWERSHELL: Final = ("powershell.exe", "-NoLogo", "-NoProfile", "-NonInteractive", "-Command")

VERSION: Final = (
    r"Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion' | Select-Object CurrentMajorVersionNumber,"
    r" CurrentMinorVersionNumber, CurrentBuild, UBR, EditionID, DisplayVersion | ConvertTo-Json -Compress"
)
BITLOCKER: Final = (  # for an administrator: 0 unprotected, 1 protected, 2 unknown
    "Get-BitLockerVolume -MountPoint $env:SystemDrive -ErrorAction Stop | Select-Object"
    " @{n='Protection';e={[int]$_.ProtectionStatus}}, @{n='Encrypted';e={[int]$_.EncryptionPercentage}}"
    " | ConvertTo-Json -Compress"
)
BITLOCKER_SHELL: Final = (  # for everybody: what Explorer paints the padlock from
    "@{Shell=(New-Object -ComObject Shell.Application).NameSpace($env:SystemDrive + '\\').Self"
    ".ExtendedProperty('System.Volume.BitLockerProtection')} | ConvertTo-Json -Compress"
)
FIREWALL: Final = (
    "Get-NetFirewallProfile -PolicyStore ActiveStore -ErrorAction Stop | Select-Object Name,"
    " @{n='Enabled';e={[int]$_.Enabled}} | ConvertTo-Json -Compress"
)
SECURE_BOOT: Final = (
    r"@{State=(Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\SecureBoot\State' -ErrorAction"
    r" SilentlyContinue).UEFISecureBootEnabled; Firmware=(Get-ItemProperty"
    r" 'HKLM:\SYSTEM\CurrentControlSet\Control').PEFirmwareType} | ConvertTo-Json -Compress"
)
DEFENDER: Final = (
    "Get-MpComputerStatus -ErrorAction Stop | Select-Object AMServiceEnabled, AntivirusEnabled,"
    " RealTimeProtectionEnabled, IsTamperProtected, AntivirusSignatureAge | ConvertTo-Json -Compress"
)
PROCESSES: Final = "Get-Process | Select-Object -ExpandProperty ProcessName -Unique | ConvertTo-Json -Compress"
UPDATES: Final = (
    "Get-HotFix -ErrorAction Stop | Where-Object InstalledOn | ForEach-Object {"
    " $_.InstalledOn.ToString('yyyy-MM-dd', [Globalization.CultureInfo]::InvariantCulture) } | ConvertTo-Json -Compress"
)
SERIAL: Final = "@{Serial=(Get-CimInstance Win32_BIOS -ErrorAction Stop).SerialNumber} | ConvertTo-Json -Compress"
SCREEN: Final = (
    r"@{Limit=(Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System')"
    r".InactivityTimeoutSecs;"
    r" Policy=(Get-ItemProperty 'HKCU:\Software\Policies\Microsoft\Windows\Control Panel\Desktop' -ErrorAction"
    r" SilentlyContinue | Select-Object ScreenSaveActive, ScreenSaverIsSecure, ScreenSaveTimeOut);"
    r" User=(Get-ItemProperty 'HKCU:\Control Panel\Desktop' | Select-Object ScreenSaveActive, ScreenSaverIsSecure,"
    r" ScreenSaveTimeOut)} | ConvertTo-Json -Compress"
)
GUARD: Final = (  # 2 among the running services: memory integrity (hypervisor-protected code integrity)
    r"@{Running=((Get-CimInstance -Namespace root\Microsoft\Windows\DeviceGuard Win32_DeviceGuard -ErrorAction"
    r" Stop).SecurityServicesRunning)} | ConvertTo-Json -Compress"
)
_GUARDS: Final = ("AMServiceEnabled", "AntivirusEnabled", "RealTimeProtectionEnabled")


async def os_version(look: Look) -> dict[str, Value]:
    """10.0.22631.3447: the build and its revision (UBR) tell how far it is patched. Windows 11 is 10.0.22000 and up."""
    found = await _asked(look.probe, VERSION)
    parts = (found[name] for name in ("CurrentMajorVersionNumber", "CurrentMinorVersionNumber", "CurrentBuild", "UBR"))
    result: dict[str, Value] = {"os_version": ".".join(str(part) for part in parts)}
    for name, key in (("custom.edition", "EditionID"), ("custom.release", "DisplayVersion")):
        if isinstance(found.get(key), str):
            result[name] = found[key]
    return result


async def disk_encrypted(look: Look) -> dict[str, Value]:
    """BitLocker on the system drive, protected and wholly encrypted."""
    found = await _asked(look.probe, BITLOCKER, default={})
    if found.get("Protection") in (0, 1):
        return {"disk_encrypted": found["Protection"] == 1 and found["Encrypted"] == 100}
    shell = (await _asked(look.probe, BITLOCKER_SHELL)).get("Shell")
    # 1 on, 2 off, 3 encrypting, 4 decrypting, 5 suspended, 6 locked
    return {"disk_encrypted": shell == 1} if shell in (1, 2, 3, 4, 5) else {}


async def firewall(look: Look) -> dict[str, Value]:
    """Windows Firewall, on for all three profiles as the policies in force have it (2: not configured)."""
    states = [profile["Enabled"] for profile in _list(await _asked(look.probe, FIREWALL))]
    return {"firewall": all(state == 1 for state in states)} if len(states) >= 3 and {*states} <= {0, 1} else {}


async def secure_boot(look: Look) -> dict[str, Value]:
    """Secure Boot, from the registry (Confirm-SecureBootUEFI needs an administrator). Firmware type 1 is a BIOS."""
    found = await _asked(look.probe, SECURE_BOOT)
    if found.get("State") in (0, 1):
        return {"secure_boot": found["State"] == 1}
    return {"secure_boot": False} if found.get("Firmware") == 1 else {}


async def edr_running(look: Look) -> dict[str, Value]:
    """One of the known processes, or Microsoft Defender with its service and real-time protection."""
    defender = await _asked(look.probe, DEFENDER, default={})
    if all(
        defender.get(name) is True for name in ("AMServiceEnabled", "AntivirusEnabled", "RealTimeProtectionEnabled")
    ):
        return {"edr_running": True}
    names = {str(name).lower() for name in _list(await _asked(look.probe, PROCESSES))}
    return {"edr_running": bool(names & look.edr)} if names else {}


async def patch_age_days(look: Look) -> dict[str, Value]:
    """Days since the newest update of Windows was installed."""
    days = [moment(day, "%Y-%m-%d") for day in _list(await _asked(look.probe, UPDATES))]
    return {**patch_age(days, look.now)}


async def serial(look: Look) -> dict[str, Value]:
    """The serial number, from SMBIOS."""
    return {**serial_number((await _asked(look.probe, SERIAL)).get("Serial"))}


async def screen_lock(look: Look) -> dict[str, Value]:
    """The machine's inactivity limit, or a screen saver that asks for the password; a policy goes before what the
    person chose. Nothing set at all is unknown: there are other ways to lock."""
    found = await _asked(look.probe, SCREEN)
    if int(found.get("Limit") or 0) > 0:
        return {"screen_lock": True}
    settings = {
        name: value
        for place in ("User", "Policy")
        for name, value in (found.get(place) or {}).items()
        if value is not None
    }
    if not {"ScreenSaveActive", "ScreenSaverIsSecure"} <= settings.keys():
        return {}
    timeout = int(settings.get("ScreenSaveTimeOut", 0))
    return {"screen_lock": settings["ScreenSaveActive"] == settings["ScreenSaverIsSecure"] == "1" and timeout > 0}


async def integrity_ok(look: Look) -> dict[str, Value]:
    """Memory integrity."""
    return {"integrity_ok": 2 in _list((await _asked(look.probe, GUARD))["Running"])}


async def joined(look: Look) -> dict[str, Value]:
    """What the machine has joined, as `custom.`, and whether an MDM is known: hints, no more."""
    said = await look.probe.said("dsregcmd.exe", "/status")
    found = dict(re.findall(r"(?m)^\s*(AzureAdJoined|DomainJoined|MdmUrl)\s*:[ \t]*(\S*)[ \t]*$", said))
    result: dict[str, Value] = {}
    for key, name in (("AzureAdJoined", "custom.entra_joined"), ("DomainJoined", "custom.domain_joined")):
        if found.get(key) in ("YES", "NO"):
            result[name] = found[key] == "YES"
    return result | ({"custom.mdm_enrolled": True} if found.get("MdmUrl") else {})


async def _asked(probe: Probe, script: str, *, default: Any = None) -> Any:
    """What a script answered. Raises ValueError when it did not, unless there is a `default`."""
    said = await probe.said(*_POWERSHELL, script)
    try:
        return msgspec.json.decode(said)
    except msgspec.DecodeError as error:
        if default is None:
            raise ValueError("PowerShell wrote something else") from error
        return default


def _list(value: Any) -> list[Any]:
    """PowerShell writes a list of one as the one itself, and some lists as an object of `value` and `Count`."""
    if isinstance(value, dict) and "value" in value:
        value = value["value"]
    return value if isinstance(value, list) else [value]


PARTS: Final = (
    os_version,
    disk_encrypted,
    firewall,
    secure_boot,
    edr_running,
    patch_age_days,
    serial,
    screen_lock,
    integrity_ok,
    joined,
)
