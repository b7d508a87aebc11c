"""The chunked coding: what is written is read back, however it is cut; whole and in pieces mean the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.body import LAST_CHUNK, ChunkedReader, encode_chunk
from proxy.wire.lines import Malformed

_PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
_MESSY = st.lists(
    st.one_of(
        st.sampled_from(
            [b"5\r\nhello\r\n", b"1;a=b\r\nx\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"0", b"\r\n", b"\r", b"\n"]
        ),
        st.sampled_from([b"00000000000000001\r\nx\r\n", b"g\r\n", b"5 \r\n", b"A: b\r\n", b": b\r\n", b"ffffffff\r\n"]),
        st.binary(max_size=3),
    ),
    max_size=6,
).map(b"".join)


def read(data: bytes, cuts: list[int]) -> tuple[bytes, bytes, bool, bool]:
    """(body, rest, done, refused) of `data` fed in pieces."""
    reader = ChunkedReader()
    body = b""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    for start, stop in pairwise(edges):
        if reader.done:
            break
        try:
            body += reader.feed(data[start:stop])
        except Malformed:
            return body, b"", False, True
        if reader.done:
            return body, reader.rest + data[stop:], True, False
    return body, b"", reader.done, False


@given(_PIECES, st.lists(st.integers(0, 400), max_size=20), st.binary(max_size=10))
def test_what_is_written_is_read_back(pieces: list[bytes], cuts: list[int], behind: bytes) -> None:
    data = b"".join(map(encode_chunk, pieces)) + LAST_CHUNK + behind
    assert read(data, cuts) == (b"".join(pieces), behind, True, False)


@given(_PIECES)
def test_byte_by_byte(pieces: list[bytes]) -> None:
    data = b"".join(map(encode_chunk, pieces)) + LAST_CHUNK
    assert read(data, list(range(len(data)))) == (b"".join(pieces), b"", True, False)


@given(_MESSY, st.lists(st.integers(0, 100), max_size=20))
def test_cuts_change_nothing(data: bytes, cuts: list[int]) -> None:
    whole, cut = read(data, []), read(data, cuts)
    assert whole[2:] == cut[2:]
    if not whole[3]:  # a refusal may come later, after more of the body, when it comes in pieces
        assert whole[:2] == cut[:2]


@given(_MESSY)
def test_every_byte_is_body_framing_or_rest(data: bytes) -> None:
    body, rest, done, _ = read(data, [])
    if done:
        assert data.endswith(rest)
        assert len(body) + len(rest) + 5 <= len(data)


@pytest.mark.parametrize("fed", [1, 100, 4096])
def test_what_can_never_become_a_line_is_not_kept(fed: int) -> None:
    reader = ChunkedReader()
    with pytest.raises(Malformed):
        for _ in range(0, 5000, fed):
            reader.feed(b"0" * fed)


def test_the_budget_is_for_framing_not_for_data() -> None:
    reader = ChunkedReader(overhead=100)
    assert len(reader.feed(encode_chunk(b"x" * 1000) * 1000)) == 1_000_000
    reader = ChunkedReader(overhead=100)
    with pytest.raises(Malformed):
        reader.feed(encode_chunk(b"x") * 100)
