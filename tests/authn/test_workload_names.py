"""Names of services and required claims: what holds for all of them, whatever the values are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.authn.errors import TokenInvalid
from proxy.authn.workload.required import RequiredClaims, pattern
from proxy.authn.workload.service_name import ServiceName
from proxy.model.claims import MISSING, look_up
from proxy.model.identity import Identity
from proxy.policy.asker import Asker, Kind
from proxy.policy.conditions.services import Services
from proxy.policy.logic import FALSE, TRUE

VALUES = st.text(st.sampled_from("ab./:@_-*% \né"), max_size=8)
PATTERNS = ["{a}", "x/{a}", "{a}/{b}", "{a}:{b}/{c}", "ci-{a}@{b}", "x{a}y"]


def named(written: str, claims: dict[str, Any]) -> str | None:
    try:
        return ServiceName(written).name_from(claims)
    except TokenInvalid:
        return None


@given(st.sampled_from(PATTERNS), *[st.tuples(VALUES, VALUES, VALUES)] * 2)
def test_two_sets_of_values_never_make_one_name(
    written: str, one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    used = ServiceName(written).claims
    first, second = (dict(zip("abc", values, strict=True)) for values in (one, other))
    if any(first[name] != second[name] for name in used):
        name = named(written, first)
        assert name is None or name != named(written, second)


@given(st.sampled_from(PATTERNS), VALUES, VALUES, VALUES)
def test_every_name_can_be_listed_and_means_itself_alone(written: str, a: str, b: str, c: str) -> None:
    name = named(written, {"a": a, "b": b, "c": c})
    if name is None:
        return
    identity = Identity(kind="service", subject=f"ci:{name}", provider="ci")
    asker = Asker(Kind.SERVICE, identity, (identity.subject,))
    assert Services([f"ci:{name}"]).settled(asker) == TRUE
    others = Services(["lab:*", "spiffe://ci/*", "*.example", "a.b", "ab", "spiffe://a/b"])
    assert others.settled(asker) == FALSE
    bare = Asker(Kind.SERVICE, Identity(kind="service", subject=f"ci:{name}"), (f"ci:{name}",))
    assert Services([f"ci:{name}"]).settled(bare) == FALSE, "a certificate said so"


@pytest.mark.parametrize(
    "written", ["", "{a}{b}", "{a}-{b}", "a b", "{a", "/a", "a/", "a//{b}", "../{a}", "{a}/.", "é"]
)
def test_patterns_that_would_be_misunderstood(written: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ServiceName(written)


@pytest.mark.parametrize(
    ("claims", "path", "found"),
    [
        ({"a": 1}, "a", 1),
        ({"a": {"b": 2}}, "a.b", 2),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"k.io": {"n": {"m": 3}}}, "k.io.n.m", 3),
        ({"a": None}, "a", None),
        ({"a": [1]}, "a.0", MISSING),
        ({"a": "text"}, "a.b", MISSING),
        ({}, "", MISSING),
    ],
)
def test_claims_by_dotted_path(claims: dict[str, Any], path: str, found: object) -> None:
    assert look_up(claims, path) == found


def naive(wanted: str) -> str:
    """The same meaning, written so that the engine may try every way."""
    text = re.escape(wanted).replace(r"\*", r"[^/:\s]*")
    return re.sub(r"(^|[/:])\[\^/:\\s\]\*(?=$|[/:])", r"\1[^/:\\s]+", text)


@given(st.text(st.sampled_from("ab/:*"), max_size=7), st.text(st.sampled_from("ab/:\n"), max_size=9))
def test_the_fast_pattern_means_the_same_as_the_plain_one(wanted: str, value: str) -> None:
    if "*" in wanted and "**" not in wanted and wanted.count("*") <= 8:
        assert bool(pattern("x", wanted).fullmatch(value)) == bool(re.fullmatch(naive(wanted), value))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
        max_leaves=6,
    )
)
def test_any_json_may_be_a_claim(value: Any) -> None:
    wanted = RequiredClaims({"x": ["yes", True, 1]})
    flat = value if isinstance(value, list) else [value]
    fits = any(type(one) in (str, bool, int) and one in ("yes", 1) for one in flat)
    try:
        wanted.check({"x": value})
    except TokenInvalid:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    "character",
    [" ", "\t", "\n", "\0", "\x1f", "\x7f", "\xa0", "\u2003", "\u2028", "\u200b", "\u202e", "\ufeff"],
)
def test_a_star_stands_for_nothing_that_cannot_be_seen(character: str) -> None:
    wanted = pattern("ref", "refs/heads/*")
    assert wanted.fullmatch("refs/heads/main")
    for value in (f"main{character}", f"{character}main", f"a{character}b", character):
        assert wanted.fullmatch(f"refs/heads/{value}") is None


def test_stars_cannot_be_made_to_take_long() -> None:
    wanted = pattern("x", "*a" * 8)
    assert wanted.fullmatch("a" * 50_000 + "b") is None
    assert wanted.fullmatch("a" * 50_000) is not None
