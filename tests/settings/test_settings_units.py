"""Durations and sizes: reading and writing are each other's inverse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings.schema import Duration, Size
from proxy.settings.units import LARGEST, LONGEST, read_duration, read_size, write_duration, write_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("15m", 900), ("12h", 43200), ("7d", 604800), ("1h30m", 5400), ("1d1ms", 86400.001)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert read_duration(text) == Duration(seconds)
    assert type(read_duration(text)) is Duration


@pytest.mark.parametrize(
    "value", ["", "10", "s", "1.5h", "-1s", "1m1h", "1s1s", "1 s", "1S", "٣s", "9999d", 10, 1.5, True, None, []]
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        read_duration(value)


@pytest.mark.parametrize(
    ("written", "size"),
    [(512, 512), ("512", 512), ("512B", 512), ("32KiB", 32768), ("10MiB", 10 << 20), ("2GiB", 2 << 30), ("1kB", 1000)],
)  # fmt: skip
def test_sizes(written: object, size: int) -> None:
    assert read_size(written) == Size(size)


@pytest.mark.parametrize("value", ["", "10 MB", "1.5MiB", "-1", -1, "1kb", "1KB", "9999999TiB", True, 1.5, None, "٣"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="size"):
        read_size(value)


@given(st.integers(0, int(LONGEST * 1000)))
def test_durations_round_trip(milliseconds: int) -> None:
    duration = Duration(milliseconds / 1000)
    assert read_duration(write_duration(duration)) == duration


@given(st.integers(0, LARGEST))
def test_sizes_round_trip(count: int) -> None:
    assert read_size(write_size(count)) == count


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_duration, read_size):
        try:
            assert read(text) >= 0
        except ValueError as why:
            assert str(why)
