"""Installs Keycloak for the tests that talk to it: its distribution from Maven Central, into build/keycloak.

The version is pinned and the file's SHA-256 compared before anything of it is unpacked or run. Needs Java 17 or later
and Maven; says which of them is missing, and how to get it. Run by `make test-keycloak`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "26.7.3"  # of Keycloak; runs on Java 17
SHA256 = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
HOME = Path(__file__).parents[2] / "build" / "keycloak"
JAVA = 17
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_HINT = {
    "java": f"Java {JAVA} or later was not found. Install it (Debian and Ubuntu: apt install default-jre-headless).",
    "mvn": "Maven was not found. Install it (Debian and Ubuntu: apt install maven).",
}


class Missing(Exception):
    """Something this needs is not there; the text says what to do."""


def java_version() -> int:
    """The major version of the java on the PATH. Raises Missing."""
    java = shutil.which("java")
    if java is None:
        raise Missing(_HINT["java"])
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None or int(found[1]) < JAVA:
        raise Missing(f"{_HINT['java']} The one on the PATH says: {said.splitlines()[0] if said else 'nothing'}")
    return int(found[1])


def is_installed() -> bool:
    """Whether build/keycloak holds the pinned version, ready to start."""
    stamp = HOME / ".stamp"
    return stamp.exists() and stamp.read_text().strip() == SHA256


def _download(folder: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing(_HINT["mvn"])
    artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
    command = [maven, "--quiet", "--batch-mode", _COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    if subprocess.run(command, check=False).returncode:
        raise Missing(f"{artifact} cannot be fetched from Maven Central; Maven said why above.")
    file = folder / f"keycloak-quarkus-dist-{VERSION}.zip"
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != SHA256:
        raise Missing(f"{file.name} is not the file this was pinned to: its SHA-256 is {found}, not {SHA256}.")
    return file


def _unpack(file: Path, folder: Path) -> Path:
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)  # after its hash was compared
    home = folder / f"keycloak-{VERSION}"
    (home / "bin" / "kc.sh").chmod(0o755)
    return home


def install() -> None:
    """Fetch, compare, unpack and prepare. Raises Missing."""
    java_version()
    HOME.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME.parent, prefix="keycloak-") as scratch:
        home = _unpack(_download(Path(scratch)), Path(scratch))
        # What is decided at build time, so that each start is short: a database in memory.
        built = subprocess.run([home / "bin" / "kc.sh", "build", "--db=dev-mem"], check=False, env=_environment())
        if built.returncode:
            raise Missing("Keycloak cannot be prepared (kc.sh build); it said why above.")
        (home / ".stamp").write_text(SHA256 + "\n")
        shutil.rmtree(HOME, ignore_errors=True)
        home.rename(HOME)


def _environment() -> dict[str, str]:
    return {**os.environ, "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m"}


if __name__ == "__main__":
    try:
        if not is_installed():
            sys.stdout.write(f"Installing Keycloak {VERSION} from Maven Central (177 MB) …\n")
            sys.stdout.flush()
            install()
    except Missing as missing:
        sys.stderr.write(f"Keycloak cannot be installed: {missing}\n")
        sys.exit(1)
