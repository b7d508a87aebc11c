"""Whatever our readers accept, llhttp accepts with the same meaning; where they differ on purpose is data."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from llhttp_reading import Reading, read_request, read_response
from wire_cases import Case, load_cases
from wire_stack import HOST

from proxy.wire.body import ChunkedReader
from proxy.wire.host import HostRefused
from proxy.wire.host import parse as parse_host
from proxy.wire.lines import CHUNKED, UNTIL_CLOSE, Malformed
from proxy.wire.path import PathRefused, absolute, canonical
from proxy.wire.request import RequestHead, parse_request_head
from proxy.wire.response import parse_response_head

_FIRST = f"Host: {HOST}\r\nCookie: a=b\r\n"
_KNOWN = yaml.safe_load((Path(__file__).parent / "cases" / "llhttp.yaml").read_text("utf-8"))
CASES = [*load_cases("framing.yaml"), *load_cases("lines.yaml")]
_BEHIND = b"5\r\nhello\r\n0\r\n\r\n"


def sent(case: Case) -> bytes:
    """What a case sends."""
    if "bytes" in case:
        text: str = case["bytes"]
    else:
        line = case.get("line", "POST /x HTTP/1.1")
        text = "\r\n".join([line, _FIRST.rstrip(), *case.get("fields", [])]) + "\r\n\r\n" + case.get("body", "")
    return text.replace("{first}", _FIRST).replace("{cookie}", "a=b").encode("latin-1")


def covered(name: str, way: str) -> bool:
    """Whether this difference is written down."""
    return any(fnmatch.fnmatchcase(name, entry["cases"]) for entry in _KNOWN[way])


@pytest.mark.parametrize("case", [pytest.param((p.id, p.values[0]), id=p.id) for p in CASES])
def test_the_table_in_llhttps_eyes(case: tuple[str, Case]) -> None:
    name, content = case
    reading = read_request(sent(content))
    if "refused" in content or "cut" in content:
        assert reading is None or covered(name, "stricter")
    elif "next" not in content.get("forwarded", {}) and "a second request" not in name:
        assert reading is not None or covered(name, "looser")


@pytest.mark.parametrize("way", ["stricter", "looser"])
def test_no_difference_is_written_down_that_is_none(way: str) -> None:
    names = [param.id or "" for param in CASES]
    for entry in _KNOWN[way]:
        assert fnmatch.filter(names, entry["cases"].replace("[", "[[]")), entry


# --- heads

_METHODS = st.sampled_from(
    [b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"PATCH", b"GE", b"get", b"G T", b""]
)
_TARGETS = st.one_of(
    st.sampled_from(
        [b"/", b"/x?y", b"*", b"http://a/x", b"/x#y", b"/%41", b"/\xe9", b"/a b", b"a:80", b"/x\ry", b"/x\ny"]
    ),
    st.binary(max_size=6).map(lambda tail: b"/" + tail),
)
_VERSIONS = st.sampled_from(
    [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.10", b"http/1.1", b""]
)
_NAMES = st.sampled_from(
    b"Host Content-Length Transfer-Encoding Connection Upgrade Expect Accept X-A Cookie content_length host "
    b"transfer-encoding X\xe9 X( Content-Length\x0b Transfer.Encoding TE Trailer X-Forwarded-For".split()
)
_PLAIN_VALUES = """
a 0 5 05 +5 5,5 chunked Chunked gzip,chunked chunked,chunked identity close keep-alive upgrade websocket h2c
100-continue x-a
"""
_VALUES = st.one_of(
    st.sampled_from(_PLAIN_VALUES.encode().split()),
    st.sampled_from([b"", b"a b", b"\x0bchunked", b"chunked\x0b", b"a\x00", b"a\rb", b"a\nb", b"\xff", b" 5", b"5\t"]),
    st.binary(max_size=4),
)
_COLONS = st.sampled_from([b": ", b": ", b": ", b":", b":\t", b" :", b":  ", b""])
_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\r\n"])


@st.composite
def heads(draw: st.DrawFn, first: st.SearchStrategy[bytes]) -> bytes:
    """A head without its empty line, good or bad."""
    lines = [draw(first)]
    if draw(st.integers(0, 9)):
        lines.append(b"Host: app.test")
    count = draw(st.integers(0, 4))
    lines += [draw(_NAMES) + draw(_COLONS) + draw(_VALUES) for _ in range(count)]
    data = lines[0]
    for line in lines[1:]:
        data += draw(_ENDS) + line
    return data


_REQUESTS = heads(st.builds(lambda *parts: b" ".join(parts), _METHODS, _TARGETS, _VERSIONS))


def accepted(data: bytes) -> RequestHead | None:
    """A request that the head's reader and the readers of its host and target accept."""
    try:
        head = parse_request_head(data)
        parse_host(head.fields.host)
        full = absolute(head.target)
        canonical(full.origin if full is not None else head.target)
    except (Malformed, HostRefused, PathRefused):
        return None
    return head if full is None or full.authority.lower() == head.fields.host.lower() else None


def passing(reading: Reading) -> list[bytes]:
    """llhttp's fields as lines, with lower-case names."""
    return [name + b": " + value for name, value in reading.fields]


def lower(lines: list[bytes]) -> list[bytes]:
    """Field lines with lower-case names."""
    return [name.lower() + b":" + value for name, _, value in (line.partition(b":") for line in lines)]


@given(_REQUESTS)
def test_request_heads(data: bytes) -> None:
    head = accepted(data)
    if head is None or head.method not in ("GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"):
        return
    if head.fields.upgrade and b"upgrade" in (head.fields.connection or ()):
        return  # llhttp stops there and leaves the body to its caller; here the gateway refuses one with a body
    length = head.fields.length
    body = _BEHIND if length == CHUNKED else b"x" * min(length, 100)
    reading = read_request(data + b"\r\n\r\n" + body)
    assert reading is not None, "we accept what llhttp refuses"
    assert reading.first == (head.method.encode(), head.target, b"1.0" if head.old else b"1.1")
    assert reading.whole == (length <= 100)
    assert reading.body == (b"hello" if length == CHUNKED else body)
    fields = passing(reading)
    assert [line for line in fields if line.startswith(b"host:")] == [b"host: " + head.fields.host]
    assert [line[8:] for line in fields if line.startswith(b"cookie:")] in ([*head.fields.cookies], [])
    ours = lower(head.fields.lines)
    assert ours == [line for line in fields if line in ours]


@given(_REQUESTS)
def test_a_head_means_the_same_every_time(data: bytes) -> None:
    """Lines are remembered: what was read before must not change what is read now."""

    def meaning() -> Any:
        try:
            head = parse_request_head(data)
        except Malformed as mistake:
            return mistake.why, mistake.status
        told = {name: getattr(head.fields, name) for name in dir(head.fields) if not name.startswith("_")}
        values = {name: value for name, value in told.items() if not callable(value)}  # no slots where it is compiled
        return (head.method, head.target, head.old, values)

    assert meaning() == meaning()


_GOOD_STATUS = """HTTP/1.1 200 OK|HTTP/1.1 200|HTTP/1.0 404 Not Found|HTTP/1.1 204 No Content|HTTP/1.1 304 Not|
HTTP/1.1 999 x|HTTP/1.1 600 x|HTTP/1.1 200 \xe9|HTTP/1.1 200 """
_BAD_STATUS = """HTTP/2.0 200 OK|HTTP/1.1  200 OK|HTTP/1.1 20 OK|HTTP/1.1 200 O\rK|HTTP/1.1 200\tOK|ICY 200 OK|"""
_STATUS_LINES = st.sampled_from(
    [line.strip("\n").encode("latin-1") for line in [*_GOOD_STATUS.split("|"), *_BAD_STATUS.split("|")]]
)


@given(heads(_STATUS_LINES))
def test_response_heads(data: bytes) -> None:
    try:
        head = parse_response_head(data, "GET")
    except Malformed:
        return
    length = head.length
    body = _BEHIND if length == CHUNKED else b"x" * (7 if length == UNTIL_CLOSE else min(length, 100))
    reading = read_response(data + b"\r\n\r\n" + body)
    assert reading is not None, "we accept what llhttp refuses"
    assert reading.first == (b"%d" % head.status, b"1.0" if head.old else b"1.1")
    assert reading.body == (b"hello" if length == CHUNKED else body)
    assert reading.whole == (length != UNTIL_CLOSE and length <= 100)
    ours = lower([line for line in head.lines if not line.startswith(b"Content-Length: ")])
    assert ours == [line for line in passing(reading) if line in ours]


# --- chunks

_CHUNKS = st.lists(
    st.one_of(
        st.sampled_from(
            [b"5\r\nhello\r\n", b"1\r\na\r\n", b"0\r\n", b"\r\n", b"0\r\n\r\n", b"A: b\r\n", b"a\r\n0123456789\r\n"]
        ),
        st.sampled_from(
            [
                b"5;x=y\r\nhello\r\n",
                b"5 \r\nhello\r\n",
                b"5\nhello\r\n",
                b"05\r\nhello\r\n",
                b"5\r\nhello\n",
                b"\r",
                b"\n",
            ]
        ),
        st.sampled_from(
            [
                b'5;a="b"\r\nhello\r\n',
                b"5 ;a\r\nhello\r\n",
                b"5;\r\nhello\r\n",
                b"5; \r\nhello\r\n",
                b"5\t;a\r\nhello\r\n",
            ]
        ),
        st.sampled_from(
            [
                b"5;a=\r\nhello\r\n",
                b"5;=b\r\nhello\r\n",
                b"5;\xe9\r\nhello\r\n",
                b"5;a b\r\nhello\r\n",
                b"5;;\r\nhello\r\n",
            ]
        ),
        st.binary(max_size=3),
    ),
    max_size=5,
).map(b"".join)


@given(_CHUNKS)
def test_chunks(data: bytes) -> None:
    reader = ChunkedReader()
    try:
        body = reader.feed(data)
    except Malformed:
        return
    if not reader.done:
        return
    used = data[: len(data) - len(reader.rest)]
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    reading = read_request(head + used)
    assert reading is not None, "we accept what llhttp refuses"
    assert reading.whole
    assert reading.body == body
    early = read_request(head + used[:-1])
    assert early is not None
    assert not early.whole, "llhttp sees the end of the body before we do"
