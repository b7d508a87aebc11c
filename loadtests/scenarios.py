"""What is measured, section by section. Within a section every round takes the targets in turn.

Each section is a function of the `Bench`; `SECTIONS` is the order in which they run and what `--only` accepts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from loadtests import measure
from loadtests.anatomy import anatomy
from loadtests.figures import Mode, Sample
from loadtests.processes import Fleet, pss_kib
from loadtests.shapes import DOWNLOAD, PAGE, SHAPES, TINY
from loadtests.target_ostiary import Ostiary, Size
from loadtests.targets import Stage, Target, start_upstream
from loadtests.verify import verify

TLS_MODES: tuple[Mode, ...] = ("clear", "TLS")


@dataclass(frozen=True)
class Plan:
    """How much is done: rounds, seconds of each run, numbers of idle connections."""

    rounds: int
    seconds: float
    rate: float = 1000.0
    latency_seconds: float = 4.0
    http: int = 1000
    websockets: int = 5000


SMOKE = Plan(rounds=1, seconds=1, latency_seconds=1, http=50, websockets=200)
QUICK = Plan(rounds=2, seconds=1, latency_seconds=2, http=500)
FULL = Plan(rounds=5, seconds=3)


@dataclass
class Bench:
    """One run: the stage, the targets that stand on it, and the samples so far."""

    stage: Stage
    plan: Plan
    kinds: Sequence[type[Target]]
    targets: list[Target] = field(default_factory=list)
    lengths: dict[tuple[str, Mode], dict[str, int]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start every target and let each prove that it answers rightly. Raises CorrectnessError."""
        for kind in self.kinds:
            say(f"starting {kind.title}")
            target = kind(self.stage)
            target.start()
            self.targets.append(target)
            self.check(target)

    def check(self, target: Target) -> None:
        """Verify a target in both modes and remember how long its answers are."""
        for mode in TLS_MODES:
            self.lengths[target.name, mode] = verify(target, mode == "TLS")

    def rounds(self, targets: Sequence[Target] | None = None) -> Iterator[tuple[int, Target]]:
        """`(round, target)`, every target in each round, each round beginning with another one."""
        chosen = list(self.targets if targets is None else targets)
        for turn in range(self.plan.rounds):
            shift = turn % len(chosen)
            for target in chosen[shift:] + chosen[:shift]:
                yield turn, target

    def note(self, figure: str, mode: Mode, target: Target, turn: int, value: float) -> None:
        """Keep one value."""
        self.samples.append(Sample(figure, mode, target.name, turn, value))


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def http(bench: Bench) -> None:
    """CPU per request, and requests per second, of each shape."""
    for shape in SHAPES:
        for mode in TLS_MODES:
            say(f"{shape.title}, {mode}")
            for turn, target in bench.rounds():
                length = bench.lengths[target.name, mode][shape.name]
                cost = measure.requests(target, shape, mode, seconds=bench.plan.seconds, length=length)
                bench.note(f"cpu/{shape.name}", mode, target, turn, cost.microseconds)
                if shape in (TINY, PAGE):
                    bench.note(f"rps/{shape.name}", mode, target, turn, cost.count / cost.seconds)
                if shape is DOWNLOAD:
                    bench.note("rate/download", mode, target, turn, cost.count * DOWNLOAD.body_length / 1e6 / cost.cpu)


def messages(bench: Bench) -> None:
    """CPU per WebSocket message."""
    for mode in TLS_MODES:
        say(f"WebSocket messages, {mode}")
        for turn, target in bench.rounds():
            cost = measure.messages(target, mode, seconds=bench.plan.seconds)
            bench.note("cpu/message", mode, target, turn, cost.microseconds)


def latency(bench: Bench) -> None:
    """p50 and p99 at a fixed rate that none of them finds hard."""
    for mode in TLS_MODES:
        say(f"latency at {bench.plan.rate:g} requests/s, {mode}")
        for turn, target in bench.rounds():
            p50, p99 = measure.latency(target, mode, seconds=bench.plan.latency_seconds, rate=bench.plan.rate)
            bench.note("p50/page", mode, target, turn, p50)
            bench.note("p99/page", mode, target, turn, p99)


def all_workers(bench: Bench) -> None:
    """Requests per second with a worker per core, nothing pinned: load, upstream and proxy share the machine."""
    with Fleet(bench.stage.folder) as fleet:
        stage = replace(bench.stage, fleet=fleet, workers=2, cpus=None)
        stage = replace(stage, upstream=start_upstream(fleet, stage.folder, 2, None))
        targets = []
        for kind in bench.kinds:
            target = kind(stage)
            target.start()
            bench.check(target)
            targets.append(target)
        for mode in TLS_MODES:
            say(f"all workers, {mode}")
            for turn, target in bench.rounds(targets):
                length = bench.lengths[target.name, mode][PAGE.name]
                cost = measure.requests(
                    target, PAGE, mode, seconds=bench.plan.seconds, length=length, threads=2, pinned=False
                )
                bench.note("rps-all/page", mode, target, turn, cost.count / cost.seconds)


def handshakes(bench: Bench) -> None:
    """Full handshakes with a client certificate, of those that were set up for it."""
    able = [target for target in bench.targets if target.mtls is not None]
    for target in able:
        measure.service_gets_in(target)
    say("handshakes")
    for figure, request in (("handshakes", False), ("handshakes/get", True)):
        for turn, target in bench.rounds(able):
            cost = measure.handshakes(target, seconds=bench.plan.seconds, request=request)
            bench.note(figure, "TLS", target, turn, cost.count / cost.cpu)


def memory(bench: Bench) -> None:
    """Memory at rest and per idle connection; a fresh process for each, so that nothing reuses what load left free."""
    kinds: tuple[Literal["http", "websocket"], ...] = ("http", "websocket")
    for kind in bench.kinds:
        for what in kinds:
            if what == "websocket" and not kind.many_websockets:
                continue
            for mode in TLS_MODES:
                say(f"memory, {kind.title}, {what}, {mode}")
                _memory(bench, kind, what, mode)


def _memory(bench: Bench, kind: type[Target], what: Literal["http", "websocket"], mode: Mode) -> None:
    with Fleet(bench.stage.folder) as fleet:
        target = kind(replace(bench.stage, fleet=fleet))
        target.start()
        with measure.Idle(target, mode, 20, websocket=False):
            pass
        if what == "http" and mode == "clear":
            bench.note("memory/rest", "", target, 0, pss_kib(target.pid) / 1024)
        count = bench.plan.http if what == "http" else bench.plan.websockets
        kib = measure.idle_kib(target, mode, count, websocket=what == "websocket")
        bench.note(f"memory/{what}", mode, target, 0, kib)


def where(bench: Bench) -> None:
    """Where the memory of an idle WebSocket goes, in Ostiary."""
    for mode in TLS_MODES:
        say(f"where the memory of a WebSocket goes, {mode}")
        bench.notes.append(anatomy(bench.stage, mode, min(bench.plan.websockets, 1000)))


def routes(bench: Bench) -> None:
    """The browser-shaped GET with few and with many routes and rules."""
    sizes: dict[Size, str] = {"few": "routes/few", "many": "routes/many", "rules": "routes/rules"}
    with Fleet(bench.stage.folder) as fleet:
        targets = []
        for size in sizes:
            target = Ostiary(replace(bench.stage, fleet=fleet), size=size)
            target.start()
            targets.append(target)
        lengths = {target.size: verify(target, tls=False)[PAGE.name] for target in targets}
        say("many routes")
        costs: dict[tuple[int, Size], float] = {}
        for turn, chosen in bench.rounds(targets):
            assert isinstance(chosen, Ostiary)
            length = lengths[chosen.size]
            cost = measure.requests(chosen, PAGE, "clear", seconds=bench.plan.seconds, length=length)
            costs[turn, chosen.size] = cost.microseconds
        for (turn, size), microseconds in costs.items():
            value = microseconds if size == "few" else microseconds / costs[turn, "few"]
            bench.note(sizes[size], "clear", targets[0], turn, value)


def smoke(bench: Bench) -> None:
    """Every kind of load once, briefly, on nginx and Ostiary: for what it answers, not for how fast."""
    plan = bench.plan
    for target in bench.targets:
        if target.name not in ("nginx", "ostiary"):
            continue
        for mode in TLS_MODES:
            say(f"{target.title}, {mode}")
            measure.requests(target, PAGE, mode, seconds=1, length=bench.lengths[target.name, mode][PAGE.name])
            measure.latency(target, mode, seconds=plan.latency_seconds, rate=plan.rate)
            measure.messages(target, mode, seconds=plan.seconds)
            with measure.Idle(target, mode, plan.websockets, websocket=True):
                pass
        measure.service_gets_in(target)
        measure.handshakes(target, seconds=plan.seconds)
    if any(target.name == "ostiary" for target in bench.targets):
        say("Ostiary with many routes")
        with Fleet(bench.stage.folder) as fleet:
            for size in ("many", "rules"):
                large = Ostiary(replace(bench.stage, fleet=fleet), size=size)
                large.start()
                verify(large, tls=True)


Section = Callable[[Bench], None]
SECTIONS: dict[str, Section] = {
    "memory": memory,
    "where": where,
    "http": http,
    "messages": messages,
    "latency": latency,
    "handshakes": handshakes,
    "routes": routes,
    "all-workers": all_workers,
}
