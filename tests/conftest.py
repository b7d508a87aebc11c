"""What all tests share: nothing fails because the machine is busy, and the stories' stage can be found."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

settings.register_profile("ostiary", deadline=None)
settings.load_profile("ostiary")

sys.path.append(str(Path(__file__).parent / "scenarios"))  # tests/chaos plays on the same stage
