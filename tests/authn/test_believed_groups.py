"""A provider is believed for the groups it may name, and for no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.authn.believed import believed_groups

TOLD = ["admins", "partner", "partner-admins", "Partner-x", "sre"]


@pytest.mark.parametrize(
    ("believed", "left"),
    [
        (None, set(TOLD)),
        ((), set()),
        (("partner-*",), {"partner-admins"}),
        (("partner*",), {"partner", "partner-admins"}),
        (("sre", "partner-*"), {"sre", "partner-admins"}),
        (("*",), set(TOLD)),
        (("admin",), set()),
    ],
)
def test_what_is_left(believed: tuple[str, ...] | None, left: set[str]) -> None:
    assert believed_groups(TOLD, believed) == left


@given(st.lists(st.text()), st.lists(st.text(), max_size=4))
def test_a_limit_only_takes_away(told: list[str], believed: list[str]) -> None:
    assert believed_groups(told, believed) <= set(told)
