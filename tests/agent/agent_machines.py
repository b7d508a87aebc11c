"""Recorded machines: each file in recorded/ is one, with its files, what its commands say, and what must be found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from proxy.agent.collect import windows
from proxy.agent.probe import Output, Probe

RECORDED = Path(__file__).parent / "recorded"
_POWERSHELL = ["powershell.exe", "-NoLogo", "-NoProfile", "-NonInteractive", "-Command"]


class Said(msgspec.Struct):
    code: int
    out: str = ""
    err: str = ""


class Machine(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`system` is Python's name of it; `powershell` holds answers by the name of the script in `windows.py`."""

    system: str
    now: datetime
    found: dict[str, Any]
    environment: dict[str, str] = {}
    files: dict[str, Any] = {}  # text, or bytes
    links: dict[str, str] = {}
    modified: dict[str, datetime] = {}
    commands: dict[str, Said] = {}
    powershell: dict[str, Said] = {}

    def build(self, root: Path) -> Probe:
        """Write its files below `root`; a name that ends in / is an empty folder."""
        for name, content in self.files.items():
            path = root / name.lstrip("/")
            if name.endswith("/"):
                path.mkdir(parents=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        for name, target in self.links.items():
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
        for name, when in self.modified.items():
            os.utime(root / name.lstrip("/"), (when.timestamp(), when.timestamp()))
        return Probe(root=root, run=self.answer, environment=self.environment)

    async def answer(self, words: Sequence[str]) -> Output | None:
        """What a command said on this machine; None: there is no such command."""
        if list(words[:-1]) == _POWERSHELL:
            name = next(name for name, value in vars(windows).items() if value == words[-1])
            said = self.powershell.get(name)
        else:
            said = self.commands.get(" ".join(words))
        return None if said is None else Output(said.code, said.out.replace("\r\n", "\n"), said.err)


def machines() -> list[str]:
    return sorted(path.stem for path in RECORDED.glob("*.yaml"))


def machine(name: str) -> Machine:
    data = yaml.safe_load((RECORDED / f"{name}.yaml").read_text(encoding="utf-8"))
    return msgspec.convert(data, Machine, builtin_types=(bytes, datetime))
