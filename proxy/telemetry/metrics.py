"""Counting on the hot path: plain numbers in plain lists, found with one dictionary look-up.

One `Metrics` per process, used from one thread. Workers hand their `snapshot()` to whoever answers `/metrics`, which
adds them up with `merge`. Label sets are bounded: routes and reasons come from closed lists, and any other family
stops at `MAX_CELLS` label sets and counts the rest under `OTHER`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable
from typing import Any

from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.telemetry.catalogue import FAMILIES, REQUEST_BOUNDS, Family

NO_ROUTE = "(none)"  # label of requests that met no configured route, whatever host they named
REMOVED = "(removed)"  # label that keeps the counts of routes no longer configured
OTHER = "(other)"
MAX_CELLS = 1000

_OUTCOMES = frozenset(str(outcome) for outcome in Outcome)
_REASONS = frozenset(str(reason) for reason in Reason)
_SUM = len(REQUEST_BOUNDS) + 1  # request cell: one count per bucket, then the sum of seconds, then body bytes
_BYTES = _SUM + 1

Snapshot = dict[str, list[list[Any]]]
"""Family name → rows; a row is its label values followed by its value, or by a histogram's `[counts…, sum]`."""


class Cell:
    """One number (or, for histograms, one list of counts and a sum) with its labels already resolved.

    Keep it and write `cell.value += 1` where even a look-up is too much.
    """

    __slots__ = ("buckets", "value")

    def __init__(self, family: Family) -> None:
        self.value: float = 0.0
        self.buckets = [0] * (len(family.bounds) + 1) if family.bounds else []


class Metrics:
    """The counters of one process. `routes`: the names that may become labels (see `set_routes`)."""

    def __init__(self, routes: Collection[str] = ()) -> None:
        self._routes = frozenset(routes)
        self._requests: dict[tuple[str, str, int], list[float]] = {}
        self._decisions: dict[str, int] = {}
        self._cells: dict[str, dict[tuple[str, ...], Cell]] = {name: {} for name in FAMILIES}

    def __repr__(self) -> str:
        return f"<Metrics routes={len(self._routes)} request_cells={len(self._requests)}>"

    # --- the hot path ----------------------------------------------------------------------------------------------

    def observe(self, route: str, outcome: str, status: int, seconds: float, bytes_out: int) -> None:
        """One finished request. `route`: its name, or "" when none matched; `outcome`: allow, challenge or deny;
        `status`: the code sent; `seconds`: from its head to the last byte of the answer; `bytes_out`: of the body."""
        cell = self._requests.get((route, outcome, status // 100))
        if cell is None:
            cell = self._request_cell(route, outcome, status // 100)
        cell[bisect_left(REQUEST_BOUNDS, seconds)] += 1
        cell[_SUM] += seconds
        cell[_BYTES] += bytes_out

    def decided(self, reason: str) -> None:
        """One decision, by its reason."""
        try:
            self._decisions[reason] += 1
        except KeyError:
            # A plain string: hashing an enumeration member costs more than the count itself.
            name = str(reason) if reason in _REASONS else OTHER
            self._decisions[name] = self._decisions.get(name, 0) + 1

    def _request_cell(self, route: str, outcome: str, status_class: int) -> list[float]:
        key = (
            str(route) if route in self._routes else NO_ROUTE,
            str(outcome) if outcome in _OUTCOMES else OTHER,
            status_class if 1 <= status_class <= 5 else 0,
        )
        return self._requests.setdefault(key, [0] * (_BYTES + 1))

    # --- everything else -------------------------------------------------------------------------------------------

    def cell(self, name: str, *labels: str) -> Cell:
        """The cell of a counter or gauge. Raises KeyError for a name that is not in the catalogue."""
        family = FAMILIES[name]
        if len(labels) != len(family.labels):
            raise ValueError(f"{name} takes the labels {family.labels}, not {labels}")
        cells = self._cells[name]
        found = cells.get(labels)
        if found is None:
            if len(cells) >= MAX_CELLS:
                labels = (OTHER,) * len(labels)
            found = cells.setdefault(labels, Cell(family))
        return found

    def add(self, name: str, *labels: str, amount: float = 1) -> None:
        """Count something, or move a gauge up (or down: a negative amount)."""
        self.cell(name, *labels).value += amount

    def set(self, name: str, *labels: str, value: float) -> None:
        """Say what a gauge shows, or what a counter kept elsewhere has reached."""
        self.cell(name, *labels).value = value

    def time(self, name: str, *labels: str, seconds: float) -> None:
        """Put a duration into a histogram."""
        cell = self.cell(name, *labels)
        cell.buckets[bisect_left(FAMILIES[name].bounds, seconds)] += 1
        cell.value += seconds

    def info(self, name: str, *labels: str) -> None:
        """Show these labels with the value 1 and forget the ones shown before."""
        self._cells[name].clear()
        self.set(name, *labels, value=1)

    def set_routes(self, routes: Collection[str]) -> None:
        """After a reload: the names that may be labels from now on. Counts of removed routes move to one label, so
        that sums never fall and the number of labels does not grow with every renaming."""
        self._routes = frozenset(routes)
        for key in [key for key in self._requests if key[0] not in self._routes and not key[0].startswith("(")]:
            cell = self._requests.pop(key)
            kept = self._requests.setdefault((REMOVED, *key[1:]), [0] * len(cell))
            kept[:] = [one + other for one, other in zip(kept, cell, strict=True)]
        self._fold_upstream_errors()

    def _fold_upstream_errors(self) -> None:
        cells = self._cells["ostiary_upstream_errors_total"]
        for labels in [labels for labels in cells if labels[0] not in self._routes and not labels[0].startswith("(")]:
            amount = cells.pop(labels).value
            self.add("ostiary_upstream_errors_total", REMOVED, labels[1], amount=amount)

    # --- reading ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Everything counted so far, as plain lists that msgspec can encode."""
        rows: Snapshot = {
            name: [[*labels, _value(cell)] for labels, cell in cells.items()] for name, cells in self._cells.items()
        }
        rows["ostiary_decisions_total"] = [[reason, count] for reason, count in self._decisions.items()]
        rows |= self._request_rows()
        return {name: found for name, found in rows.items() if found}

    def _request_rows(self) -> Snapshot:
        totals: list[list[Any]] = []
        seconds: dict[str, list[float]] = {}
        sent: dict[str, float] = {}
        for (route, outcome, status_class), cell in self._requests.items():
            totals.append([route, outcome, f"{status_class}xx" if status_class else OTHER, sum(cell[:_SUM])])
            so_far = seconds.get(route, [0] * (_SUM + 1))
            seconds[route] = [one + other for one, other in zip(so_far, cell[: _SUM + 1], strict=True)]
            sent[route] = sent.get(route, 0) + cell[_BYTES]
        return {
            "ostiary_requests_total": totals,
            "ostiary_request_seconds": [[route, values] for route, values in seconds.items()],
            "ostiary_response_body_bytes_total": [[route, count] for route, count in sent.items()],
        }


def _value(cell: Cell) -> float | list[float]:
    return [*cell.buckets, cell.value] if cell.buckets else cell.value


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Several workers as one. Unknown families (of another version during an upgrade) are left out."""
    merged: dict[str, dict[tuple[str, ...], Any]] = {}
    for snapshot in snapshots:
        for name, rows in snapshot.items():
            if name in FAMILIES:
                _merge_rows(FAMILIES[name], merged.setdefault(name, {}), rows)
    return {name: [[*labels, value] for labels, value in rows.items()] for name, rows in merged.items()}


def _merge_rows(family: Family, into: dict[tuple[str, ...], Any], rows: list[list[Any]]) -> None:
    for *names, value in rows:
        labels = tuple(names)
        into[labels] = _combined(family, into[labels], value) if labels in into else value


def _combined(family: Family, one: Any, other: Any) -> Any:
    if family.kind == "histogram":
        return [a + b for a, b in zip(one, other, strict=True)]
    if family.across == "sum":
        return one + other
    return min(one, other) if family.across == "min" else max(one, other)


def retired(snapshot: Snapshot) -> Snapshot:
    """What must stay of a worker that has ended: its counts, not its gauges. Keeping it in `merge` prevents the sums
    from falling, which Prometheus would take for a restart of everything."""
    return {name: rows for name, rows in snapshot.items() if name in FAMILIES and FAMILIES[name].kind != "gauge"}
