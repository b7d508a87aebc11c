"""Replay the Dockerfile's build stage on this machine, where there is no container engine.

    python tests/image/replay.py [FOLDER]

Copies what the COPY instructions copy (as .dockerignore lets it through) and runs the RUN instructions of the build
stage with /opt/ostiary and /build moved below FOLDER (default: a temporary one, removed afterwards). It then runs
`ostiary demo --check` with the result, from an empty folder and with nothing of the checkout on the path.
What it cannot show: the base image and its packages, the final stage's users and permissions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from instructions import ROOT, copied, stages

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


def main(folder: Path) -> int:
    """Run it all. Returns the exit code of the demo's tour."""
    prefix, build = folder / "opt" / "ostiary", folder / "build"
    build.mkdir(parents=True)
    for word, rest in stages()[0]:
        if word == "COPY":
            copy(rest, build)
        elif word == "RUN":
            if rest.startswith("apt-get"):
                continue  # this machine's compiler serves
            command = rest.replace("/opt/ostiary", str(prefix)).replace("/build/tools", str(build / "tools"))
            command = command.replace("python -m venv", f"{sys.executable} -m venv")
            sys.stderr.write(f"RUN {command}\n")
            subprocess.run(["sh", "-ec", command], cwd=build, check=True, env=ENVIRONMENT)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    words = [str(prefix / "bin" / "ostiary"), "demo", "--free-ports", "--check"]
    return subprocess.run(words, cwd=elsewhere, check=False, env=ENVIRONMENT).returncode


def copy(rest: str, build: Path) -> None:
    """One COPY instruction."""
    *sources, target = rest.split()
    for source in sources:
        for file in copied(source):
            inside = file.relative_to(source) if (ROOT / source).is_dir() else Path(file.name)
            place = build / target / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, place)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1]).resolve()))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
