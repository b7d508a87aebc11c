"""What all tests share: nothing fails because the machine is busy; the stories find their stage, and a browser."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# In CI the same examples each time, as its fuzzers: what is new is looked for at home and kept as a case.
settings.register_profile("ostiary", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ostiary")

sys.path.append(str(Path(__file__).parent / "scenarios"))  # tests/chaos plays on the same stage
sys.path.append(str(Path(__file__).parent / "devices"))  # tests/web lets the same laptops report
sys.path.append(str(Path(__file__).parent / "authn" / "saml"))  # tests/web has its SAML provider, too


@pytest.fixture(scope="session")
def chromium_program() -> str:
    """A Chromium to drive with Playwright; without one the test is skipped aloud, or fails where CI=true."""
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
    )
    missing = ""
    if not found:
        missing = "no Chromium was found: install one (Debian: apt install chromium), or name it in CHROMIUM"
    elif importlib.util.find_spec("playwright") is None:
        missing = "Playwright is not installed: run `make test-browser`"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    elif missing:
        pytest.skip(missing)
    return found
