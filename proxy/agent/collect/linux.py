"""Linux: from /proc, /sys, /etc and the tools a distribution brings; root is needed for the serial number only."""

from __future__ import annotations

import re
import shlex
from typing import Final

from proxy.agent.collect.linux_disk import disk_encrypted
from proxy.agent.collect.linux_patches import patch_age_days
from proxy.agent.collect.linux_session import screen_lock
from proxy.agent.collect.looking import Look, serial_number
from proxy.agent.collect.nftables import filters_input
from proxy.model.device import Value

_SECURE_BOOT: Final = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_COMM: Final = 15  # characters the kernel keeps of a process's name


async def os_version(look: Look) -> dict[str, Value]:
    """os-release(5): `VERSION_ID`; for Debian its point release. The kernel and the distribution as `custom.`."""
    found: dict[str, Value] = {}
    release = _release(look.probe.text("/etc/os-release") or look.probe.text("/usr/lib/os-release") or "")
    version = release.get("VERSION_ID", "")
    if release.get("ID") == "debian":
        version = (look.probe.text("/etc/debian_version") or version).strip()
        version = version if re.fullmatch(r"[\d.]+", version) else release.get("VERSION_ID", "")
    if version:
        found["os_version"] = version
    if release.get("ID"):
        found["custom.distribution"] = release["ID"]
    kernel = re.match(r"\d+(\.\d+)*", (look.probe.text("/proc/sys/kernel/osrelease") or "").strip())
    if kernel:
        found["custom.kernel"] = kernel[0]
    return found


def _release(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): " ".join(shlex.split(value)) for name, _, value in pairs}


async def secure_boot(look: Look) -> dict[str, Value]:
    """The UEFI variable SecureBoot (UEFI 2.10 §3.3): four bytes of attributes, then 1 when it is enforced. A machine
    whose firmware tables are there but no EFI was started without it."""
    data = look.probe.data(_SECURE_BOOT)
    if data is not None and len(data) == 5:
        return {"secure_boot": data[4] == 1}
    firmware = look.probe.names("/sys/firmware") or []
    return {"secure_boot": False} if {"acpi", "dmi"} & set(firmware) and "efi" not in firmware else {}


async def firewall(look: Look) -> dict[str, Value]:
    """A running firewalld or ufw says yes. The rules themselves decide where they may be read (as root); a machine
    that hides them and has neither is unknown."""
    services = await look.probe.ask("systemctl", "is-active", "firewalld.service", "ufw.service")
    states = services.out.split() if services is not None else []
    if states[:1] == ["active"]:
        return {"firewall": True}
    ufw = look.probe.text("/etc/ufw/ufw.conf") or ""
    if states[1:2] == ["active"] and re.search(r"(?mi)^\s*ENABLED\s*=\s*[\"']?yes\b", ufw):
        return {"firewall": True}
    rules = await look.probe.ask("nft", "--json", "list", "ruleset")
    if rules is None or rules.code != 0:
        return {}
    if filters_input(rules.out):
        return {"firewall": True}
    # Rules of the older kind are not in nft's list, and only root sees whether there are any.
    legacy = look.probe.text("/proc/net/ip_tables_names")
    return {"firewall": False} if legacy is not None and not legacy.strip() else {}


async def serial(look: Look) -> dict[str, Value]:
    """The serial number in SMBIOS (root only) or, on boards without it, in the device tree."""
    text = look.probe.text("/sys/class/dmi/id/product_serial") or look.probe.text("/proc/device-tree/serial-number")
    return {**serial_number(text)}


async def edr_running(look: Look) -> dict[str, Value]:
    """Whether one of the known processes runs; unknown where /proc hides what belongs to others (hidepid)."""
    if look.probe.data("/proc/1/comm") is None:
        return {}
    wanted = {name[:_COMM] for name in look.edr}
    processes = (name for name in look.probe.names("/proc") or [] if name.isdigit())
    running = ((look.probe.text(f"/proc/{process}/comm") or "").strip().lower() for process in processes)
    return {"edr_running": any(name in wanted for name in running)}


PARTS: Final = (os_version, secure_boot, disk_encrypted, firewall, screen_lock, patch_age_days, serial, edr_running)
