"""Path globs: what they cover, that they agree with trying everything, and that nothing makes them slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_reference import fits

from proxy.policy import glob
from proxy.policy.conditions.paths import Paths


def covers(pattern: str, path: str) -> bool:
    return re.fullmatch(glob.translate(pattern), path) is not None


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("/", ["/"], ["/a", "//"]),
        ("/a", ["/a"], ["/", "/a/", "/A", "/ab", "/a/b", "/x/a"]),
        ("/a/", ["/a/"], ["/a", "/a/b"]),
        ("/**", ["/", "/a", "/a/", "/a/b/c"], []),
        ("/*", ["/a", "/a.b"], ["/", "/a/", "/a/b"]),
        ("/a/*", ["/a/b"], ["/a", "/a/", "/a/b/", "/a/b/c"]),
        ("/a/*/c", ["/a/b/c"], ["/a/c", "/a/b/b/c", "/a/b/c/"]),
        ("/a/**", ["/a", "/a/", "/a/b", "/a/b/c"], ["/", "/ab", "/b/a", "/A/b"]),
        ("/a/**/z", ["/a/z", "/a/b/z", "/a/z/z"], ["/a", "/a/zz", "/a/z/b", "/az"]),
        ("/**/z", ["/z", "/a/z", "/a/b/z"], ["/", "/az", "/z/"]),
        ("/**/", ["/", "/a/", "/a/b/"], ["/a", "/a/b"]),
        ("/*.txt", ["/a.txt", "/.txt", "/a.txt.txt"], ["/a.txt/b", "/atxt", "/a/b.txt"]),
        ("/a*b*c", ["/abc", "/a1b2c", "/abbcc", "/abcbc"], ["/ab", "/acb", "/a/bc", "/abcd"]),
        ("/**/a*b/**", ["/ab", "/x/a1b/y", "/a/ab"], ["/a/b", "/xab"]),
        ("/**/b/**/c", ["/b/c", "/b/b/c", "/b/c/c"], ["/c/b", "/b", "/c"]),
        ("/a.b", ["/a.b"], ["/axb"]),
        ("/a+(b)[c]$^", ["/a+(b)[c]$^"], ["/aa(b)[c]$^", "/a+bc"]),
        ("/a?", ["/a?"], ["/a", "/ab"]),
        ("/100%", ["/100%"], ["/100"]),
        ("/café/*", ["/café/menü"], ["/cafe/x"]),
        ("/a/**/**/b", ["/a/b", "/a/x/y/b"], ["/ab"]),
    ],
)
def test_what_a_pattern_covers(pattern: str, covered: list[str], not_covered: list[str]) -> None:
    glob.check(pattern)
    assert [path for path in covered if not covers(pattern, path)] == []
    assert [path for path in not_covered if covers(pattern, path)] == []


SEGMENTS = st.one_of(st.just("**"), st.text("ab*", max_size=6).filter(lambda segment: "**" not in segment))
PATTERNS = st.lists(SEGMENTS, min_size=1, max_size=5).map(lambda segments: "/" + "/".join(segments))
PATHS = st.lists(st.text("ab", max_size=6), min_size=1, max_size=6).map(lambda segments: "/" + "/".join(segments))


@given(PATTERNS, PATHS)
def test_the_first_fit_finds_every_fit(pattern: str, path: str) -> None:
    assert covers(pattern, path) is fits(pattern.split("/")[1:], path.split("/")[1:])


@given(PATTERNS, PATHS)
def test_what_is_covered_lies_under_the_literal_prefix(pattern: str, path: str) -> None:
    prefix = glob.literal_prefix(pattern)
    if covers(pattern, path):
        assert path == prefix or path.startswith(prefix.removesuffix("/") + "/")


@given(st.lists(PATTERNS, min_size=1, max_size=4), PATHS)
def test_parts_cover_what_the_whole_covers(patterns: list[str], path: str) -> None:
    patterns = [pattern for pattern in patterns if "//" not in pattern] or ["/"]
    whole = Paths(tuple(patterns))
    under = (part for prefix, part in whole.parts if path == prefix or path.startswith(prefix.removesuffix("/") + "/"))

    class Asked:
        def __init__(self) -> None:
            self.path = path

    assert any(part.holds(Asked()) for part in under) is whole.holds(Asked()) is not whole.fails(Asked())


BOMBS = [
    ("/" + "*a" * 20 + "*b", "/" + "a" * 30_000),
    ("/" + "*a" * 20, "/" + "a" * 30_000 + "b"),
    ("/" + "**/a/" * 12 + "b", "/a" * 15_000),
    ("/" + "**/*a*a/" * 12 + "b", "/aaa" * 8_000),
    ("/**/" + "*/" * 12 + "b", "/a" * 15_000),
    ("/**/a*b", "/a" + "a" * 30_000),
    ("/**/a*a*a*a*b/**/c", ("/" + "a" * 100) * 300),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("pattern", "path"), BOMBS, ids=range(len(BOMBS)))
def test_no_pattern_blows_up(pattern: str, path: str) -> None:
    """With backtracking each of these would outlive the test run by ages."""
    assert not covers(pattern, path)
