"""The load generators' own parsers: what wrk printed, heads of answers, WebSocket frames, percentiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.frames import BINARY, Frames, frame, mask
from loadtests.openloop import percentile
from loadtests.processes import CorrectnessError
from loadtests.shapes import BROWSER, DOWNLOAD, PAGE, POST, Run, download_body, mismatch, page_body, parse_run
from loadtests.wire import head_of, request

WRK = """\
Running 3s test @ http://localhost:8080/page
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
  100 requests in 3.00s, 0.83MB read
Requests/sec:     33.33
FIGURES requests=100 microseconds=3000000 bytes=866800 status=0 socket=0 timeout=0
"""


def test_the_line_our_script_makes_wrk_print_is_read() -> None:
    assert parse_run(WRK) == Run(requests=100, seconds=3.0, bytes_read=866_800, bad=0)


def test_refusals_broken_connections_and_timeouts_all_count_as_bad() -> None:
    assert parse_run(WRK.replace("status=0 socket=0 timeout=0", "status=2 socket=3 timeout=4")).bad == 9


def test_without_that_line_nothing_is_guessed() -> None:
    with pytest.raises(ValueError, match="no figures"):
        parse_run("unable to connect to localhost:1 Connection refused")


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        (Run(1000, 3.0, 8_668_000, 0), None),
        (Run(1000, 3.0, 8_668_000 + 20 * 8668, 0), None),  # answers under way at the end
        (Run(1000, 3.0, 8_668_000, 1), "1 of 1000 requests failed"),
        (Run(1000, 3.0, 300_000, 0), "make 8668000 bytes"),  # redirects, which wrk takes for successes
        (Run(0, 3.0, 0, 0), "nothing was answered"),
    ],
)
def test_a_run_must_add_up_to_its_answers(run: Run, complaint: str | None) -> None:
    found = mismatch(run, 8668, 32)
    assert found is None if complaint is None else complaint in (found or "")


def test_the_browser_sends_seventeen_fields_and_the_bodies_are_as_announced() -> None:
    sent = request(PAGE, "localhost:1", "a=b")
    assert sent.count(b"\r\n") == 17 + 2
    assert len(BROWSER) == 15
    assert len(page_body()) == PAGE.body_length
    assert len(download_body()) == DOWNLOAD.body_length
    assert b"Content-Length: 5\r\n" in request(POST, "localhost:1", "a=b", b"12345")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", (200, 38, 5)),
        (b"HTTP/1.1 403 Forbidden\r\nServer: x\r\ncontent-length:  0 \r\n\r\n", (403, 58, 0)),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", (101, 36, 0)),
    ],
)
def test_heads_of_answers(data: bytes, expected: tuple[int, int, int] | None) -> None:
    assert head_of(data) == expected


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", b"garbage\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
def test_an_answer_whose_end_cannot_be_known_is_wrong(data: bytes) -> None:
    with pytest.raises(CorrectnessError):
        head_of(data)


@given(st.lists(st.binary(max_size=300), max_size=5), st.booleans(), st.integers(1, 50))
def test_frames_come_back_whole_however_they_are_cut(messages: list[bytes], masked: bool, step: int) -> None:
    data = b"".join(frame(message, masked=masked) for message in messages)
    reader, found = Frames(), []
    for place in range(0, len(data), step):
        found += reader.feed(data[place : place + step])
    assert found == [(BINARY, message) for message in messages]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
def test_each_form_of_length(size: int) -> None:
    assert Frames().feed(frame(b"x" * size, masked=True)) == [(BINARY, b"x" * size)]


def test_what_the_load_tests_do_not_speak_is_refused() -> None:
    with pytest.raises(ValueError, match="64 KiB"):
        frame(b"x" * 65_536)
    with pytest.raises(ValueError, match="whole frames"):
        Frames().feed(b"\x02\x01x")  # a fragment


@given(st.binary(max_size=100), st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing(payload: bytes, key: bytes) -> None:
    assert mask(mask(payload, key), key) == payload


def test_percentiles_are_by_nearest_rank() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert (percentile(ordered, 0.5), percentile(ordered, 0.99), percentile(ordered, 1.0)) == (50.0, 99.0, 100.0)
    assert percentile([7.0], 0.99) == 7.0
