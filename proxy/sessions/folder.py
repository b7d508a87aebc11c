"""Folders for what only the proxy's own user may see."""

from __future__ import annotations

from pathlib import Path


def make_private(folder: Path) -> None:
    """Make the folder and its missing parents, each with mode 0700; leave those that exist as they are.

    (`Path.mkdir` gives its mode to the last folder only.) Raises OSError.
    """
    for each in reversed([folder, *folder.parents]):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)
