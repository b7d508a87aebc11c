"""Every metric there is: one row each, with its kind, its labels and how the workers' values become one."""

from __future__ import annotations

from typing import Literal, NamedTuple

REQUEST_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
CUT_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)  # seconds; one second is the promise


class Family(NamedTuple):
    """A metric. `labels` are names in the order values are given; `bounds` are a histogram's upper bounds.

    `across` says how gauges of several workers combine. Counters and histograms add up.
    """

    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    across: Literal["sum", "min", "max"] = "sum"


FAMILIES: dict[str, Family] = {
    "ostiary_requests_total": Family(
        "counter", "Requests by route, outcome of the decision and status class.", ("route", "outcome", "status")
    ),
    "ostiary_request_seconds": Family(
        "histogram", "Time from the request head to the last byte of the answer.", ("route",), REQUEST_BOUNDS
    ),
    "ostiary_response_body_bytes_total": Family("counter", "Body bytes sent to clients.", ("route",)),
    "ostiary_decisions_total": Family("counter", "Decisions by their reason.", ("reason",)),
    "ostiary_upstream_errors_total": Family("counter", "Failures of the apps behind.", ("route", "kind")),
    "ostiary_connections": Family("gauge", "Client connections open now.", ("listener",)),
    "ostiary_tls_handshakes_total": Family("counter", "TLS handshakes with clients.", ("result",)),
    "ostiary_streams": Family("gauge", "Long-lived exchanges open now: WebSockets, tunnels, events.", ("kind",)),
    "ostiary_sessions_cached": Family("gauge", "Sessions a worker holds in memory."),
    "ostiary_stream_cut_seconds": Family(
        "histogram",
        "Time from what takes a right away to the cut of the stream that had it, by cause: session, device, "
        "certificate, policy, clock, identity or token.",
        ("cause",),
        CUT_BOUNDS,
    ),
    "ostiary_audit_lost_total": Family("counter", "Lines of the record that never reached the file."),
    "ostiary_audit_healthy": Family("gauge", "1 when every worker can write the record.", (), (), "min"),
    "ostiary_reloads_total": Family("counter", "Configuration reloads.", ("result",)),
    "ostiary_configuration_revision_info": Family(
        "gauge", "1 for each configuration revision in force; several while workers differ.", ("revision",), (), "max"
    ),
    "ostiary_worker_restarts_total": Family("counter", "Workers started again after they ended unexpectedly."),
    "ostiary_process_cpu_seconds_total": Family("counter", "User and system CPU time.", ("worker",)),
    "ostiary_process_resident_bytes": Family("gauge", "Resident memory.", ("worker",)),
    "ostiary_process_open_files": Family("gauge", "Open file descriptors.", ("worker",)),
    "ostiary_process_start_time_seconds": Family("gauge", "When the process started, seconds since 1970.", ("worker",)),
}
