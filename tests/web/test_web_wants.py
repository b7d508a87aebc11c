"""Who gets a redirect, a page or JSON: the table of `wants.yaml`, and that rendering is quick and never fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.reasons import MEANING, Reason
from proxy.model.verdict import Failed
from proxy.web.endpoints import challenge_location
from proxy.web.refusals import Refusal, render, wants

TABLE = yaml.safe_load((Path(__file__).parent / "wants.yaml").read_text())


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["who"])
def test_table_as_text_and_as_bytes(case: dict[str, Any]) -> None:
    fields = [case.get("method", "GET"), *(case.get(name) for name in ("accept", "mode", "dest", "requested"))]
    assert wants(*fields) == case["is"]
    assert wants(*(None if field is None else field.encode() for field in fields)) == case["is"]


@given(st.lists(st.one_of(st.none(), st.binary(max_size=60), st.text(max_size=60)), min_size=5, max_size=5))
def test_no_header_makes_it_fail(fields: list[Any]) -> None:
    assert wants(*fields) in ("redirect", "html", "json")


@given(
    st.sampled_from(list(Reason)),
    st.text(max_size=30),
    st.lists(st.builds(Failed, st.text(max_size=9), st.text(max_size=9), st.text(max_size=40), st.booleans())),
    st.text(max_size=30),
)
def test_any_words_make_a_page(reason: Reason, text: str, failed: list[Failed], target: str) -> None:
    refusal = Refusal(reason, rule=text, failed=tuple(failed), identity=text, target=target, route_link=text)
    status, headers, body = render(refusal, want="html")
    assert status == MEANING[reason].status
    assert body.startswith(b"<!doctype html>")
    assert body.rstrip().endswith(b"</html>")
    assert all(b"\r" not in value and b"\n" not in value for _, value in headers)


@pytest.mark.parametrize(
    ("arguments", "location"),
    [
        (("h", "/a?b=c&d"), "/.ostiary/login?return=/a%3Fb%3Dc%26d"),
        (("h", "/a+b%20c"), "/.ostiary/login?return=/a%2Bb%2520c"),
        (("h", "/", 600.9, "corp"), "/.ostiary/login?return=/&max_age=600&provider=corp"),
        (("h", "/\r\nX: y"), "/.ostiary/login?return=/%0D%0AX%3A%20y"),
    ],
)
def test_where_a_challenge_leads(arguments: tuple[Any, ...], location: str) -> None:
    assert challenge_location(*arguments) == location
