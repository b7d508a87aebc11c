"""YAML: what is read means to us what it means to everybody, and nothing crashes the reader."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.settings.document import BROKEN
from proxy.settings.parse import DEEPEST, LARGEST_FILE, parse
from proxy.settings.scalars import Ambiguous, plain_scalar


def test_values_and_their_places() -> None:
    document = parse(b"a: 1\nb:\n  - x: 'yes'\n    z: 2.5\n  - true\n", "f.yaml")
    assert document.value == {"a": 1, "b": [{"x": "yes", "z": 2.5}, True]}
    assert document.problems == []
    assert document.place(("b",)) == (3, 3)
    assert document.place(("b",), key=True) == (2, 1)
    assert document.place(("b", 0, "z")) == (4, 8)
    assert document.place(("b", 0, "z"), key=True) == (4, 5)
    assert document.place(("b", 1)) == (5, 5)
    assert document.place(("b", 0, "absent")) == (3, 5)


def test_windows_line_ends_and_a_byte_order_mark() -> None:
    document = parse(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n  y\r\n", "f.yaml")
    assert document.value == {"a": 1, "b": "x\ny\n"}
    assert document.place(("b",), key=True) == (2, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-7", -7),
        ("2.50", 2.5),
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("10.9.0.0/16", "10.9.0.0/16"),
        ("::1", "::1"),
        ("12h", "12h"),
        ("1.2.3", "1.2.3"),
        ("yesterday", "yesterday"),
        ("north", "north"),
        ("null-device", "null-device"),
        ("0.0.0.0:1", "0.0.0.0:1"),
        ("-", "-"),
        (".", "."),
    ],
)
def test_plain_words(text: str, value: object) -> None:
    read = plain_scalar(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "No",
        "ON",
        "off",
        "y",
        "N",
        "010",
        "0o10",
        "0x1f",
        "0b1",
        "1_000",
        "1:30",
        "18:00",
        "190:20:30.15",
        "1e3",
        ".5",
        "5.",
        "1.5e+3",
        ".inf",
        "-.INF",
        ".NaN",
        "2001-12-14",
        "2001-12-14t21:59:43.10-05:00",
        "=",
        "~",
        "null",
        "Null",
    ],
)
def test_words_that_others_read_differently(text: str) -> None:
    with pytest.raises(Ambiguous):
        plain_scalar(text)


def test_a_file_that_is_too_large_is_not_read() -> None:
    document = parse(b"a: " + b"x" * LARGEST_FILE, "f.yaml")
    assert document.value is BROKEN
    assert [problem.message for problem in document.problems] == ["the file is larger than 16 MiB"]


def test_depth_is_bounded_and_costs_nothing() -> None:
    fits = parse(b"[" * DEEPEST + b"]" * DEEPEST, "f.yaml")
    assert fits.problems == []
    bomb = parse(b"[" * 1_000_000, "f.yaml")
    assert [problem.message for problem in bomb.problems] == [f"nested more than {DEEPEST} deep"]
    bomb = parse(b"{a: " * 1_000_000, "f.yaml")
    assert [problem.message for problem in bomb.problems] == [f"nested more than {DEEPEST} deep"]


def test_an_entity_bomb_is_refused_at_its_first_anchor() -> None:
    text = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    messages = [problem.message for problem in parse(text, "f.yaml").problems]
    assert messages[0] == "anchors (&a) are not supported"
    assert sum("aliases" in message for message in messages) == 4


def test_many_mistakes_end_the_reading() -> None:
    document = parse(b"- no\n" * 5000, "f.yaml")
    assert len(document.problems) == 1000


def test_bytes_that_are_not_text() -> None:
    document = parse(b"a: 1\nb: \xff\n", "f.yaml")
    assert [(problem.line, problem.message) for problem in document.problems] == [(2, "this line is not UTF-8 text")]


# --- properties --------------------------------------------------------------------------------------------------

pieces = st.sampled_from(
    [
        "a",
        "b: ",
        "- ",
        "  ",
        "\n",
        "\n  ",
        "? ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "'",
        '"',
        "#",
        "|\n",
        ">\n",
        "&x ",
        "*x",
        "!t ",
        "<<: ",
        "no",
        "yes",
        "1",
        "0",
        "7",
        "1.5",
        "1:30",
        "1_0",
        "e3",
        ".",
        "-",
        "+",
        "~",
        "null",
        "true",
        "=",
        "%",
        "---\n",
        "...\n",
        "\t",
        "\r\n",
        "é",
        "\u2028",
        "\\x41",
        "0x",
        "2001-01-01",
    ]
)
texts = st.lists(pieces, max_size=30).map("".join)


@given(texts)
@settings(max_examples=1500)
def test_what_is_accepted_means_the_same_to_another_reader(text: str) -> None:
    document = parse(text.encode(), "f.yaml")
    if not document.sound:
        return
    assert document.value == yaml.load(text, yaml.CSafeLoader)
    with contextlib.suppress(yaml.YAMLError):  # stricter than libyaml about tabs, never of another opinion
        assert document.value == yaml.safe_load(text)


@given(st.text(alphabet="+-_.:0123456789eExobaftTzZ=~ ", min_size=1, max_size=12))
@settings(max_examples=1500)
def test_plain_scalars_mean_the_same_to_another_reader(text: str) -> None:
    text = text.strip()
    try:
        value = plain_scalar(text)
    except Ambiguous:
        return
    try:
        other = yaml.safe_load(f"[{text}]")
    except (yaml.YAMLError, ValueError):
        return
    if isinstance(other, list) and other and not isinstance(other[0], dict):
        assert other[0] == value
        assert type(other[0]) is type(value)


@given(st.one_of(st.binary(max_size=200), texts.map(str.encode)))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    document = parse(data, "f.yaml")
    for problem in document.problems:
        assert 0 <= problem.line <= data.count(b"\n") + data.count(b"\r") + 2
        assert problem.message


@given(st.recursive(st.booleans() | st.integers(-9999, 9999) | st.text(max_size=8), lambda x: st.lists(x, max_size=3)
       | st.dictionaries(st.text(max_size=5), x, max_size=3), max_leaves=12))  # fmt: skip
def test_what_another_writer_quotes_is_read_back(value: object) -> None:
    text = yaml.safe_dump(value, default_style='"') if isinstance(value, str) else yaml.safe_dump(value)
    document = parse(text.encode(), "f.yaml")
    if not document.problems:
        assert document.value == value
