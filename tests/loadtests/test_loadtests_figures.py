"""The table: what it computes from samples, how it compares within a round, what it says about goals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.figures import FIGURES, GOALS, Goal, Sample, cell, markdown, ratio, reached, summary

NOISY = [
    # The second round was a bad minute for everybody: values double, the ratio does not move.
    *(Sample("cpu/page", "clear", "nginx", turn, value) for turn, value in enumerate((10.0, 20.0, 11.0))),
    *(Sample("cpu/page", "clear", "ostiary", turn, value) for turn, value in enumerate((18.0, 36.0, 20.9))),
]


def test_a_cell_is_the_median_over_rounds() -> None:
    assert cell(NOISY, "cpu/page", "clear", "nginx") == 11.0
    assert cell(NOISY, "cpu/page", "TLS", "nginx") is None


def test_a_ratio_is_formed_within_a_round_and_then_the_median_is_taken() -> None:
    assert ratio(NOISY, "cpu/page", "clear", "ostiary", "nginx") == pytest.approx(1.8)


def test_rounds_in_which_only_one_was_measured_do_not_count() -> None:
    more = [*NOISY, Sample("cpu/page", "clear", "ostiary", 3, 1000.0)]
    assert ratio(more, "cpu/page", "clear", "ostiary", "nginx") == pytest.approx(1.8)
    assert ratio(NOISY, "cpu/page", "clear", "ostiary", "caddy") is None


@pytest.mark.parametrize(
    ("relation", "factor", "outcome"),
    [("≤", 1.8, True), ("≤", 1.79, False), ("≥", 1.8, True), ("≥", 1.81, False), ("<", 1.8, False), ("<", 1.81, True)],
)
def test_a_goal_against_a_peer_compares_ratios(relation: str, factor: float, outcome: bool) -> None:
    exact = [Sample("cpu/page", "clear", "nginx", 0, 10.0), Sample("cpu/page", "clear", "ostiary", 0, 18.0)]
    assert reached(exact, Goal("cpu/page", "clear", relation, factor)) is outcome


def test_a_goal_without_a_peer_compares_the_value_itself() -> None:
    samples = [Sample("memory/websocket", "TLS", "ostiary", 0, 99.5)]
    assert reached(samples, Goal("memory/websocket", "TLS", "≤", 100, None)) is True
    assert reached(samples, Goal("memory/websocket", "clear", "≤", 40, None)) is None


def test_the_table_prints_the_target_and_the_verdict_beside_the_figure() -> None:
    table = markdown(NOISY, [("nginx", "nginx, bare"), ("ostiary", "Ostiary")], [Goal("cpu/page", "clear", "≤", 2.0)])
    assert table.splitlines() == [
        "| | | nginx, bare | Ostiary | × nginx | target |",
        "|---|---|---:|---:|---:|---|",
        "| CPU µs, browser-shaped GET | clear | 11.0 | 20.9 | 1.80 | ≤ 2 × nginx ✓ |",
    ]


def test_a_missed_goal_and_one_that_was_not_measured_are_said_so() -> None:
    goals = [Goal("cpu/page", "clear", "≤", 1.5), Goal("cpu/page", "clear", "<", 1, "caddy")]
    table = markdown(NOISY, [("nginx", "nginx"), ("ostiary", "Ostiary")], goals)
    assert "≤ 1.5 × nginx ✗, < caddy (not measured)" in table


def test_every_goal_is_about_a_figure_that_is_printed() -> None:
    assert {goal.figure for goal in GOALS} <= {figure.key for figure in FIGURES}
    assert [row["reached"] for row in summary([])] == [None] * len(GOALS)


@given(st.dictionaries(st.integers(0, 9), st.floats(0.1, 1e6), min_size=1), st.floats(0.1, 10))
def test_a_constant_ratio_survives_any_noise(rounds: dict[int, float], factor: float) -> None:
    samples = [Sample("cpu/page", "clear", "nginx", turn, value) for turn, value in rounds.items()]
    samples += [Sample("cpu/page", "clear", "ostiary", turn, value * factor) for turn, value in rounds.items()]
    assert ratio(samples, "cpu/page", "clear", "ostiary", "nginx") == pytest.approx(factor)
