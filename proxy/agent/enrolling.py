"""Enrolment: a key is made on this machine, and the proxy is told its public part with the one-time code."""

from __future__ import annotations

import asyncio
import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from proxy.agent import keys, memory, tpm
from proxy.agent.client import Proxy
from proxy.agent.errors import AgentError, Refused, Unreachable
from proxy.agent.home import Home
from proxy.agent.memory import AUTHORITIES, Memory, Remembered
from proxy.agent.statement import signed
from proxy.model.report import Enrolment

SHORTEST: Final = 30.0  # seconds between reports, whatever the proxy asks
LONGEST: Final = 86400.0
_DEVICE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

Storage = Literal["auto", "tpm", "file"]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `authorities`: PEM of a private authority, None for the system's."""

    code: str
    name: str
    os: str
    serial: str = ""
    storage: Storage = "auto"
    authorities: str | None = None
    replace: bool = False


class Done(msgspec.Struct, frozen=True):
    """What came of it; `warning` says why the key is in a file although there is a TPM, "" else. `attest`: the proxy
    lets a TPM vouch for the key, and there is one."""

    remembered: Remembered
    warning: str = ""
    attest: bool = False


async def enrol(home: Home, proxy: Proxy, wish: Wish, *, now: float, environment: Mapping[str, str]) -> Done:
    """Enrol this machine. What was there before is kept until the proxy has accepted. Raises AgentError."""
    home.make()
    before = Memory(home)
    if before.known() and not wish.replace:
        raise AgentError(
            f"this machine is enrolled already, as {before.load().device}; to begin anew with another key: --replace"
        )
    with tempfile.TemporaryDirectory(prefix=".new-", dir=home.path) as folder:
        draft = Home(Path(folder))
        key, tcti, warning = await asyncio.to_thread(_make, draft, wish.storage, environment)
        claims = Enrolment(
            code=wish.code,
            aud=proxy.login,
            iat=int(now),
            key=key.public,
            name=wish.name,
            os=wish.os,
            serial=wish.serial,
            storage=key.storage,
        )
        enrolled = await proxy.enrol(await asyncio.to_thread(signed, claims, key))
        if not _DEVICE.fullmatch(enrolled.device):
            raise Unreachable(f"{proxy.login} gave this device a name that is none")
        remembered = Remembered(
            device=enrolled.device,
            login=proxy.login,
            name=wish.name,
            storage=key.storage,
            enrolled=now,
            interval=interval(enrolled.interval),
            approved=enrolled.approved,
            authorities=wish.authorities is not None,
            tcti=tcti if "TPM2TOOLS_TCTI" in environment else "",
        )
        _keep(home, draft, remembered, wish.authorities)
    return Done(remembered, warning, attest=enrolled.attest and key.storage == "tpm")


def interval(wished: float) -> float:
    """How often to report, within reason."""
    return min(max(wished, SHORTEST), LONGEST) if math.isfinite(wished) else LONGEST


def explained(error: Refused) -> str:
    """A refusal of an enrolment, with what to do."""
    return f"{error} A code is good for fifteen minutes and once: take a new one from your apps page and try again."


def _make(draft: Home, storage: Storage, environment: Mapping[str, str]) -> tuple[keys.FileKey | tpm.TpmKey, str, str]:
    """A key, how its TPM is reached, and a warning."""
    warning = ""
    if storage != "file":
        try:
            tcti = tpm.interface(environment)
            if tcti:
                return tpm.TpmKey.create(draft, tcti), tcti, ""
        except tpm.TpmUnusable as error:
            if storage == "tpm":
                raise
            warning = str(error)
    if storage == "tpm":
        raise tpm.TpmUnusable(f"this machine has no TPM 2.0 that the system knows of ({tpm.DEVICE})")
    return keys.FileKey.create(draft), "", warning


def _keep(home: Home, draft: Home, remembered: Remembered, authorities: str | None) -> None:
    """Put the new key in the place of the old; what is remembered comes last, for it names the key."""
    home.remove(memory.FILE)
    for name in (keys.FILE, tpm.PUBLIC, tpm.PRIVATE):
        if draft.exists(name):
            home.write(name, draft.read(name))
        else:
            home.remove(name)
    if authorities is None:
        home.remove(AUTHORITIES)
    else:
        home.write(AUTHORITIES, authorities.encode())
    Memory(home).save(remembered)
