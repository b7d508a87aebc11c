"""What putting one request on record and counting it costs, in CPU µs: `python loadtests/micro_record.py [EVENTS]`.

The whole process's CPU time counts, so the writer thread's share (batches, locks, writes) is in the figure.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proxy.audit.event import Event, encode_facts, encode_identity
from proxy.audit.journal import Journal
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.settings.schema import Audit, Size
from proxy.telemetry.metrics import Metrics

GROUPS = ["sre", "staff", "vpn-users", "grafana-admins", "oncall", "engineering", "berlin", "everybody"]
ALICE = Identity(
    kind="person",
    subject="248289761001",
    provider="corp",
    email="alice.anderson@example.com",
    name="Alice Anderson",
    groups=frozenset(GROUPS),
    claims={"iss": "https://idp.example.com", "department": "Infrastructure", "groups": GROUPS, "locale": "de-DE"},
    session="s_8f2b7c1d9e0a4b5c",
    auth_time=1_772_360_000.0,
    acr="urn:mfa",
    amr=("pwd", "otp"),
)
RAW = encode_identity(ALICE)
ROUTES = [f"route-{number}" for number in range(50)]
PATH = "/api/dashboards/uid/abc123"


def facts_at(moment: float) -> Facts:
    """What the gateway has gathered anyway by the time it records."""
    return Facts(
        route="route-7",
        host="grafana.apps.example.com",
        method="GET",
        path=PATH,
        time=moment,
        address="10.20.30.40",
        identity=ALICE,
    )


def event_of(facts: Facts) -> Event:
    """What the gateway builds per request for the record."""
    return Event(
        time=facts.time,
        outcome=Outcome.ALLOW,
        reason=Reason.RULE_ALLOWS,
        reference="01JNA8Q2XK7F",
        session="s_8f2b7c1d9e0a4b5c",
        kind="person",
        identity="alice.anderson@example.com",
        address="10.20.30.40",
        route="route-7",
        rule="sre-reads",
        method="GET",
        host="grafana.apps.example.com",
        path=PATH,
        status=200,
        bytes_out=8192,
        decide_us=3.25,
        upstream_ms=4.125,
        revision="9f2c41d07b",
        facts=encode_facts(facts, RAW),
    )


def measure(events: int, act: Callable[[int], object], finish: Callable[[], object] = lambda: None) -> float:
    """CPU µs per event of the whole process."""
    before = time.process_time()
    for number in range(events):
        act(number)
    finish()
    return (time.process_time() - before) / events * 1e6


def main() -> None:
    """Print the table."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    now = time.time()
    facts = [facts_at(now + number / 20_000) for number in range(1000)]
    seconds = [random.expovariate(100) for _ in range(1000)]
    metrics = Metrics(ROUTES)
    with tempfile.TemporaryDirectory() as folder:
        settings = Audit(file=f"{folder}/audit.jsonl", rotate=Size(100 << 20), keep=1)
        journal = Journal(settings, buffer_bytes=1 << 30)

        def count(number: int) -> None:
            metrics.observe(ROUTES[number % 50], "allow", 200, seconds[number % 1000], 8192)
            metrics.decided("rule-allows")

        empty = measure(events, lambda number: facts[number % 1000])
        built = measure(events, lambda number: event_of(facts[number % 1000])) - empty
        recorded = measure(events, lambda number: journal.record(event_of(facts[number % 1000])), journal.flush) - empty
        counted = measure(events, count) - empty
        journal.close()
        if journal.lost:
            raise SystemExit(f"{journal.lost} events did not fit the buffer: the figures are worth nothing")
    print(f"build the event (facts encoded)      {built:6.2f} µs")
    print(f"Journal.record, encoded and written  {recorded - built:6.2f} µs")
    print(f"Metrics.observe + decided            {counted:6.2f} µs")
    print(f"all                                  {recorded + counted:6.2f} µs")


if __name__ == "__main__":
    main()
