"""The file: rotated by size, moved away by others, torn by a crash, full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.audit.appender import Appender

TORN = b'{"type":"torn"}\n'


def appender(path: Path, *, rotate: int = 1 << 20, keep: int = 3) -> Appender:
    return Appender(path, rotate=rotate, keep=keep, torn=lambda: TORN)


def test_the_file_and_its_folder_are_private(tmp_path: Path) -> None:
    path = tmp_path / "var" / "audit.jsonl"
    appender(path).append(b"1\n")
    assert path.read_bytes() == b"1\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_file_is_rotated_before_it_grows_past_the_limit_and_old_ones_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = appender(path, rotate=10, keep=2)
    for line in (b"1111\n", b"2222\n", b"3333\n", b"44444444444444\n", b"5555\n", b"6666\n", b"7777\n"):
        file.append(line)
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == {
        "a": b"7777\n",
        "a.1": b"5555\n6666\n",
        "a.2": b"44444444444444\n",  # larger than the limit by itself, and still whole
    }


def test_with_keep_0_nothing_old_stays(tmp_path: Path) -> None:
    file = appender(tmp_path / "a", rotate=5, keep=0)
    file.append(b"1111\n")
    file.append(b"2222\n")
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == {"a": b"2222\n"}


def test_files_beyond_a_lowered_keep_are_removed(tmp_path: Path) -> None:
    for number in (1, 2, 3, 4):
        (tmp_path / f"a.{number}").write_text(str(number))
    (tmp_path / "a").write_bytes(b"0000\n")
    appender(tmp_path / "a", rotate=5, keep=2).append(b"new\n")
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {
        "a": "new\n",
        "a.1": "0000\n",
        "a.2": "1",
    }


def test_a_file_moved_away_by_logrotate_is_opened_anew_under_its_name(tmp_path: Path) -> None:
    file = appender(tmp_path / "a")
    file.append(b"1\n")
    (tmp_path / "a").rename(tmp_path / "a-20260301")
    file.append(b"2\n")
    assert (tmp_path / "a-20260301").read_bytes() == b"1\n"
    assert (tmp_path / "a").read_bytes() == b"2\n"


def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    file = appender(tmp_path / "a")
    file.append(b"1\n")
    (tmp_path / "a").unlink()
    file.append(b"2\n")
    assert (tmp_path / "a").read_bytes() == b"2\n"


def test_a_file_emptied_in_place_is_continued(tmp_path: Path) -> None:
    file = appender(tmp_path / "a")
    file.append(b"1\n")
    (tmp_path / "a").write_bytes(b"")  # copytruncate
    file.append(b"2\n")
    assert (tmp_path / "a").read_bytes() == b"2\n"


def test_a_line_broken_off_by_a_crash_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'{"whole":1}\n{"broken":')
    appender(tmp_path / "a").append(b'{"next":1}\n')
    assert (tmp_path / "a").read_bytes() == b'{"whole":1}\n{"broken":\n' + TORN + b'{"next":1}\n'


def test_two_appenders_notice_each_other_s_rotation(tmp_path: Path) -> None:
    one, other = appender(tmp_path / "a", rotate=8), appender(tmp_path / "a", rotate=8)
    one.append(b"1111\n")
    other.append(b"2222\n")
    one.append(b"3\n")
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == {"a": b"2222\n3\n", "a.1": b"1111\n"}


def test_a_device_is_only_written_to(tmp_path: Path) -> None:
    appender(Path("/dev/null"), rotate=1).append(b"1\n")
    appender(Path("/dev/null"), rotate=1).sync()
    with pytest.raises(OSError, match="No space left"):
        appender(Path("/dev/full")).append(b"1\n")


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        appender(tmp_path).append(b"1\n")


def test_a_write_cut_short_by_a_limit_is_undone(tmp_path: Path) -> None:
    """The file may grow to 1000 bytes: of a batch that would pass this, nothing remains."""
    script = f"""
import json, resource, sys
from pathlib import Path
from proxy.audit.appender import Appender
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
file = Appender(Path({str(tmp_path / "a")!r}), rotate=1 << 20, keep=1, torn=lambda: b"torn\\n")
file.append(b"x" * 599 + b"\\n")
try:
    file.append(b"y" * 599 + b"\\n")
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.append(b"z\\n")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert (tmp_path / "a").read_bytes() == b"x" * 599 + b"\nz\n"


WRITER = """
import sys
from pathlib import Path
from proxy.audit.appender import Appender
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
file = Appender(path, rotate=20_000, keep=1000, torn=lambda: b"torn\\n")
print("ready", flush=True)
sys.stdin.readline()
def line(n):
    return b'{"by":"%b","n":%d,"fill":"%b"}\\n' % (name.encode(), n, b"x" * (n % 97))
for number in range(0, count, 5):
    file.append(b"".join(line(n) for n in range(number, number + 5)))
"""


def test_processes_that_append_and_rotate_at_once_lose_and_tear_nothing(tmp_path: Path) -> None:
    path, names, count = tmp_path / "a", ["one", "two", "three"], 3000
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in names
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:  # all start at the same moment
        writer.communicate(b"\n")
    assert [writer.returncode for writer in writers] == [0, 0, 0]

    files = sorted(tmp_path.glob("a*"), key=lambda found: -int(found.suffix[1:] or 0))
    assert len(files) > 10
    assert all(found.stat().st_size <= 20_000 for found in files)
    seen: dict[str, list[int]] = {name: [] for name in names}
    for found in files:  # oldest first
        for line in found.read_bytes().splitlines():
            record = json.loads(line)
            seen[record["by"]].append(record["n"])
    assert seen == {name: list(range(count)) for name in names}
