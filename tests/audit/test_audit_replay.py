"""A recorded decision is taken again from its line: same facts in, same verdict out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from proxy.audit.event import Event, encode_body, encode_device, encode_facts, encode_identity, event_of, facts_of
from proxy.audit.journal import Journal
from proxy.audit.template import Template
from proxy.model.device import Assurance, Device, Observation
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.policy import compile_policy, decide
from proxy.settings.schema import Audit, Rule

NOW = 1_772_366_400.1234567
ALICE = Identity(kind="person", subject="alice", provider="corp", groups=frozenset({"sre"}), session="s_1")
READ = Facts(route="grafana", host="grafana.example.com", method="GET", path="/", time=NOW, identity=ALICE)
WRITE = msgspec.structs.replace(READ, method="POST")
POLICY = compile_policy(allow=[Rule(name="sre-reads", groups=("sre",), methods=("GET",))], deny=[])


def test_the_decision_can_be_taken_again_from_the_line(tmp_path: Path) -> None:
    journal = Journal(Audit(file=str(tmp_path / "audit.jsonl")), lambda: NOW)
    identity = encode_identity(ALICE)
    for facts in (READ, WRITE):
        verdict = decide(POLICY, facts)
        journal.record(
            Event(
                time=facts.time,
                outcome=verdict.outcome,
                reason=verdict.reason,
                rule=verdict.rule,
                facts=encode_facts(facts, identity),
            )
        )
    journal.close()

    lines = [line for line in (tmp_path / "audit.jsonl").read_bytes().splitlines() if b'"outcome"' in line]
    assert [event_of(line).outcome for line in lines] == [Outcome.ALLOW, Outcome.DENY]
    assert [decide(POLICY, facts_of(line)) for line in lines] == [decide(POLICY, READ), decide(POLICY, WRITE)]


def test_a_device_is_on_record_with_where_each_value_comes_from() -> None:
    seen = Observation(value="24.4", source="agent", observed=NOW - 5, expires=NOW + 5, assurance=Assurance.ATTESTED)
    laptop = Device(id="laptop-7", binding="agent", attributes={"os_version": seen})
    facts = Facts(route="app", host="app.example", method="GET", path="/", time=NOW // 1, device=laptop)
    for encoded in (encode_facts(facts), encode_facts(facts, None, encode_device(laptop))):
        event = Event(time=NOW, outcome=Outcome.ALLOW, reason=Reason.RULE_ALLOWS, device=laptop.id, facts=encoded)
        assert facts_of(encode_body(event)) == facts
    line = Template(event, facts, None, encode_device(laptop)).line(facts.time, "r", "/", 200, 0, 0, 1.0, 1.0)
    assert facts_of(line) == facts


def test_a_device_that_cannot_be_written_down_is_said_to_be() -> None:
    with pytest.raises(ValueError, match="cannot be recorded"):
        encode_device(
            Device(attributes={"serial": Observation(value="\ud800", source="claims", observed=0, expires=1)})
        )
