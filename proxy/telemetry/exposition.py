"""A snapshot in the text form Prometheus reads (version 0.0.4), written by prometheus-client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.telemetry.catalogue import FAMILIES, Family
from proxy.telemetry.metrics import Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(snapshot: Snapshot) -> bytes:
    """The body of `/metrics`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshots(snapshot))
    return generate_latest(registry)


class _Snapshots(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for name, family in FAMILIES.items():
            if rows := self._snapshot.get(name):
                yield _metric(name, family, rows)


def _metric(name: str, family: Family, rows: list[list[Any]]) -> Metric:
    if family.kind == "histogram":
        return _histogram(name, family, rows)
    maker = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = maker(name, family.text, labels=family.labels)
    for *labels, value in sorted(rows):
        metric.add_metric(labels, value)
    return metric


def _histogram(name: str, family: Family, rows: list[list[Any]]) -> Metric:
    metric = HistogramMetricFamily(name, family.text, labels=family.labels)
    bounds = [*(str(bound) for bound in family.bounds), "+Inf"]
    for *labels, values in sorted(rows):
        metric.add_metric(labels, list(zip(bounds, accumulate(values[:-1]), strict=True)), values[-1])
    return metric
