"""A key in TPM 2.0, made there and unable to leave it, through the commands of tpm2-tools.

The private part exists outside only wrapped by the TPM (`tpm.priv`), so a copy of the folder is worth nothing on
another machine. TPM 2.0 Library, parts 1 (§23, protected storage) and 3 (TPM2_Create, TPM2_Sign).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from proxy.agent.errors import AgentError
from proxy.agent.home import Home
from proxy.agent.keys import as_jwk, raw, verifies
from proxy.agent.probe import SYSTEM_PATH

DEVICE: Final = "/dev/tpmrm0"  # the kernel's resource manager; owned by the group tss on most distributions
PUBLIC: Final = "tpm.pub"
PRIVATE: Final = "tpm.priv"
_TOOLS: Final = ("tpm2_createprimary", "tpm2_create", "tpm2_load", "tpm2_sign", "tpm2_readpublic", "tpm2_flushcontext")
_ATTRIBUTES: Final = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign"
_PATIENCE: Final = 60.0  # seconds: some TPMs take several for a primary key


class TpmUnusable(AgentError):
    """There is a TPM, or there should be one, but it cannot be used. The text says what to change."""


def interface(environment: Mapping[str, str], device: Path = Path(DEVICE)) -> str:
    """How to reach this machine's TPM, as tpm2-tools write it; "" when it has none. Raises TpmUnusable."""
    named = environment.get("TPM2TOOLS_TCTI", "")
    if not named and not device.exists():
        return ""
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=SYSTEM_PATH) is None]
    if missing:
        raise TpmUnusable(f"{missing[0]} was not found: install tpm2-tools (Debian, Ubuntu, Fedora: tpm2-tools)")
    if not named and not os.access(device, os.R_OK | os.W_OK):
        raise TpmUnusable(f"{device} may not be opened: add yourself to its group (usually tss) and log in again")
    return named or f"device:{device}"


class TpmKey:
    """A key in the TPM at `tcti`, from its two files in `home`. Loaded when it is first used."""

    storage: Final = "tpm"

    def __init__(self, home: Home, tcti: str) -> None:
        self._home = home
        self.tcti = tcti
        self._turn = threading.Lock()  # one command at a time: without a resource manager a TPM holds three objects
        with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
            self._load(Path(folder))
            self._public = self._read_public(Path(folder))
        self.public = as_jwk(self._public)

    @classmethod
    def create(cls, home: Home, tcti: str) -> TpmKey:
        """Make a key and keep its wrapped form. Raises TpmUnusable."""
        with tempfile.TemporaryDirectory(prefix="ostiary-") as name:
            folder = Path(name)
            _primary(folder, tcti)
            run(
                folder,
                tcti,
                *("tpm2_create", "-Q", "-C", "primary.ctx", "-G", "ecc256:ecdsa-sha256", "-g", "sha256"),
                *("-a", _ATTRIBUTES, "-u", PUBLIC, "-r", PRIVATE),
            )
            for part in (PUBLIC, PRIVATE):
                home.write(part, (folder / part).read_bytes())
        return cls(home, tcti)

    def sign(self, message: bytes) -> bytes:
        """See `DeviceKey`. The key is loaded anew each time, so a TPM that was reset meanwhile is no trouble."""
        with self.at_work() as folder:
            (folder / "digest").write_bytes(hashlib.sha256(message).digest())
            run(
                folder,
                self.tcti,
                *("tpm2_sign", "-Q", "-c", "key.ctx", "-g", "sha256", "-s", "ecdsa", "-f", "plain"),
                *("-d", "-o", "signature", "digest"),
            )
            signature = (folder / "signature").read_bytes()
        if not verifies(self._public, signature, message):
            raise TpmUnusable("the TPM gave a signature that is not by this device's key: enrol again with --replace")
        return raw(signature)

    @contextmanager
    def at_work(self) -> Iterator[Path]:
        """A folder for a few commands, in which `key.ctx` is the key, loaded; nobody else uses it meanwhile. Raises
        TpmUnusable."""
        with self._turn, tempfile.TemporaryDirectory(prefix="ostiary-") as name:
            folder = Path(name)
            self._load(folder)
            yield folder

    def public_area(self) -> bytes:
        """What the TPM knows of the key but its private part: TPMT_PUBLIC."""
        return self._home.read(PUBLIC)[2:]  # kept as TPM2B_PUBLIC: with its size before it

    def _load(self, folder: Path) -> None:
        for part in (PUBLIC, PRIVATE):
            (folder / part).write_bytes(self._home.read(part))
        _primary(folder, self.tcti)
        run(
            folder,
            self.tcti,
            *("tpm2_load", "-Q", "-C", "primary.ctx", "-u", PUBLIC, "-r", PRIVATE, "-c", "key.ctx"),
        )

    def _read_public(self, folder: Path) -> ec.EllipticCurvePublicKey:
        run(folder, self.tcti, "tpm2_readpublic", "-Q", "-c", "key.ctx", "-f", "pem", "-o", "key.pem")
        public = load_pem_public_key((folder / "key.pem").read_bytes())
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise TpmUnusable(f"{self._home.path / PUBLIC} is not a P-256 key: enrol again with --replace")
        return public


def _primary(folder: Path, tcti: str) -> None:
    """The storage key all else is wrapped with: the same each time, derived from the TPM's own seed."""
    run(folder, tcti, "tpm2_createprimary", "-Q", "-C", "o", "-g", "sha256", "-G", "ecc256", "-c", "primary.ctx")


def run(folder: Path, tcti: str, *command: str) -> None:
    """Run one command in `folder`; objects it left in the TPM are flushed. Raises TpmUnusable."""
    said = _done(folder, tcti, *command)
    _done(folder, tcti, "tpm2_flushcontext", "--transient-object")
    if said is not None:
        raise TpmUnusable(f"the TPM cannot be used: {command[0]}: {said}"[:300])


def _done(folder: Path, tcti: str, *command: str) -> str | None:
    """Why it failed; None when it did not. Raises TpmUnusable when it cannot be run."""
    environment = {"PATH": SYSTEM_PATH, "LC_ALL": "C", "TPM2TOOLS_TCTI": tcti, "TSS2_LOG": "all+NONE"}
    try:
        done = subprocess.run(  # noqa: S603 -- fixed words, found on the system's own path
            [shutil.which(command[0], path=SYSTEM_PATH) or command[0], *command[1:]],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TpmUnusable(f"the TPM cannot be used: {command[0]}: {error}") from error
    if done.returncode == 0:
        return None
    return (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["failed"])[0]
