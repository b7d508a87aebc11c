"""Where frames end: however the bytes are cut, and by the word of a plain reader."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_frames import frame, read_frames

from proxy.wire.websocket import Frames, close_frame

BINARY, CLOSE, PING = 2, 8, 9
frames = st.builds(
    frame,
    st.sampled_from([0, 1, BINARY, PING, 10, 3, 11]),
    st.binary(max_size=300),
    mask=st.sampled_from([b"", b"abcd"]),
    fin=st.booleans(),
    form=st.sampled_from([0, 0, 127]),
)
streams = st.one_of(
    st.lists(frames, max_size=6).map(b"".join),
    st.tuples(st.lists(frames, max_size=4).map(b"".join), st.binary(max_size=40)).map(b"".join),
    st.binary(max_size=80),
)


def fed(data: bytes, cuts: list[int]) -> Frames:
    """A tracker that has seen `data` in pieces."""
    tracker = Frames()
    for start, stop in pairwise([0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]):
        tracker.feed(data[start:stop])
    return tracker


@given(streams, st.lists(st.integers(0, 2000), max_size=8))
def test_it_agrees_with_a_plain_reader_however_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    tracker, plain = fed(data, cuts), read_frames(data)
    assert (tracker.closing, tracker.broken) == (plain.closing, plain.broken)
    whole = plain.ends[-1] == len(data) and not plain.closing and not plain.broken
    assert tracker.between() is whole


@given(streams)
def test_it_knows_at_every_byte_whether_it_is_between_frames(data: bytes) -> None:
    tracker = Frames()
    for at in range(len(data)):
        plain = read_frames(data[: at + 1])
        tracker.feed(data[at : at + 1])
        assert tracker.between() is (plain.ends[-1] == at + 1 and not plain.closing and not plain.broken)


@given(st.text(max_size=200), st.sampled_from([b"", b"\x00\x01\x02\xff"]))
def test_a_close_of_ours_is_one_whole_frame(text: str, mask: bytes) -> None:
    data = close_frame(1008, text, mask)
    assert data[:1] == b"\x88"
    size = data[1] & 127
    assert size <= 125
    assert len(data) == 2 + len(mask) + size
    payload = data[2 + len(mask) :]
    if mask:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert payload[:2] == b"\x03\xf0"
    assert text.startswith(payload[2:].decode())


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_long_payloads(length: int) -> None:
    data = frame(BINARY, bytes(length), mask=b"wxyz")
    tracker = Frames()
    tracker.feed(data[:-1])
    assert not tracker.between()
    tracker.feed(data[-1:])
    assert tracker.between()
    tracker.feed(frame(PING, b"") + frame(CLOSE, b"\x03\xe8"))
    assert tracker.closing
    assert not tracker.between()


def test_what_is_no_frame_is_never_interrupted() -> None:
    tracker = Frames()
    tracker.feed(b"\x82\x7f" + b"\xff" * 8)
    assert tracker.broken
    tracker.feed(bytes(100))
    assert not tracker.between()
