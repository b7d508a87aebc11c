"""Build hook: with OSTIARY_COMPILE=1 the modules on the path of every request are compiled with mypyc.

The same sources, ahead of time: a wheel made this way needs about half the CPU per request in our own code. It needs a
C compiler and Python's headers where the wheel is built (the Dockerfile and `make compiled` do this), not where it
runs. Without the variable the wheel is pure Python and does the same, slower.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILED = (
    "wire/lines.py",
    "wire/request.py",
    "wire/response.py",
    "wire/body.py",
    "wire/fields.py",
    "wire/path.py",
    "wire/websocket.py",
    "routing.py",
    "net/ticker.py",
    "net/door.py",
    "net/downstream.py",
    "net/intake.py",
    "upstream/connection.py",
    "upstream/pool.py",
    "upstream/target.py",
    "audit/template.py",
    "audit/journal.py",
    "telemetry/metrics.py",
    "gateway/answers.py",
    "gateway/acting.py",
    "gateway/admission.py",
    "gateway/bearer.py",
    "gateway/door.py",
    "gateway/farewell.py",
    "gateway/forms.py",
    "gateway/http.py",
    "gateway/identifying.py",
    "gateway/known.py",
    "gateway/plan.py",
    "gateway/record.py",
    "gateway/relay.py",
    "gateway/sending.py",
    "gateway/snapshot.py",
    "gateway/stamp.py",
    "gateway/upgrade.py",
    "gateway/watch.py",
)

_SCRIPT = """
import sys
from mypyc.build import mypycify
from setuptools import setup
folder, sources = sys.argv.pop(), sys.argv.pop().split()
modules = mypycify([*sources], opt_level="3", target_dir=folder)
setup(name="compiled", packages=[], py_modules=[], ext_modules=modules)
"""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # the configuration's type plays no part
    """Called by hatchling for each wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put the extension modules beside their sources."""
        if self.target_name != "wheel" or os.environ.get("OSTIARY_COMPILE") != "1" or version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="ostiary-compiled-")
        out = Path(self._folder.name).resolve()
        sources = " ".join(f"proxy/{name}" for name in COMPILED)
        command = [sys.executable, "-c", _SCRIPT, "-q", "build_ext", f"--build-lib={out}/lib"]
        command += [f"--build-temp={out}/temp", sources, f"{out}/c"]
        subprocess.run(command, check=True, cwd=self.root)
        for module in (out / "lib").rglob("*.so"):
            build_data["force_include"][str(module)] = str(module.relative_to(out / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the build left."""
        folder = getattr(self, "_folder", None)
        if folder is not None:
            folder.cleanup()
