"""What is counted, how workers add up, and what Prometheus reads."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from proxy.model.reasons import Reason
from proxy.telemetry.catalogue import FAMILIES
from proxy.telemetry.exposition import exposition
from proxy.telemetry.metrics import MAX_CELLS, Metrics, Snapshot, merge, retired
from proxy.telemetry.process import report

Sample = tuple[str, tuple[tuple[str, str], ...]]


def samples(snapshot: Snapshot) -> dict[Sample, float]:
    """What a Prometheus server would store after a scrape."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(snapshot).decode())
        for sample in family.samples
    }


def value(snapshot: Snapshot, name: str, **labels: str) -> float:
    return samples(snapshot)[name, tuple(sorted(labels.items()))]


def test_requests_are_counted_by_route_outcome_and_status_class() -> None:
    metrics = Metrics(["grafana", "wiki"])
    metrics.observe("grafana", "allow", 200, 0.004, 100)
    metrics.observe("grafana", "allow", 204, 0.004, 0)
    metrics.observe("grafana", "deny", 403, 0.2, 50)
    metrics.observe("wiki", "challenge", 303, 100.0, 0)
    shot = metrics.snapshot()
    assert value(shot, "ostiary_requests_total", route="grafana", outcome="allow", status="2xx") == 2
    assert value(shot, "ostiary_requests_total", route="grafana", outcome="deny", status="4xx") == 1
    assert value(shot, "ostiary_requests_total", route="wiki", outcome="challenge", status="3xx") == 1
    assert value(shot, "ostiary_response_body_bytes_total", route="grafana") == 150
    assert value(shot, "ostiary_request_seconds_bucket", route="grafana", le="0.0025") == 0
    assert value(shot, "ostiary_request_seconds_bucket", route="grafana", le="0.005") == 2
    assert value(shot, "ostiary_request_seconds_bucket", route="grafana", le="+Inf") == 3
    assert value(shot, "ostiary_request_seconds_bucket", route="wiki", le="60.0") == 0
    assert value(shot, "ostiary_request_seconds_count", route="wiki") == 1
    assert value(shot, "ostiary_request_seconds_sum", route="grafana") == pytest.approx(0.208)


def test_a_bucket_includes_its_bound() -> None:
    metrics = Metrics(["a"])
    metrics.observe("a", "allow", 200, 0.005, 0)
    assert value(metrics.snapshot(), "ostiary_request_seconds_bucket", route="a", le="0.005") == 1


def test_what_a_client_makes_up_never_becomes_a_label() -> None:
    metrics = Metrics(["grafana"])
    for number in range(50):
        metrics.observe(f"made-up-{number}", f"odd-{number}", 900 + number * 100, 0.1, 0)
        metrics.decided(f"reason-{number}")
    assert metrics.snapshot()["ostiary_requests_total"] == [["(none)", "(other)", "(other)", 50]]
    assert metrics.snapshot()["ostiary_decisions_total"] == [["(other)", 50]]


def test_no_family_grows_without_bound() -> None:
    metrics = Metrics()
    for number in range(MAX_CELLS + 50):
        metrics.add("ostiary_connections", f"listener-{number}")
    rows = metrics.snapshot()["ostiary_connections"]
    assert len(rows) == MAX_CELLS + 1
    assert rows[-1] == ["(other)", 50]


def test_decisions_are_counted_by_reason_whether_given_as_member_or_text() -> None:
    metrics = Metrics()
    metrics.decided(Reason.PUBLIC)
    metrics.decided("public")
    metrics.decided(Reason.NO_ROUTE)
    assert sorted(metrics.snapshot()["ostiary_decisions_total"]) == [["no-route", 1], ["public", 2]]


def test_gauges_go_up_and_down_and_durations_fall_into_buckets() -> None:
    metrics = Metrics()
    metrics.add("ostiary_streams", "websocket", amount=3)
    metrics.add("ostiary_streams", "websocket", amount=-1)
    metrics.set("ostiary_sessions_cached", value=42)
    metrics.time("ostiary_stream_cut_seconds", "device", seconds=0.04)
    cell = metrics.cell("ostiary_connections", "127.0.0.1:8443")
    cell.value += 1
    shot = metrics.snapshot()
    assert value(shot, "ostiary_streams", kind="websocket") == 2
    assert value(shot, "ostiary_sessions_cached") == 42
    assert value(shot, "ostiary_stream_cut_seconds_bucket", cause="device", le="0.025") == 0
    assert value(shot, "ostiary_stream_cut_seconds_bucket", cause="device", le="0.05") == 1
    assert value(shot, "ostiary_connections", listener="127.0.0.1:8443") == 1


def test_only_the_revision_in_force_is_shown() -> None:
    metrics = Metrics()
    metrics.info("ostiary_configuration_revision_info", "aaa")
    metrics.info("ostiary_configuration_revision_info", "bbb")
    assert metrics.snapshot()["ostiary_configuration_revision_info"] == [["bbb", 1]]


def test_a_name_or_label_that_is_not_in_the_catalogue_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Metrics().add("ostiary_typo_total")
    with pytest.raises(ValueError, match="takes the labels"):
        Metrics().add("ostiary_connections")


def test_counts_of_removed_routes_stay_in_the_sums() -> None:
    metrics = Metrics(["old", "kept"])
    metrics.observe("old", "allow", 200, 0.1, 10)
    metrics.observe("kept", "allow", 200, 0.1, 10)
    metrics.add("ostiary_upstream_errors_total", "old", "connect")
    metrics.set_routes(["kept", "new"])
    metrics.observe("old", "allow", 200, 0.1, 10)  # was under way during the reload
    metrics.observe("new", "allow", 200, 0.1, 10)
    shot = metrics.snapshot()
    assert sorted(shot["ostiary_requests_total"]) == [
        ["(none)", "allow", "2xx", 1],
        ["(removed)", "allow", "2xx", 1],
        ["kept", "allow", "2xx", 1],
        ["new", "allow", "2xx", 1],
    ]
    assert shot["ostiary_upstream_errors_total"] == [["(removed)", "connect", 1]]
    metrics.set_routes(["new"])
    assert value(metrics.snapshot(), "ostiary_requests_total", route="(removed)", outcome="allow", status="2xx") == 2


def worker(healthy: int, revision: str, requests: int) -> Snapshot:
    metrics = Metrics(["a"])
    for _ in range(requests):
        metrics.observe("a", "allow", 200, 0.125, 5)  # exact in binary: sums do not depend on their order
    metrics.set("ostiary_audit_healthy", value=healthy)
    metrics.info("ostiary_configuration_revision_info", revision)
    metrics.add("ostiary_connections", "l", amount=requests)
    snapshot: Snapshot = msgspec.json.decode(
        msgspec.json.encode(metrics.snapshot())
    )  # as it comes from another process
    return snapshot


def test_workers_add_up_and_one_that_is_unwell_shows() -> None:
    both = merge([worker(1, "r1", 3), worker(0, "r2", 4)])
    assert value(both, "ostiary_requests_total", route="a", outcome="allow", status="2xx") == 7
    assert value(both, "ostiary_request_seconds_count", route="a") == 7
    assert value(both, "ostiary_connections", listener="l") == 7
    assert value(both, "ostiary_audit_healthy") == 0
    assert both["ostiary_configuration_revision_info"] == [["r1", 1], ["r2", 1]]


def test_a_dead_worker_leaves_its_counts_but_not_its_gauges() -> None:
    rest = merge([retired(worker(0, "r1", 3)), worker(1, "r1", 4)])
    assert value(rest, "ostiary_requests_total", route="a", outcome="allow", status="2xx") == 7
    assert value(rest, "ostiary_connections", listener="l") == 4
    assert value(rest, "ostiary_audit_healthy") == 1


def test_what_another_version_counts_is_left_out() -> None:
    assert merge([{"ostiary_from_the_future": [["x", 1]]}]) == {}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.text(max_size=3)), max_size=4))
def test_merging_is_the_same_in_any_grouping(workers: list[tuple[int, int, str]]) -> None:
    shots = [worker(healthy, revision, requests) for requests, healthy, revision in workers]
    assert samples(merge(shots)) == samples(merge([merge(shots[:2]), merge(shots[2:])]))


@given(st.text())
def test_any_text_can_be_a_label_value(text: str) -> None:
    metrics = Metrics()
    metrics.add("ostiary_reloads_total", text)
    exposition(metrics.snapshot())


def test_every_metric_of_the_catalogue_can_be_shown() -> None:
    metrics = Metrics(["a"])
    for name, family in FAMILIES.items():
        labels = tuple("x" for _ in family.labels)
        if family.kind == "histogram":
            metrics.time(name, *labels, seconds=0.1)
        else:
            metrics.add(name, *labels)
    metrics.observe("a", "allow", 200, 0.1, 1)
    metrics.decided("public")
    text = exposition(metrics.snapshot()).decode()
    for name, family in FAMILIES.items():
        assert f"# TYPE {name} {family.kind}\n" in text
        assert f"# HELP {name} {family.text}\n" in text
    assert "_created" not in text


def test_the_cost_of_this_process_is_known() -> None:
    metrics = Metrics()
    report(metrics, "0", 1_772_366_400.0)
    shot = metrics.snapshot()
    assert value(shot, "ostiary_process_cpu_seconds_total", worker="0") > 0
    assert value(shot, "ostiary_process_resident_bytes", worker="0") > 1_000_000
    assert value(shot, "ostiary_process_open_files", worker="0") > 2
    assert value(shot, "ostiary_process_start_time_seconds", worker="0") == 1_772_366_400
