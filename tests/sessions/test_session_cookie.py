"""Our cookie is found, and never shown to an app nor set by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.sessions.cookie import set_cookie_strips, take

HANDLE = b"Abc-_0123456789" + b"h" * 28
OTHER = b"o" * 43
HERE = Path(__file__).parent
CASES = yaml.safe_load((HERE / "cookies.yaml").read_text())
SET_CASES = yaml.safe_load((HERE / "set_cookies.yaml").read_text())


def filled(text: str) -> bytes:
    """H and H2 stand for handles where they stand for a value."""
    out = text.encode()
    for before in (b"=", b"= ", b'="'):
        out = out.replace(before + b"H2", before + OTHER).replace(before + b"H", before + HANDLE)
    return out


@pytest.mark.parametrize("case", CASES, ids=[case["title"] for case in CASES])
def test_what_is_believed_and_what_is_passed_on(case: dict) -> None:
    lines = [filled(line) for line in case.get("lines", [case.get("cookie")])]
    handle, rest = take(*lines)
    assert handle == {"none": None, "H": HANDLE}[case["handle"]]
    assert rest == (lines[0] if case["to_app"] == "same" else filled(case["to_app"]))


def test_the_header_object_itself_is_passed_on_when_nothing_is_ours() -> None:
    header = b"theme=dark; lang=de"
    assert take(header)[1] is header


NAMES = st.sampled_from([b"a", b"__Host-ostiary", b"__Host-ostiary-bind", b"__HOST-ostiary", b"__Host-x", b"", b"note"])
BLANKS = st.sampled_from([b"", b" ", b"\t", b"  "])
VALUES = st.one_of(
    st.sampled_from([b"", HANDLE, OTHER, b'"', b"__Host-ostiary", b"=x", b'"' + HANDLE + b'"']),
    st.binary(max_size=8).filter(lambda value: b";" not in value),
)
PARTS = st.builds(
    lambda a, name, b, sign, c, value: a + name + b + sign + c + value,
    BLANKS,
    NAMES,
    BLANKS,
    st.sampled_from([b"=", b"", b"=="]),
    BLANKS,
    VALUES,
)


def names_seen_by_an_app(cookie: bytes) -> list[bytes]:
    """Read as leniently as apps do: blanks, quotes, empty names and any case."""
    return [part.strip().lstrip(b"=\"' \t").lower() for part in cookie.split(b";")]


@given(st.lists(PARTS, max_size=6).map(b";".join))
@example(b"__Host-ostiary=" + HANDLE + b";__Host-ostiary=" + OTHER)
def test_no_cookie_of_ours_passes_and_no_other_is_lost(cookie: bytes) -> None:
    handle, rest = take(cookie)
    assert not [name for name in names_seen_by_an_app(rest) if name.startswith(b"__host-ostiary")]
    foreign = [
        part.strip(b" \t") for part in cookie.split(b";") if b"ostiary" not in part.lower() and part.strip(b" \t")
    ]
    assert foreign == [
        part.strip(b" \t") for part in rest.split(b";") if b"ostiary" not in part.lower() and part.strip(b" \t")
    ]
    if handle is not None:
        exact = [p for p in cookie.split(b";") if b"=" in p and p.partition(b"=")[0].strip() == b"__Host-ostiary"]
        assert [each.partition(b"=")[2].strip() for each in exact] == [handle]
        assert handle not in rest.replace(b"note", b"") or cookie.count(handle) > 1
    assert take(rest)[0] is None


@given(st.binary(max_size=60))
def test_any_bytes_do(cookie: bytes) -> None:
    _, rest = take(cookie)
    assert not any(name.startswith(b"__host-ostiary") for name in names_seen_by_an_app(rest))


@pytest.mark.parametrize("case", SET_CASES, ids=[repr(case["value"]) for case in SET_CASES])
def test_apps_cannot_set_ours(case: dict) -> None:
    assert set_cookie_strips(case["value"].encode()) is case["dropped"]


@given(BLANKS, st.sampled_from([b"__Host-ostiary", b"__hOST-OsTiArY-bind"]), st.binary(max_size=20))
def test_however_it_goes_on_it_is_dropped(blank: bytes, name: bytes, rest: bytes) -> None:
    assert set_cookie_strips(blank + name + rest)
    assert set_cookie_strips(blank + b"=" + name + rest)
