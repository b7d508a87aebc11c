"""One canonical form of a target, or a refusal: the cases of `cases.yaml`, and what holds for every target."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.path import PathRefused, absolute, below, canonical

HERE = Path(__file__).parent
CASES = [
    pytest.param(case, id=f"{group['group']}: {case['target']!r}")
    for group in yaml.safe_load((HERE / "cases.yaml").read_text("utf-8"))
    for case in group["cases"]
]
ABSOLUTE = yaml.safe_load((HERE / "absolute.yaml").read_text("utf-8"))

TEXT_PIECES = r"""
/ // a B 7 . .. ~ %2e %2E %2f %5c \ ; %3b %25 %252e %41 %c3%a9 %C3%A9 %c0%ae %00 %7f % %zz %3f %23 ? # [ | %5b + %2b = *
%ef%bc%8e %e2%80%a5 %ef%bc%8f %e9
"""
PIECES = st.sampled_from([*TEXT_PIECES.encode("ascii").split(), b" ", b"\x00", b"\xe9"])
TARGETS = st.one_of(
    st.lists(PIECES, max_size=12).map(lambda pieces: b"/" + b"".join(pieces)),
    st.binary(max_size=24).map(lambda tail: b"/" + tail),
    st.binary(max_size=12),
)


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any]) -> None:
    sent = case["target"].encode("latin-1")
    if "refused" in case:
        with pytest.raises(PathRefused) as refusal:
            canonical(sent)
        assert case["refused"] in refusal.value.why
        return
    target = canonical(sent)
    raw = case.get("raw", case["path"]).encode("ascii")
    query = case.get("query", "").encode("ascii")
    assert target == (case["path"], raw, query)
    assert target.forward == (raw + b"?" + query if query else raw)


@pytest.mark.parametrize("case", ABSOLUTE, ids=lambda case: repr(case["target"]))
def test_absolute_form_is_taken_apart(case: dict[str, Any]) -> None:
    parts = absolute(case["target"].encode("latin-1"))
    if case.get("none"):
        assert parts is None
    else:
        assert parts == tuple(case[name].encode("latin-1") for name in ("scheme", "authority", "origin"))


def test_a_refusal_never_repeats_what_the_client_sent() -> None:
    with pytest.raises(PathRefused) as refusal:
        canonical(b"/SECRET-TOKEN/../x")
    assert "SECRET-TOKEN" not in str(refusal.value)


@pytest.mark.parametrize(
    ("sent", "prefix", "left"),
    [
        (b"/app/x/y", "/app", b"/x/y"),
        (b"/app/", "/app", b"/"),
        (b"/app", "/app", b"/"),
        (b"/app/x/", "/app", b"/x/"),
        (b"/a%2bb/x", "/a+b", b"/x"),
        (b"/a+b/x", "/a+b", b"/x"),
        (b"/caf%c3%a9/menu/x%20y", "/café/menu", b"/x%20y"),
        (b"/x", "", b"/x"),
        (b"/", "", b"/"),
    ],
)
def test_a_prefix_is_taken_off_however_it_was_sent(sent: bytes, prefix: str, left: bytes) -> None:
    target = canonical(sent)
    assert target.path == prefix or target.path.startswith(prefix + "/")
    assert below(target.raw_path, prefix) == left


@given(TARGETS, st.integers(0, 4))
def test_what_is_left_below_a_prefix_is_canonical_again(sent: bytes, depth: int) -> None:
    try:
        target = canonical(sent)
    except PathRefused:
        return
    prefix = "/".join(target.path.split("/")[: depth + 1]).removesuffix("/")
    left = canonical(below(target.raw_path, prefix))
    assert left.path == (target.path.removeprefix(prefix) or "/")


@given(TARGETS)
def test_canonical_form_is_canonical(sent: bytes) -> None:
    try:
        target = canonical(sent)
    except PathRefused:
        return
    again = canonical(target.raw_path)
    assert again == (target.path, target.raw_path, b"")
    assert canonical(target.forward) == target


@given(TARGETS)
def test_what_was_decided_on_is_what_is_forwarded(sent: bytes) -> None:
    try:
        target = canonical(sent)
    except PathRefused:
        return
    assert unquote_to_bytes(target.raw_path).decode("utf-8") == target.path
    assert unquote_to_bytes(target.path) == target.path.encode("utf-8"), "decoding a second time changes nothing"


@given(TARGETS)
def test_no_path_that_servers_read_differently_comes_out(sent: bytes) -> None:
    try:
        path, raw, query = canonical(sent)
    except PathRefused:
        return
    assert path.startswith("/")
    assert "//" not in path
    assert not {".", ".."} & set(path.split("/"))
    assert not set("\\;") & set(path)
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in path)
    assert all(0x21 <= byte < 0x7F and byte not in b'#?"<>[]\\^`{|};' for byte in raw)
    assert all(0x21 <= byte < 0x7F and byte != ord("#") for byte in query)


@given(TARGETS)
def test_the_query_is_untouched(sent: bytes) -> None:
    try:
        target = canonical(sent)
    except PathRefused:
        return
    assert target.query == sent.partition(b"?")[2]


@given(TARGETS)
def test_the_fast_way_agrees_with_the_slow_way(sent: bytes) -> None:
    from proxy.wire.path import _canonical_slowly

    def outcome(function: Any) -> Any:
        try:
            return function(sent)
        except PathRefused as refusal:
            return refusal.why

    assert outcome(canonical) == outcome(_canonical_slowly)
