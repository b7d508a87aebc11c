"""Random rules and facts, drawn from few values so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec import structs

from proxy.model.device import Assurance, Device, Observation
from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.policy.conditions.device import problems
from proxy.settings.schema import Baseline, Conditions, Duration, Hours, Rule


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(tuple)


NOW = 1_700_000_000.0
SERVICES = ("spiffe://td/ci/deploy", "spiffe://td/ci", "api.svc.example", "svc.example", "spiffe://td/ci/deploy/x")
USERS = some("ann@a.example", "BOB@b.example", "corp:1", "corp:2", "cloud:1", "ann@evil.example")
VALUES = st.sampled_from([True, False, 1, 0, "1", "x", "true", 2.0])
HOURS = st.builds(
    Hours,
    start=st.sampled_from(["00:00", "09:00", "22:00", "22:13"]),
    end=st.sampled_from(["06:30", "17:00", "23:14", "24:00"]),
    days=some("mon", "tue", "wed", "sun"),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
GLOBS = """
/** / /* /a /a/ /a/* /a/** /a/b /*/b /**/b /a* /*b /a/**/b /a/*b*/c /**/a*b/** /**/b/**/c /b/** /c /d/** /e/f /ab/**
/a/b/c /**/* /é/**
"""
PATTERNS = some(*GLOBS.split())
PATHS = st.one_of(
    st.lists(st.sampled_from(["a", "b", "c", "ab", "aab", "é", "d"]), max_size=4).map(
        lambda parts: "/" + "/".join(parts)
    ),
    st.sampled_from(["/a/", "/a/b/", "/a/xby/c"]),
)


def optional(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(st.none(), st.none(), st.none(), strategy)


SYSTEMS = some("macos", "windows")
VERSIONS = st.sampled_from(["14.2", ">=14.2", "<15", ">= 14.2, < 15", ">14.10", "<=14.2.0", "14.02"])
ASKED_OF_DEVICES = st.fixed_dictionaries(
    {},
    optional={
        "managed": st.booleans(),
        "disk_encrypted": st.booleans(),
        "os": SYSTEMS.map(list),
        "os_version": VERSIONS
        | st.lists(VERSIONS, min_size=1, max_size=2)
        | st.dictionaries(st.sampled_from(["macos", "windows"]), VERSIONS, min_size=1),
        "score": st.sampled_from([80, ">=80", "<30.5", ">= 50, < 80", [10, ">=80"]]),
        "tags": some("loaner", "vip").map(list),
        "max_age": st.sampled_from(["15m", "1h", "3d"]),
        "source": some("agent", "management", "management:jamf", "claims", "inventory").map(list),
        "assurance": st.sampled_from(["self-reported", "managed", "attested"]),
    },
).filter(lambda asked: asked.keys() - {"max_age", "source", "assurance"} and not list(problems(asked)))

KEYS = {
    "users": optional(USERS),
    "domains": optional(some("a.example", "b.example")),
    "groups": optional(some("sre", "ops")),
    "claims": optional(
        st.dictionaries(
            st.sampled_from(["level", "roles", "org.unit"]),
            VALUES | st.lists(VALUES, min_size=1, max_size=2),
            min_size=1,
        )
    ),
    "services": optional(some("spiffe://td/ci/deploy", "spiffe://td/ci/*", "*.svc.example", "svc.example")),
    "providers": optional(some("corp", "cloud")),
    "authenticated": optional(st.booleans()),
    "methods": optional(some("GET", "POST", "PURGE")),
    "paths": optional(PATTERNS),
    "networks": optional(some("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32")),
    "hours": optional(st.lists(HOURS, min_size=1, max_size=2).map(tuple)),
    "auth_age": optional(st.sampled_from([60.0, 3600.0]).map(Duration)),
    "mfa": optional(st.booleans()),
    "amr": optional(some("pwd", "hwk", "mfa")),
    "acr": optional(some("phr", "low")),
    "device": optional(ASKED_OF_DEVICES),
}


def empty(conditions: Conditions) -> bool:
    return conditions == Conditions()


INNER = st.builds(Conditions, **KEYS).filter(lambda inner: not empty(inner))
NESTED = st.builds(Conditions, **KEYS, not_=optional(INNER)).filter(lambda inner: not empty(inner))
CONDITIONS = {**KEYS, "anyone": optional(st.just(True)), "not_": optional(INNER | NESTED)}
WHO = ("users", "domains", "groups", "claims", "services", "providers", "authenticated", "anyone")


def rules(who_is_needed: bool, most: int = 4) -> st.SearchStrategy[list[Rule]]:
    def acceptable(rule: Rule) -> bool:
        keys = WHO if who_is_needed else (*CONDITIONS,)
        return any(getattr(rule, key) is not None for key in keys)

    rule = st.builds(Rule, name=st.just("x"), **CONDITIONS).filter(acceptable)
    return st.lists(rule, max_size=most).map(number)


def number(found: list[Rule]) -> list[Rule]:
    return [renamed(rule, f"r{position}") for position, rule in enumerate(found)]


def renamed(rule: Rule, name: str) -> Rule:
    return Rule(name=name, **{key: getattr(rule, key) for key in CONDITIONS})


def baselines(most: int = 2) -> st.SearchStrategy[list[Baseline]]:
    found = st.builds(
        Baseline,
        name=st.just("x"),
        labels=st.just(("*",)),
        applies_to=st.sampled_from(["everybody", "people", "services"]),
        **CONDITIONS,
    ).filter(lambda one: any(getattr(one, key) is not None for key in CONDITIONS))
    return st.lists(found, max_size=most).map(
        lambda listed: [structs.replace(one, name=f"b{position}") for position, one in enumerate(listed)]
    )


CLAIMS = st.dictionaries(
    st.sampled_from(["level", "roles", "org"]),
    VALUES | st.lists(VALUES | st.none(), max_size=2) | st.none() | st.dictionaries(st.just("unit"), VALUES),
)
PEOPLE = st.builds(
    Identity,
    kind=st.just("person"),
    subject=st.sampled_from(["1", "2"]),
    provider=st.sampled_from(["corp", "cloud"]),
    email=st.sampled_from(
        ["", "ann@a.example", "Bob@B.example", "ann@evil@a.example", "ann@a.example.", "ann@ａ.example"]
    ),
    groups=st.frozensets(st.sampled_from(["sre", "ops", "hr"])),
    unknown=st.sampled_from([frozenset(), frozenset(), frozenset({"groups"})]),
    claims=CLAIMS,
    auth_time=st.sampled_from([None, NOW - 30, NOW - 600, NOW - 7200, NOW + 59, NOW + 61]),
    second_factor_at=st.sampled_from([None, None, NOW - 30, NOW - 7200, NOW + 61]),
    second_factor=st.sampled_from([(), (), ("hwk", "user")]),
    mfa=st.sampled_from([None, True, False]),
    amr=st.sampled_from([(), ("pwd",), ("pwd", "mfa")]),
    acr=st.sampled_from(["", "low", "phr"]),
)
MACHINES = st.builds(Identity, kind=st.just("service"), subject=st.sampled_from(SERVICES))
CERTIFICATES = st.builds(
    Certificate,
    sha256=st.just("00"),
    serial=st.just("1"),
    names=st.lists(st.sampled_from(SERVICES), max_size=2).map(tuple),
    not_after=st.just(NOW + 1),
    good_until=st.just(NOW + 1),
)
ODD: st.SearchStrategy[Any] = st.sampled_from([True, False, 1, 0, 80, 14.2, "14.2", "true", (), ("loaner",), ""])
OBSERVED = {
    "managed": st.booleans(),
    "disk_encrypted": st.booleans(),
    "os": st.sampled_from(["macos", "windows", "linux", "macOS"]),
    "os_version": st.sampled_from(["14.2", "14.2.0", "14.10", "14.9.1", "15", "13", "14.2-beta", ""]),
    "score": st.sampled_from([0, 10, 30.5, 80, 79.9, 100]),
    "tags": st.sampled_from([(), ("loaner",), ("vip", "x")]),
}


def observation(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Observation]:
    return st.builds(
        Observation,
        value=values | values | values | ODD,
        source=st.sampled_from(["agent", "inventory", "management:jamf", "management:intune", "claims:corp"]),
        observed=st.sampled_from([NOW - 60, NOW - 1000, NOW - 86_400, NOW + 59, NOW + 7 * 86_400]),
        expires=st.sampled_from([NOW + 8 * 86_400, NOW + 8 * 86_400, NOW, NOW + 3600]),
        assurance=st.sampled_from(Assurance),
    )


DEVICES = st.builds(
    Device,
    id=st.sampled_from(["", "d-1"]),
    attributes=st.fixed_dictionaries({}, optional={name: observation(values) for name, values in OBSERVED.items()}),
)
IDENTITIES = st.one_of(st.none(), PEOPLE, PEOPLE, MACHINES)
REQUESTS = {
    "route": st.just("app"),
    "host": st.just("app.example"),
    "method": st.sampled_from(["GET", "POST", "HEAD", "PURGE", "BREW"]),
    "path": PATHS,
    "time": st.floats(NOW, NOW + 8 * 86_400),
    "address": st.sampled_from(
        [None, "10.1.2.3", "192.0.2.1", "::ffff:10.0.0.1", "2001:db8::1", "198.51.100.1", "nonsense"]
    ),
    "device": st.one_of(st.none(), DEVICES, DEVICES),
    "certificate": st.one_of(st.none(), CERTIFICATES),
    "certificate_problem": st.sampled_from([None, None, None, "certificate-expired"]),
}
FACTS = st.builds(Facts, identity=IDENTITIES, **REQUESTS)
