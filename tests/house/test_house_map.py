"""The map (`proxy/__init__.py`) is true: every room is on it, what it names exists, its layers are the contract's."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import proxy

REPOSITORY = Path(__file__).resolve().parents[2]
MAP = proxy.__doc__ or ""
LAYERS, WAY, ADD = re.split(r"\nThe request's way.*\n|\nTo add ….*\n", MAP)
ROOMS = sorted(
    path.stem
    for path in (REPOSITORY / "proxy").iterdir()
    if (path.is_dir() or path.suffix == ".py") and not path.name.startswith("__")
)


def layers() -> list[str]:
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (one for one in contracts["contracts"] if one["id"] == "layers")
    return [layer for layer in contract["layers"] if layer != "__main__"]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?<![\w/])([a-z]+/[\w/]*\.\w+|[a-z]+/)", MAP))))
def test_what_it_names_exists(name: str) -> None:
    assert (REPOSITORY / "proxy" / name).exists() or (REPOSITORY / name).exists()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_on_it(room: str) -> None:
    assert re.search(rf"(?<![\w/]){room}(/|\.py)", LAYERS)


def test_rooms_stand_in_the_order_of_the_layers() -> None:
    lines = LAYERS.splitlines()
    place = {
        room: number
        for room in ROOMS
        for number, line in enumerate(lines)
        if re.search(rf"(?<!\S){room}(/|\.py) ", line)
    }
    order = [[place[room.strip()] for room in layer.split("|")] for layer in layers()]
    assert all(max(above) <= min(below) for above, below in pairwise(order))


def test_every_room_has_its_layer() -> None:
    assert sorted(room.strip() for layer in layers() for room in layer.split("|")) == ROOMS


@pytest.mark.parametrize(
    "package", sorted((REPOSITORY / "proxy").rglob("__init__.py")), ids=lambda path: path.parent.name
)
def test_every_package_says_what_it_is(package: Path) -> None:
    assert len(package.read_text(encoding="utf-8").split('"""')[1]) > 100
