"""The arithmetic and the layout of the table: pure functions over samples, so that they can be tested without load.

A sample belongs to a figure, a mode (clear or TLS), a target and a round. Targets are measured in turn within a round;
ratios are formed within a round and their median is shown, so that a noisy minute hits both sides of a ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

Mode = Literal["clear", "TLS", ""]


@dataclass(frozen=True)
class Sample:
    """One measured value."""

    figure: str
    mode: Mode
    target: str
    round: int
    value: float


@dataclass(frozen=True)
class Figure:
    """What is measured: a key, a title with the unit, and whether less is better."""

    key: str
    title: str
    less_is_better: bool = True
    digits: int = 1


@dataclass(frozen=True)
class Goal:
    """A promise about `target`: its figure compared with `factor` × that of `against`, or with `factor` itself."""

    figure: str
    mode: Mode
    relation: Literal["≤", "≥", "<"]
    factor: float
    against: str | None = "nginx"
    target: str = "ostiary"

    def text(self) -> str:
        """As printed in the table."""
        if self.against is None:
            return f"{self.relation} {self.factor:g}"
        who = "" if self.target == "ostiary" else f"{self.target} "
        if self.relation == "<" and self.factor == 1:
            return f"{who}< {self.against}"
        return f"{who}{self.relation} {self.factor:g} × {self.against}"


FIGURES: tuple[Figure, ...] = (
    Figure("cpu/tiny", "CPU µs, tiny GET"),
    Figure("cpu/page", "CPU µs, browser-shaped GET"),
    Figure("cpu/upload", "CPU µs, 1 MB POST", digits=0),
    Figure("cpu/download", "CPU µs, 20 MB download", digits=0),
    Figure("rate/download", "MB per CPU second, 20 MB download", less_is_better=False, digits=0),
    Figure("cpu/message", "CPU µs, WebSocket message and echo"),
    Figure("rps/tiny", "requests/s of one worker, tiny GET", less_is_better=False, digits=0),
    Figure("rps/page", "requests/s of one worker, browser-shaped GET", less_is_better=False, digits=0),
    Figure("rps-all/page", "requests/s of all workers, browser-shaped GET", less_is_better=False, digits=0),
    Figure("p50/page", "p50 in ms at a fixed rate", digits=2),
    Figure("p99/page", "p99 in ms at a fixed rate", digits=2),
    Figure("handshakes", "full TLS 1.3 handshakes with client certificate per CPU second", False, 0),
    Figure("handshakes/get", "… each followed by one tiny GET", False, 0),
    Figure("memory/rest", "MiB at rest, one worker", digits=1),
    Figure("memory/http", "KiB per idle keep-alive connection"),
    Figure("memory/websocket", "KiB per idle WebSocket"),
    Figure("routes/few", "CPU µs, browser-shaped GET, 3 routes"),
    Figure("routes/many", "× that with 10,000 routes and 1,000 rules on the hit route's host", digits=2),
    Figure("routes/rules", "× that with 10,000 routes and 1,000 rules in the hit route itself", digits=2),
)

GOALS: tuple[Goal, ...] = (
    Goal("cpu/page", "clear", "≤", 2.0),
    Goal("cpu/page", "TLS", "≤", 2.2),
    Goal("cpu/page", "clear", "≤", 0.5, "apache"),
    Goal("cpu/page", "TLS", "≤", 0.5, "apache"),
    Goal("cpu/page", "clear", "<", 1, "caddy"),
    Goal("cpu/page", "TLS", "<", 1, "caddy"),
    Goal("rate/download", "TLS", "≥", 0.5),
    Goal("memory/websocket", "clear", "≤", 40, None),
    Goal("memory/websocket", "TLS", "≤", 100, None),
    Goal("handshakes", "TLS", "≥", 0.5),
    Goal("routes/many", "clear", "≤", 1.15, None),
    Goal("routes/rules", "clear", "≤", 1.15, None),
)


def values(samples: Iterable[Sample], figure: str, mode: Mode, target: str) -> dict[int, float]:
    """The values of one cell by round."""
    return {
        sample.round: sample.value
        for sample in samples
        if (sample.figure, sample.mode, sample.target) == (figure, mode, target)
    }


def cell(samples: Iterable[Sample], figure: str, mode: Mode, target: str) -> float | None:
    """The median over rounds, or None when it was not measured."""
    found = values(samples, figure, mode, target)
    return median(found.values()) if found else None


def ratio(samples: Sequence[Sample], figure: str, mode: Mode, target: str, against: str) -> float | None:
    """The median of the per-round ratios target/against, over the rounds in which both were measured."""
    above, below = values(samples, figure, mode, target), values(samples, figure, mode, against)
    ratios = [above[turn] / below[turn] for turn in above.keys() & below.keys() if below[turn] > 0]
    return median(ratios) if ratios else None


def reached(samples: Sequence[Sample], goal: Goal) -> bool | None:
    """Whether a goal is reached; None when what it needs was not measured."""
    if goal.against is None:
        value = cell(samples, goal.figure, goal.mode, goal.target)
    else:
        value = ratio(samples, goal.figure, goal.mode, goal.target, goal.against)
    if value is None:
        return None
    if goal.relation == "≥":
        return value >= goal.factor
    return value <= goal.factor if goal.relation == "≤" else value < goal.factor


def markdown(samples: Sequence[Sample], targets: Sequence[tuple[str, str]], goals: Sequence[Goal] = GOALS) -> str:
    """The table: one row per figure and mode, one column per target (key, title), then the goals with ✓ or ✗."""
    keys = [key for key, _ in targets]
    lines = [
        "| | | " + " | ".join(title for _, title in targets) + " | × nginx | target |",
        "|---|---|" + "---:|" * (len(targets) + 1) + "---|",
    ]
    for figure in FIGURES:
        for mode in ("clear", "TLS", ""):
            cells = [cell(samples, figure.key, mode, key) for key in keys]
            if all(value is None for value in cells):
                continue
            shown = ["–" if value is None else f"{value:,.{figure.digits}f}" for value in cells]
            times = ratio(samples, figure.key, mode, "ostiary", "nginx")
            verdicts = [_verdict(samples, goal) for goal in goals if (goal.figure, goal.mode) == (figure.key, mode)]
            ending = f"{'–' if times is None else f'{times:.2f}'} | {', '.join(verdicts)} |"
            lines.append(f"| {figure.title} | {mode} | " + " | ".join(shown) + f" | {ending}")
    return "\n".join(lines) + "\n"


def summary(samples: Sequence[Sample], goals: Sequence[Goal] = GOALS) -> list[dict[str, Any]]:
    """The goals with their outcome, for the JSON file."""
    return [
        {"figure": goal.figure, "mode": goal.mode, "goal": goal.text(), "reached": reached(samples, goal)}
        for goal in goals
    ]


def _verdict(samples: Sequence[Sample], goal: Goal) -> str:
    outcome = reached(samples, goal)
    return goal.text() + {True: " ✓", False: " ✗", None: " (not measured)"}[outcome]
