"""The soak's books: what counts as lost, what a killed worker excuses, and what growing memory looks like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.ledger import Kill, Ledger, discrepancies, slope
from loadtests.origin import content


def test_answered_once_and_recorded_once_is_right() -> None:
    ledger = Ledger(answered={"r1": 1.0, "r2": 2.0}, given_up={"r3": 2.5, "r4": 3.0})
    assert discrepancies(ledger, ["r2", "r1", "r4"]) == []


@pytest.mark.parametrize(
    ("recorded", "complaint"),
    [
        ([], "request r1 was answered, and is not on record"),
        (["r1", "r1"], "request r1 has 2 audit lines"),
        (["r1", "r2", "r2"], "request r2, given up, has 2 audit lines"),
        (["r1", "r9"], "request r9 is on record, but nobody made it"),
    ],
)
def test_each_way_of_disagreeing_is_named(recorded: list[str], complaint: str) -> None:
    ledger = Ledger(answered={"r1": 1.0}, given_up={"r2": 2.0})
    assert discrepancies(ledger, recorded) == [complaint]


@pytest.mark.parametrize(
    ("recorded", "complaints"),
    [
        (["w1", "w1", "w2"], []),
        (["w1"], ["the end of WebSocket w1 is not on record"]),
        (["w1", "w1", "w1"], ["request w1 has 3 audit lines"]),
        (["w1", "w1", "w2", "w2", "w2"], ["request w2, given up, has 3 audit lines"]),
    ],
)
def test_a_websocket_is_recorded_when_it_begins_and_when_it_ends(recorded: list[str], complaints: list[str]) -> None:
    ledger = Ledger(answered={"w1": 1.0}, given_up={"w2": 2.0}, upgraded={"w1", "w2"})
    assert discrepancies(ledger, recorded) == complaints


def test_a_killed_worker_excuses_the_lines_it_still_held_and_no_others() -> None:
    ledger = Ledger(answered={"early": 5.0, "just-before": 9.5, "after": 12.0})
    assert discrepancies(ledger, [], Kill(at=10.0)) == [
        "request early was answered, and is not on record",
        "request after was answered, and is not on record",
    ]


def test_failures_are_excused_only_around_the_kill() -> None:
    ledger = Ledger(failed=[(1.0, 2.0, "before"), (9.0, 10.1, "under way"), (30.0, 31.0, "long after")])
    assert ledger.failures(Kill(at=10.0)) == ["before", "long after"]
    assert ledger.failures(None) == ["before", "under way", "long after"]


def test_the_slope_ignores_outliers() -> None:
    points = [(float(second), 100.0 + 2 * second) for second in range(20)]
    points[7] = (7.0, 10_000.0)
    assert slope(points) == pytest.approx(2.0)


@given(st.floats(-100, 100), st.floats(-1e6, 1e6))
def test_the_slope_of_a_line_is_its_slope(growth: float, start: float) -> None:
    assert slope([(float(x), start + growth * x) for x in range(5)]) == pytest.approx(growth, abs=1e-3)


def test_without_points_nothing_grows() -> None:
    assert slope([]) == slope([(1.0, 5.0)]) == 0.0


@given(st.integers(0, 2**21), st.integers(0, 3 * 2**20))
def test_known_content_has_its_length_and_depends_on_the_seed(seed: int, length: int) -> None:
    body = content(seed, length)
    assert len(body) == length
    if length > 100 and seed % 2**20 != (seed + 1) % 2**20:
        assert body[1:50] == content(seed + 1, length)[:49]
        assert body != content(seed + 1, length)
