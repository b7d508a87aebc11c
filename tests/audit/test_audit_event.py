"""What a line of the record holds, and that event and facts come back from it whole."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.audit.event import (
    Event,
    FactsMissing,
    Notice,
    encode_body,
    encode_facts,
    encode_identity,
    event_of,
    facts_of,
    rfc3339,
)
from proxy.audit.journal import Journal
from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.settings.schema import Audit

NOW = 1_772_366_400.1234567
ALICE = Identity(
    kind="person",
    subject="alice",
    provider="corp",
    email="alice@example.com",
    groups=frozenset({"sre", "staff"}),
    claims={"department": "Infrastructure", "nested": {"level": [1, 2.5, None, True]}},
    session="s_1",
    auth_time=1_772_360_000.5,
    amr=("pwd", "otp"),
)
FACTS = Facts(
    route="grafana",
    host="grafana.example.com",
    method="GET",
    path="/api/ü",
    time=NOW,
    address="10.0.0.7",
    identity=ALICE,
    certificate=Certificate(sha256="ab", serial="01", names=("spiffe://a/b",), not_after=2e9, good_until=1.9e9),
)
EVENT = Event(
    time=NOW,
    outcome=Outcome.ALLOW,
    reason=Reason.RULE_ALLOWS,
    reference="R1",
    session="s_1",
    kind="person",
    identity="alice@example.com",
    address="10.0.0.7",
    route="grafana",
    rule="sre-reads",
    method="GET",
    host="grafana.example.com",
    path="/api/ü",
    status=200,
    bytes_out=8192,
    decide_us=3.25,
    upstream_ms=4.5,
    revision="9f2c",
    facts=encode_facts(FACTS, encode_identity(ALICE)),
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
moments = st.floats(0, 4e9)
identities = st.builds(
    Identity,
    kind=st.sampled_from(["person", "service"]),
    subject=texts,
    provider=texts,
    email=texts,
    name=texts,
    groups=st.frozensets(texts, max_size=4),
    claims=st.dictionaries(texts, json_values, max_size=4),
    session=texts,
    auth_time=st.none() | moments,
    acr=texts,
    amr=st.lists(texts, max_size=3).map(tuple),
)
certificates = st.builds(
    Certificate,
    sha256=texts,
    serial=texts,
    names=st.lists(texts, max_size=3).map(tuple),
    not_after=moments,
    good_until=moments,
)
every_facts = st.builds(
    Facts,
    route=texts,
    host=texts,
    method=texts,
    path=texts,
    time=moments,
    address=st.none() | texts,
    identity=st.none() | identities,
    certificate=st.none() | certificates,
    certificate_problem=st.none() | texts,
)


def written(tmp_path: Path, *events: Event) -> list[bytes]:
    """The lines that end up in the file for `events`, without the ones about the record itself."""
    file = tmp_path / "audit.jsonl"
    journal = Journal(Audit(file=str(file)), lambda: NOW)
    for event in events:
        journal.record(event)
    journal.close()
    return [line for line in file.read_bytes().splitlines() if "type" not in json.loads(line)]


def test_a_line_says_who_did_what_and_why(tmp_path: Path) -> None:
    (line,) = written(tmp_path, EVENT)
    said = json.loads(line)
    facts = said.pop("facts")
    assert said.pop("run")
    assert said == {
        "time": "2026-03-01T12:00:00.123456Z",
        "seq": 2,
        "unix": NOW,
        "outcome": "allow",
        "reason": "rule-allows",
        "reference": "R1",
        "session": "s_1",
        "kind": "person",
        "identity": "alice@example.com",
        "address": "10.0.0.7",
        "route": "grafana",
        "rule": "sre-reads",
        "method": "GET",
        "host": "grafana.example.com",
        "path": "/api/ü",
        "status": 200,
        "bytes_out": 8192,
        "decide_us": 3.25,
        "upstream_ms": 4.5,
        "revision": "9f2c",
    }
    assert next(iter(json.loads(line))) == "time"
    assert facts["identity"]["claims"] == ALICE.claims


def test_the_event_and_its_facts_come_back_whole(tmp_path: Path) -> None:
    (line,) = written(tmp_path, EVENT)
    back = event_of(line)
    assert bytes(back.facts) == bytes(EVENT.facts)
    back.facts = EVENT.facts
    assert back == EVENT
    assert facts_of(line) == FACTS


@given(every_facts)
def test_any_facts_survive_the_record(facts: Facts) -> None:
    cached = encode_identity(facts.identity) if facts.identity else None
    for encoded in (encode_facts(facts), encode_facts(facts, cached)):
        line = encode_body(Event(time=facts.time, outcome=Outcome.DENY, reason=Reason.NO_RULE_ALLOWS, facts=encoded))
        assert facts_of(line) == facts


@given(st.text())
def test_no_text_can_break_the_line_or_the_record(text: str) -> None:
    event = Event(time=NOW, outcome=Outcome.DENY, reason=Reason.BAD_REQUEST, host=text, path=text, note=text)
    line = encode_body(event)
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line).get("path", "") == text.encode("utf-8", "backslashreplace").decode()


def test_bytes_that_are_no_text_are_shown_as_escapes() -> None:
    raw = b"/\xff\xfe".decode("utf-8", "surrogateescape")
    line = encode_body(Event(time=NOW, outcome=Outcome.DENY, reason=Reason.BAD_REQUEST, path=raw))
    assert json.loads(line)["path"] == "/\\udcff\\udcfe"


def test_a_refusal_before_any_decision_has_no_facts() -> None:
    line = encode_body(Event(time=NOW, outcome=Outcome.DENY, reason=Reason.BAD_REQUEST))
    assert "facts" not in json.loads(line)
    with pytest.raises(FactsMissing):
        facts_of(line)


def test_a_notice_is_not_mistaken_for_a_decision() -> None:
    line = encode_body(Notice(type="lost", lost=3))
    with pytest.raises(msgspec.ValidationError):
        event_of(line)
    with pytest.raises(FactsMissing):
        facts_of(line)


@pytest.mark.parametrize("claim", ["\ud800", object()])
def test_an_identity_that_cannot_be_recorded_is_an_error_at_login_not_a_gap_later(
    claim: object,
) -> None:
    with pytest.raises(ValueError, match="the identity of 'alice' cannot be recorded"):
        encode_identity(msgspec.structs.replace(ALICE, claims={"odd": claim}))


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (NOW, "2026-03-01T12:00:00.123456Z"),
        (1_772_366_399.9999998, "2026-03-01T11:59:59.999999Z"),
    ],
)
def test_time_is_rfc_3339_in_utc_with_microseconds(time: float, text: str) -> None:
    assert rfc3339(time) == text
