"""A recorded decision is taken again from its line: same facts in, same verdict out."""

from __future__ import annotations

from pathlib import Path

import msgspec

from proxy.audit.event import Event, encode_facts, encode_identity, event_of, facts_of
from proxy.audit.journal import Journal
from proxy.model.facts import Facts
from proxy.model.identity import Identity
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
