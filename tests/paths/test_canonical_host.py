"""One canonical form of a Host value, or a refusal: the cases of `hosts.yaml`, and what holds for every value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.host import HostRefused, parse

CASES = yaml.safe_load((Path(__file__).parent / "hosts.yaml").read_text("utf-8"))
VALUES = st.one_of(
    st.binary(max_size=30),
    st.text("abAB019-_.:[]@,x% ", max_size=30).map(lambda text: text.encode("ascii")),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded}]".encode("ascii")),
    st.ip_addresses(v=4).map(lambda address: str(address).encode("ascii")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["value"]))
def test_case(case: dict[str, Any]) -> None:
    sent = case["value"].encode("latin-1")
    if "refused" in case:
        with pytest.raises(HostRefused) as refusal:
            parse(sent)
        assert case["refused"] in refusal.value.why
    else:
        assert parse(sent) == (case["host"], case.get("port"))


@pytest.mark.parametrize(
    ("length_of_label", "labels", "accepted"),
    [(63, 3, True), (64, 1, False), (63, 4, False), (49, 5, True), (50, 5, False)],
)
def test_lengths_of_names(length_of_label: int, labels: int, accepted: bool) -> None:
    name = b".".join([b"a" * length_of_label] * labels)
    if accepted:
        assert parse(name + b".:65535").host == name.decode()
    else:
        with pytest.raises(HostRefused):
            parse(name)


def test_a_huge_value_is_refused_before_anything_looks_at_it() -> None:
    with pytest.raises(HostRefused, match="too long"):
        parse(b"a." * 10_000)


@given(VALUES)
def test_canonical_form_is_canonical(value: bytes) -> None:
    try:
        host, port = parse(value)
    except HostRefused:
        return
    assert host == host.lower()
    assert not host.endswith(".")
    spelled = host if port is None else f"{host}:{port}"
    assert parse(spelled.encode("ascii")) == (host, port)
