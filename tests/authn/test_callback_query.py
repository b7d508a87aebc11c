"""The browser returns from the provider; its query may have been made by anybody."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.authn.callback import KNOWN_ERRORS, UNKNOWN_ERROR, Callback, parse_callback
from proxy.authn.errors import CallbackInvalid


def test_a_code() -> None:
    said = parse_callback("code=c%2B1&state=s&iss=https%3A%2F%2Fidp.example&session_state=x")
    assert said == Callback(state="s", code="c+1", iss="https://idp.example")
    assert "c+1" not in repr(said)


def test_an_error() -> None:
    said = parse_callback("error=access_denied&error_description=No%0Away%1b[31m&state=s")
    assert said == Callback(state="s", error="access_denied", description="No way [31m")


def test_an_error_nobody_knows_is_not_put_on_our_page() -> None:
    assert parse_callback("error=call+this+number&state=s").error == UNKNOWN_ERROR


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=c",
        "state=s",
        "code=&state=s",
        "code=c&state=",
        "code=c&state=s&state=s",
        "code=c&code=d&state=s",
        "code=c&state=s&iss=a&iss=a",
        "code=c&state=s&co%64e=d",
        "code=c&state=s&x=1&x=2",
        "code=c&error=access_denied&state=s",
        "code=%ff&state=s",
        "code=c%00&state=s",
        "code=c%0d%0aX&state=s",
        "code&state=s",
        "code=c;state=s",
        "code=c&state=" + "s" * 9000,
        "code=c&state=s&x=" + "x" * 17000,
        "&".join(f"p{n}=1" for n in range(40)) + "&code=c&state=s",
    ],
)
def test_refused(query: str) -> None:
    with pytest.raises(CallbackInvalid):
        parse_callback(query)


@given(st.text(max_size=200))
def test_any_query_gives_a_callback_or_a_refusal(query: str) -> None:
    try:
        said = parse_callback(query)
    except CallbackInvalid:
        return
    assert said.state
    assert bool(said.code) != bool(said.error)
    assert said.error in KNOWN_ERRORS | {UNKNOWN_ERROR, ""}


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=50))
def test_codes_and_states_come_through_unchanged(value: str) -> None:
    assert parse_callback(urlencode({"code": value, "state": value})) == Callback(state=value, code=value)
