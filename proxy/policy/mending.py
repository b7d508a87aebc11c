"""How people mend what is wrong with their device: attribute → operating system ("" is any) → a sentence."""

from __future__ import annotations

from typing import Final

REPORT: Final = "Start the agent on this device, or let it report now: ostiary device report."
_ASK: Final = "Ask whoever runs this service."
_UPDATE: Final = {
    "": "Install the updates of the operating system.",
    "macos": "Install the updates: System Settings, General, Software Update.",
    "windows": "Install the updates: Settings, Windows Update.",
    "linux": "Install the updates with your distribution’s package manager, then restart.",
    "ios": "Install the updates: Settings, General, Software Update.",
    "android": "Install the updates: Settings, System, System update.",
    "chromeos": "Install the updates: Settings, About ChromeOS.",
}
HOW: Final[dict[str, dict[str, str]]] = {
    "ownership": {"": "Use a device of the kind that is asked, or ask whoever runs this service."},
    "managed": {"": "Have this device enrolled in the management of your organisation."},
    "compliant": {"": "Open the app of your organisation’s management on this device and mend what it lists."},
    "approved": {"": "Ask whoever runs this service to approve this device: ostiary devices approve."},
    "os": {"": "Use a device with a system that is asked."},
    "os_version": _UPDATE,
    "patch_age_days": _UPDATE,
    "disk_encrypted": {
        "": "Turn on disk encryption.",
        "macos": "Turn on FileVault: System Settings, Privacy & Security, FileVault.",
        "windows": "Turn on BitLocker: Settings, Privacy & security, Device encryption.",
        "linux": "Encrypt the disk with LUKS: the installer offers it; cryptsetup reencrypt does it afterwards.",
        "ios": "Set a passcode: it encrypts this device.",
        "android": "Set a screen lock: it encrypts this device.",
    },
    "screen_lock": {
        "": "Turn on the automatic screen lock.",
        "macos": "Require a password: System Settings, Lock Screen.",
        "windows": "Set a timeout and require sign-in: Settings, Accounts, Sign-in options.",
        "linux": "Turn on the automatic screen lock in the settings of your desktop.",
    },
    "firewall": {
        "": "Turn on the firewall.",
        "macos": "Turn on the firewall: System Settings, Network, Firewall.",
        "windows": "Turn on the firewall: Windows Security, Firewall & network protection.",
        "linux": "Turn on a firewall: ufw enable, or systemctl enable --now firewalld.",
    },
    "secure_boot": {
        "": "Turn on secure boot in the firmware settings.",
        "macos": "Choose Full Security in Startup Security Utility (from macOS Recovery).",
        "windows": "Turn on Secure Boot in the UEFI settings: Settings, System, Recovery, Advanced startup.",
    },
    "integrity_ok": {"": "Ask your organisation’s IT to look at this device."},
    "edr_running": {"": "Start the endpoint protection your organisation uses, or install it."},
    "threat_free": {"": "Let the endpoint protection remove what it found, or ask your organisation’s IT."},
    "score": {"": "Mend what your organisation’s endpoint protection lists for this device."},
    "risk": {"": "Mend what your organisation’s endpoint protection lists for this device."},
    "agent_version": {"": "Update the Ostiary agent on this device."},
    "last_seen": {"": REPORT},
}
NOBODY_BUT_ADMINS: Final = frozenset(("id", "serial", "cert_sha256", "ownership", "approved", "tags"))
