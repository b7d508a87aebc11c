"""What the collectors of all systems share: what they are given, and a few words about machines in general."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from proxy.agent.probe import Probe

EDR_PROCESSES: Final = (
    *("falcon-sensor", "falcon-sensor-bpf", "com.crowdstrike.falcon.Agent", "falcond", "CSFalconService"),
    *("wdavdaemon", "MsSense"),  # Microsoft Defender for Endpoint
    *("s1-agent", "sentineld", "SentinelAgent"),
    *("elastic-endpoint",),
    *("cbagentd", "CbDefense", "RepMgr"),  # Carbon Black
    *("cylancesvc", "CylanceSvc"),
    *("xagt",),  # Trellix
    *("cyserver", "cortex-xdr"),  # Cortex XDR
    *("sophos-spl", "SophosScanD", "SEDService"),
    *("ds_agent",),  # Trend Micro
    *("JamfProtect",),
)
"""Processes of endpoint protection. Replace the list with `--edr`: what a company uses, it knows best."""

_NO_SERIAL: Final = re.compile(
    r"|none|null|n/?a|0+|1234567890?|x+|\.+|unknown|default string|not (specified|applicable|available)|oem"
    r"|to be filled by o\.?e\.?m\.?|system serial number|invalid|chassis serial number",
    re.IGNORECASE,
)
DAY: Final = 86400.0


class Look(msgspec.Struct, frozen=True):
    """One look at a machine: what to look with, the time (seconds since the epoch), and process names (lower case)."""

    probe: Probe
    now: float
    edr: frozenset[str]


def serial_number(text: str | None) -> dict[str, str]:
    """A serial number, unless it is one of the words that makers leave in its place."""
    serial = (text or "").strip().strip("\0")
    return {} if _NO_SERIAL.fullmatch(serial) else {"serial": serial}


def patch_age(times: Iterable[float | None], now: float) -> dict[str, int]:
    """Whole days since the newest of `times`, if one is known and not in the future by more than a day."""
    known = [time for time in times if time is not None and time < now + DAY]
    return {"patch_age_days": max(0, int((now - max(known)) // DAY))} if known else {}


def moment(text: str, form: str) -> float | None:
    """A time in a log, in this machine's time zone unless it names one; None when it is none."""
    try:
        return datetime.strptime(text, form).timestamp()  # noqa: DTZ007 -- logs are written in local time
    except (ValueError, OverflowError):
        return None
