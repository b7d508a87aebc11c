"""Reads the Dockerfile and .dockerignore, as far as ours go."""

from __future__ import annotations

import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Every instruction as (word, rest), continuation lines joined, comments gone."""
    found, kept = [], ""
    for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        kept += line.strip().removesuffix("\\")
        if not line.endswith("\\"):
            word, _, rest = kept.partition(" ")
            found.append((word.upper(), rest.strip()))
            kept = ""
    return found


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, beginning with its FROM."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def copied(source: str) -> list[Path]:
    """The files below `source` that reach the builder, relative to the checkout."""
    top = ROOT / source
    files = [file for file in sorted(top.rglob("*")) if file.is_file()] if top.is_dir() else [top]
    return [relative for file in files if not ignored(relative := file.relative_to(ROOT))]


def ignored(path: Path) -> bool:
    """Whether .dockerignore keeps it out: the last pattern that matches it or a folder above it decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#") and _matches(path, pattern.removeprefix("!")):
            verdict = not pattern.startswith("!")
    return verdict


def _matches(path: Path, pattern: str) -> bool:
    above = [path, *path.parents][:-1]
    anywhere = pattern.startswith("**/")
    wanted = pattern.removeprefix("**/")
    return any(fnmatch.fnmatch(one.name if anywhere else one.as_posix(), wanted) for one in above)
