"""A TPM 2.0 made of software (swtpm), and a maker for it: what `make test-tpm` takes in place of a chip."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_NEEDED = ("swtpm", "swtpm_setup", "swtpm_localca", "tpm2_create")


class SoftwareTpm:
    """A TPM of its own on a socket; `restart` is what a reboot is to it. `authorities` (PEM) answer for its
    certificate, where it was given one."""

    def __init__(self, folder: Path, *, certified: bool = False) -> None:
        self.folder = folder
        self.socket = folder / "sock"
        self.tcti = f"swtpm:path={self.socket}"
        self.authorities = folder / "maker" / "issuercert.pem"
        wishes = ["--create-ek-cert", "--config", str(self._maker())] if certified else []
        subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", str(folder), *wishes], check=True, capture_output=True)
        self.start()

    def _maker(self) -> Path:
        """The settings of a maker with authorities of its own."""
        maker = self.authorities.parent
        maker.mkdir()
        names = {"signingkey": "signkey.pem", "issuercert": "issuercert.pem", "certserial": "certserial"}
        (maker / "ca.conf").write_text(
            f"statedir = {maker}\n" + "".join(f"{name} = {maker / file}\n" for name, file in names.items())
        )
        (maker / "ca.options").write_text("--platform-manufacturer x\n--platform-version 1\n--platform-model x\n")
        settings = {
            "create_certs_tool": shutil.which("swtpm_localca"),
            "create_certs_tool_config": maker / "ca.conf",
            "create_certs_tool_options": maker / "ca.options",
            "active_pcr_banks": "sha256",
        }
        (maker / "setup.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        return maker / "setup.conf"

    def start(self) -> None:
        control = f"type=unixio,path={self.socket}.ctrl"  # where tpm2-tools look for it
        subprocess.run(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--ctrl", control, "--daemon"),
                *("--server", f"type=unixio,path={self.socket}", "--flags", "not-need-init,startup-clear"),
                *("--pid", f"file={self.folder}/pid"),
            ],
            check=True,
        )

    def stop(self) -> None:
        pid = int((self.folder / "pid").read_text())
        subprocess.run(["swtpm_ioctl", "--unix", f"{self.socket}.ctrl", "-s"], check=True)
        until = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            time.sleep(0.01)

    def restart(self) -> None:
        self.stop()
        self.start()

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """One of tpm2-tools, in its folder; what it left in the TPM is flushed."""
        environment = {**os.environ, "TPM2TOOLS_TCTI": self.tcti, "TSS2_LOG": "all+NONE"}
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, check=False)
        subprocess.run(["tpm2_flushcontext", "-t"], env=environment, capture_output=True, check=True)
        return done

    def store(self, index: int, data: bytes) -> None:
        """Write a place that is its maker's to write."""
        (self.folder / "data").write_bytes(data)
        attributes = "ppwrite|ppread|ownerread|authread|no_da|platformcreate"
        for words in (
            ("tpm2_nvdefine", hex(index), "-C", "p", "-s", str(len(data)), "-a", attributes),
            ("tpm2_nvwrite", hex(index), "-C", "p", "-i", "data"),
        ):
            assert self.run(*words).returncode == 0, words


@contextlib.contextmanager
def software_tpm(folder: Path, *, certified: bool = False) -> Iterator[SoftwareTpm]:
    """One that runs. Where the programs are not installed the test is skipped aloud, or fails where CI=true."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"{missing[0]} was not found")
    if missing:
        pytest.skip(f"{missing[0]} was not found: install swtpm swtpm-tools tpm2-tools libtss2-tcti-swtpm0")
    one = SoftwareTpm(folder, certified=certified)
    try:
        yield one
    finally:
        one.stop()
