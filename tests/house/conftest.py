"""Lets the tests here import `reference`, which is also a program."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
