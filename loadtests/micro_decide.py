"""What a decision costs, in microseconds per call: `python loadtests/micro_decide.py`.

No assertion on time; the table is to be read. Each line is the best of several runs on one core.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proxy.model.device import Assurance, Device, Observation
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.policy import Policy, compile_policy, decide
from proxy.routing import RouteTable
from proxy.settings.schema import Baseline, Conditions, Duration, Hours, Rule
from proxy.wire.host import parse
from proxy.wire.path import canonical

PERSON = Identity(
    kind="person",
    subject="0001",
    provider="corp",
    email="alice@example.com",
    groups=frozenset({"sre", "staff"}),
    auth_time=0.0,
)
ALLOW = (
    Rule(name="admins", groups=("admins",)),
    Rule(name="deploy-bot", services=("spiffe://example.org/ci/deploy",), paths=("/api/annotations/**",)),
    Rule(name="partners", domains=("partner.example",), methods=("GET",), paths=("/shared/**",)),
    Rule(name="sre-writes", groups=("sre",), auth_age=Duration(900), methods=("POST", "PUT"), hours=(Hours(),)),
    Rule(name="sre-reads", groups=("sre",), methods=("GET", "HEAD"), paths=("/api/**", "/d/*/view")),
)
DENY = (
    Rule(name="guest-network", networks=("10.9.0.0/16", "2001:db8:9::/48")),
    Rule(
        name="contractors-at-night",
        groups=("contractors",),
        not_=Conditions(hours=(Hours(start="07:00", end="19:00"),)),
    ),
)


POSTURE = {
    "managed": True,
    "disk_encrypted": True,
    "firewall": True,
    "screen_lock": True,
    "os_version": ">=14.2",
    "max_age": "15m",
    "source": ["agent", "management"],
    "assurance": "self-reported",
}
LAPTOP = Device(
    id="d-1",
    binding="agent",
    attributes={
        name: Observation(
            value="14.4.1" if name == "os_version" else True,
            source="agent",
            observed=1e9 - 60,
            expires=1e9 + 3600,
            assurance=Assurance.SELF_REPORTED,
        )
        for name in (*list(POSTURE)[:5], "os", "agent_version", "secure_boot")
    },
)


def facts(
    method: str = "GET",
    path: str = "/api/dashboards/7",
    identity: Identity | None = PERSON,
    device: Device | None = None,
) -> Facts:
    """A request as the gateway would describe it."""
    return Facts(
        route="grafana",
        host="grafana.example",
        method=method,
        path=path,
        time=1e9,
        address="192.0.2.7",
        identity=identity,
        device=device,
    )


def policy(rules: Sequence[Rule]) -> Policy:
    """A policy of these allow rules and the usual deny rules."""
    return compile_policy(allow=rules, deny=DENY)


def many(count: int, kind: str) -> list[Rule]:
    """`count` rules of one kind, of which the last allows the request."""
    if kind == "groups":
        return [*(Rule(name=f"r{n}", groups=(f"g{n}",)) for n in range(count - 1)), Rule(name="last", groups=("sre",))]
    if kind == "paths":
        rules = (Rule(name=f"r{n}", groups=("sre",), paths=(f"/team-{n}/**",)) for n in range(count - 1))
        return [*rules, Rule(name="last", groups=("sre",), paths=("/api/**",))]
    rules = (
        Rule(name=f"r{n}", users=(f"u{n}@example.com",), methods=("GET",), paths=(f"/p/{n}",)) for n in range(count - 1)
    )
    return [*rules, Rule(name="last", users=("alice@example.com",), methods=("GET",), paths=("/api/**",))]


def microseconds(call: Callable[[], object]) -> float:
    """The best of seven runs."""
    number = max(1, int(0.02 / max(min(timeit.repeat(call, number=10, repeat=3)) / 10, 1e-8)))
    return min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6


def device_lines() -> list[tuple[str, Callable[[], object]]]:
    """What asking five attributes of a device adds, in the rule itself and by a baseline (≤ 5 µs is asked)."""
    baseline = Baseline(name="posture", labels=("*",), device=POSTURE)
    rule = Rule(name="sre", groups=("sre",))
    without = compile_policy(allow=[rule], deny=[])
    asked = compile_policy(allow=[Rule(name="sre", groups=("sre",), device=POSTURE)], deny=[])
    added = compile_policy(allow=[rule], deny=[], baselines=[baseline])
    many_added = compile_policy(allow=many(1000, "groups"), deny=[], baselines=[baseline])
    on_laptop, on_nothing = facts(device=LAPTOP), facts()
    return [
        ("decide, one rule, device not asked: allowed", lambda: decide(without, on_laptop)),
        ("decide, one rule with 5 attributes of the device: allowed", lambda: decide(asked, on_laptop)),
        ("decide, the same by a baseline: allowed", lambda: decide(added, on_laptop)),
        ("decide, the same by a baseline on 1,000 rules: allowed", lambda: decide(many_added, on_laptop)),
        ("decide, one rule with 5 attributes: no device, refused", lambda: decide(asked, on_nothing)),
    ]


def lines() -> list[tuple[str, Callable[[], object]]]:
    """What is measured."""
    typical = policy(ALLOW)
    get, post, nowhere, nobody = facts(), facts("POST"), facts(path="/nowhere"), facts(identity=None)
    found: list[tuple[str, Callable[[], object]]] = [
        ("decide, typical rules (5 allow, 2 deny): allowed", lambda: decide(typical, get)),
        ("decide, typical rules: login too old", lambda: decide(typical, post)),
        ("decide, typical rules: refused, with explanation", lambda: decide(typical, nowhere)),
        ("decide, typical rules: nobody, asked to log in", lambda: decide(typical, nobody)),
    ]
    found += device_lines()
    for kind in ("groups", "paths", "mixed"):
        for count in (3, 1000):
            compiled = policy(many(count, kind))
            found.append((f"decide, {count} rules by {kind}: allowed", lambda compiled=compiled: decide(compiled, get)))
            if kind != "groups":  # those rules allow every path
                found.append(
                    (f"decide, {count} rules by {kind}: refused", lambda compiled=compiled: decide(compiled, nowhere))
                )
            found.append(
                (f"decide, {count} rules by {kind}: nobody", lambda compiled=compiled: decide(compiled, nobody))
            )
    routes = RouteTable((f"https://app{n}.example/p", n) for n in range(10_000))
    return [
        *found,
        ("build Facts", facts),
        ("canonical path, common", lambda: canonical(b"/api/dashboards/7?from=now-6h&to=now")),
        ("canonical path, percent-encoded", lambda: canonical(b"/caf%c3%a9/menu%20du%20jour")),
        ("canonical host", lambda: parse(b"app77.example:8443")),
        ("route of 10,000", lambda: routes.match("app77.example", "/p/x")),
        ("compile 1,000 rules", lambda: policy(many(1000, "mixed"))),
    ]


if __name__ == "__main__":
    for title, call in lines():
        print(f"{microseconds(call):10.2f} µs  {title}")
