"""The watcher sees what editors, git, atomic renames and mounted volumes do. Time is a queue of turns, not a clock."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from proxy.settings.watch import MOST_LOOKS, SETTLE, Watcher, signature


class Turns:
    """Stands in for sleeping: the watcher waits until a test lets it go on."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._waiting = asyncio.Event()
        self._go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._waiting.set()
        await self._go.wait()
        self._go.clear()

    async def next(self) -> None:
        """Let the watcher look once and wait until it sleeps again."""
        await self._waiting.wait()
        self._waiting.clear()
        self._go.set()
        await self._waiting.wait()


def replace(path: Path, text: str) -> None:
    """As editors and `git pull` do: a new file takes the name."""
    other = path.with_name(path.name + ".new")
    other.write_text(text)
    other.replace(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text("one")
    return path


def looking(*paths: Path) -> Watcher:
    return Watcher(lambda: [str(path) for path in paths], lambda: None)


def test_nothing_happens(file: Path) -> None:
    watcher = looking(file)
    assert [watcher.look(), watcher.look()] == [False, False]


def test_an_edit_in_place(file: Path) -> None:
    watcher = looking(file)
    file.write_text("one and more")
    assert [watcher.look(), watcher.look()] == [True, False]


def test_an_edit_of_the_same_size_at_the_same_moment(file: Path) -> None:
    watcher = looking(file)
    before = file.stat()
    replace(file, "two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watcher.look()


def test_a_file_that_goes_and_comes_back(file: Path) -> None:
    watcher = looking(file)
    file.unlink()
    assert [watcher.look(), watcher.look()] == [True, False]
    file.write_text("one")
    assert [watcher.look(), watcher.look()] == [True, False]


def test_a_mounted_volume_whose_link_is_swapped(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text("same")
    (tmp_path / "data").symlink_to("v1")
    watcher = looking(tmp_path / "data" / "a.yaml")
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").replace(tmp_path / "data")
    assert watcher.look()


def test_new_and_removed_files_of_a_folder(file: Path) -> None:
    watcher = looking(file.parent)
    (file.parent / "b.yaml").write_text("x")
    assert watcher.look()
    (file.parent / "notes.txt").write_text("x")
    (file.parent / ".b.yaml.swp").write_text("x")
    (file.parent / ".hidden.yaml").write_text("x")
    assert not watcher.look()
    (file.parent / "b.yaml").unlink()
    assert watcher.look()


def test_an_edit_inside_a_folder(file: Path) -> None:
    watcher = looking(file.parent)
    replace(file, "two")
    assert watcher.look()


def test_a_path_that_is_new_on_the_list_is_no_change(file: Path) -> None:
    paths = [str(file)]
    watcher = Watcher(lambda: paths, lambda: None)
    paths.append(str(file.parent))
    assert not watcher.look()
    (file.parent / "b.yaml").write_text("x")
    assert watcher.look()


def test_an_unreadable_path_has_a_signature_too(tmp_path: Path) -> None:
    assert signature(str(tmp_path / "absent" / "deeper")) == signature(str(tmp_path / "absent"))


async def test_one_report_for_changes_that_follow_each_other(file: Path) -> None:
    turns, reported = Turns(), []
    watcher = Watcher(lambda: [str(file)], lambda: reported.append(file.read_text()), 0.5, sleep=turns.sleep)
    await watcher.start()
    replace(file, "two")
    await turns.next()
    assert reported == []  # it may still be written
    replace(file, "three")
    await turns.next()
    await turns.next()
    assert reported == ["three"]
    assert turns.slept == [0.5, SETTLE, SETTLE, 0.5]
    await watcher.stop()


async def test_a_file_that_never_rests_is_reported_all_the_same(file: Path) -> None:
    turns, reported = Turns(), []
    watcher = Watcher(lambda: [str(file)], lambda: reported.append(1), 0.5, sleep=turns.sleep)
    await watcher.start()
    for number in range(MOST_LOOKS + 1):
        replace(file, f"{number}")
        await turns.next()
    assert reported == [1]
    await watcher.stop()


async def test_a_reload_that_fails_does_not_end_the_watching(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    turns, reported = Turns(), []

    def reload() -> None:
        reported.append(file.read_text())
        if len(reported) == 1:
            raise RuntimeError("bad configuration")

    watcher = Watcher(lambda: [str(file)], reload, 0.5, sleep=turns.sleep)
    await watcher.start()
    for text in ("two", "three"):
        replace(file, text)
        await turns.next()
        await turns.next()
    assert reported == ["two", "three"]
    assert "the previous configuration stays in force" in caplog.text
    await watcher.stop()
    await watcher.stop()
