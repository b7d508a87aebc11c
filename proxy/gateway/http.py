"""The life of one HTTP request, phases in order.

    begin      the head is here
    _route     host and canonical path → route          (none: refused)
    _identify  certificate, token, session cookie → identity   (`identifying.py`; may wait for store or issuer)
    _decide    facts → verdict
    _act       allow: forward   challenge: log in   deny: refuse
    complete   recorded, always

Gather, decide, act, record. On the common path (session in memory, connection pooled) this is one chain of plain
calls, from the client's bytes to the app's socket. An exception anywhere refuses the request.
"""

from __future__ import annotations

import logging
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from proxy.gateway import admission
from proxy.gateway.bearer import CredentialRefused
from proxy.gateway.farewell import part
from proxy.gateway.identifying import Identifying
from proxy.gateway.known import Known
from proxy.gateway.record import record_decision, record_exchange, record_stream, require_recordable
from proxy.gateway.upgrade import upgrade_refused
from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome, Verdict
from proxy.wire.host import HostRefused
from proxy.wire.path import PathRefused, Target, absolute, canonical
from proxy.wire.request import RequestHead

if TYPE_CHECKING:
    from proxy.gateway.admission import Moment
    from proxy.gateway.door import House, Notes
    from proxy.net.downstream import Downstream

_log = logging.getLogger(__name__)
_DENIED: dict[Reason, Verdict] = {reason: Verdict(Outcome.DENY, reason) for reason in Reason}


class HttpExchange(Identifying):
    """One request and what becomes of it."""

    __slots__ = ()

    def __init__(self, house: House, listener: str, connection: Downstream, head: RequestHead, notes: Notes) -> None:
        self.house = house
        self.listener = listener
        self.connection = connection
        self.head = head
        self.notes = notes
        self.snapshot = house.snapshot
        self.started = monotonic()
        self.now = house.clock()
        self.reference = house.reference()
        self.host = ""
        self.known = None
        self.target = None
        self.route_plan = None
        self.identity = None
        self.session = None
        self.withheld = ""
        self.certificate = None
        self.bound = None
        self.device = None
        self.device_id = ""
        self.facts = None
        self.verdict = _DENIED[Reason.INTERNAL_ERROR]
        self.cut_reason = None
        self.since = 0.0
        self.review_at = 0.0
        self.until = 0.0
        self.vouched_by = None
        self.on_record = False
        self.put_by = ""
        self.decide_us = 0.0
        self.note = ""
        self.upstream = None
        self.pool = None
        self.tried = ()
        self.early = []
        self.keep = not head.old and not head.fields.close and not house.draining
        self.over = False
        self.responded = False
        self.request_done = head.fields.length == 0
        self.tunnel = False
        self.frames_to_app = None
        self.frames_to_client = None
        self.upgrading = False
        self.chunking = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.sent_at = 0.0
        self.upstream_ms = 0.0
        self.status = 0
        house.exchanges += 1

    def __repr__(self) -> str:
        return f"<HttpExchange {self.reference} {self.head.method} {self.host} over={self.over}>"

    # --- the phases

    def begin(self) -> None:
        """The head is here."""
        try:
            self._route()
        except Exception:  # noqa: BLE001  # the door stays shut whatever broke
            self._internal_error()

    def _route(self) -> None:
        head = self.head
        try:
            known: Known | None = head.fields.memo
            if known is None or known.snapshot is not self.snapshot:
                known = head.fields.memo = Known(self.snapshot, head.fields, self.house.workloads)
            self.known = known
            host = self.host = known.host
            raw = head.target
            target = self.target = canonical(raw) if raw[:1] == b"/" else self._absolute_target(raw)
        except (HostRefused, PathRefused, CredentialRefused) as refused:
            self.fail(Reason.BAD_REQUEST, refused.why)
            return
        notes = self.notes
        if notes.sni is not None and notes.sni != host:
            # Also for a host that is not ours: an HTTP/2-style reused connection must learn that it came wrong.
            self.fail(Reason.MISDIRECTED if host else Reason.NO_ROUTE)
            return
        if head.method == "CONNECT":
            self.fail(Reason.BAD_REQUEST, "This is not a forward proxy.")
            return
        if head.method in ("TRACE", "TRACK"):  # would show scripts what only the app may see (RFC 9110 §9.3.8)
            self.fail(Reason.NOT_IMPLEMENTED)
            return
        plan = self.snapshot.plan(host, target.path) if host else None
        if plan is None:
            self.fail(Reason.NO_ROUTE)
            return
        self.plan = self.route_plan = self.judged_by = plan
        if plan.total is not None:
            self.connection.latest = self.connection.ticker.now + plan.total
        self._identify(known)

    def _absolute_target(self, raw: bytes) -> Target:
        full = absolute(raw)
        if full is None:
            return canonical(raw)
        if full.authority.lower() != self.head.fields.host.lower():
            # RFC 9112 §3.2.2: absolute-form overrides Host; we refuse to have two opinions.
            raise PathRefused("The absolute target names another host than the Host header.")
        return canonical(full.origin)

    def _decide(self, missing: Reason | None) -> None:
        assert self.target is not None, "a request is routed before it is decided"
        started = perf_counter()
        problem = self.notes.problem
        if self.bound is not None or self.certificate is not None:
            self.device = self.house.devices.facts(self.bound, self.certificate)
        self.facts = facts = Facts(
            route=self.plan.name,
            host=self.host,
            method=self.head.method,
            path=self.target.path,
            time=self.now,
            address=self.notes.address,
            identity=self.identity,
            certificate=self.certificate,
            certificate_problem=None if problem is None else problem.value,
            device=self.device,
        )
        required = self.listener in self.snapshot.certificate_required
        verdict = admission.decide_on(self.plan, facts, self.head, certificate_required=required)
        if missing is not None:
            verdict = admission.without_session(self.plan, verdict, missing, facts.path)
        self.verdict = verdict
        self.decide_us = (perf_counter() - started) * 1e6
        self._act()

    def _act(self) -> None:
        verdict = self.verdict
        if verdict.outcome is not Outcome.ALLOW:
            if verdict.outcome is Outcome.CHALLENGE:
                self._challenge()
            else:
                self._refuse(verdict.reason)
            return
        if not self.house.journal.healthy:
            self.fail(Reason.AUDIT_UNAVAILABLE)
            return
        plan, head = self.plan, self.head
        if plan.control and head.method not in ("GET", "HEAD", "POST"):
            self.fail(Reason.NOT_IMPLEMENTED, "Our own pages are read with GET and written with POST.")
            return
        limit = plan.body_limit
        if limit is not None and head.fields.length > limit:
            self.fail(Reason.BODY_TOO_LARGE)
            return
        if plan.route.redirect is not None:
            self._redirect(plan.route.redirect.url, plan.route.redirect.status)
            return
        if head.fields.upgrade:
            refused = upgrade_refused(self)
            if refused is not None:
                self.fail(*refused)
                return
        require_recordable(self)
        if not plan.control:
            self.house.open.add(self)
            if self.device is not None:
                self.house.watch.follow(self)
        self.forward()

    # --- when something breaks

    def broken(self) -> None:
        """As `_internal_error`, for the half that sends."""
        self._internal_error()

    def _internal_error(self) -> None:
        _log.exception("request %s failed", self.reference)
        if self.over:
            return
        if self.responded:
            self._break()
            return
        self.drop_upstream()
        try:
            self.fail(Reason.INTERNAL_ERROR)
        except Exception:  # noqa: BLE001  # closes the connection instead, whatever broke
            _log.exception("request %s could not even be refused", self.reference)
            self.over = True
            self.connection.abort()

    # --- what ends an exchange from outside

    def cut(self, reason: Reason, cause: str = "session", since: float = 0.0) -> None:
        """End it now: what it was admitted on does not hold any more. `cause` is the metric's label; `since` is when
        that came about, seconds since the epoch (of a session that ended, the session knows)."""
        if self.over:
            return
        self._blame(reason, cause, since)
        if self.tunnel:
            self.over = True
            part(self, reason)
            self.complete(self.status)
            return
        self.drop_upstream()
        if self.responded:
            self._break()
        else:
            self.fail(reason)

    def _blame(self, reason: Reason, cause: str, since: float) -> None:
        self.cut_reason = reason
        self.since = since or (0.0 if self.session is None else self.session.ended_at)
        if self.since:
            delay = max(0.0, self.house.clock() - self.since)
            self.house.metrics.time("ostiary_stream_cut_seconds", cause, seconds=delay)

    def decide_again(self, identity: Identity | None, cause: str, since: float, moment: Moment) -> None:
        """What this was decided on has changed: the facts, the rules or the time. Cut it when it may not go on."""
        if self.over or self.facts is None or self.target is None:
            return
        snapshot = self.house.snapshot
        plan = snapshot.plan(self.host, self.target.path)
        if plan is None:
            self.cut(Reason.NO_ROUTE, cause, since)
            return
        facts = replace(
            self.facts,
            route=plan.name,
            identity=identity,
            certificate=self.certificate,
            device=self.device,
            time=moment.now,
        )
        required = self.listener in snapshot.certificate_required
        verdict = moment.verdict(plan, facts, self.head, certificate_required=required)
        if verdict.outcome is Outcome.ALLOW:
            self.snapshot, self.identity, self.judged_by = snapshot, identity, plan
            return
        if not self.on_record:
            record_decision(self, self.status)  # as it was admitted; what follows is a decision of its own
        self.snapshot, self.identity, self.facts, self.verdict = snapshot, identity, facts, verdict
        if self.responded:
            self.cut(verdict.reason, cause, since)
            return
        self._blame(verdict.reason, cause, since)
        self.drop_upstream()
        self._refuse(verdict.reason)

    # --- the record

    def tunnel_begun(self) -> None:
        """A stream may go on for days: its decision is recorded now, its end later."""
        self.house.metrics.add("ostiary_streams", "upgrade", amount=1)
        record_decision(self, 101)

    def _count_failure(self, kind: str) -> None:
        self.house.metrics.add("ostiary_upstream_errors_total", self.plan.name, kind)

    def complete(self, status: int) -> None:
        """Record the exchange and let go of everything it was registered with."""
        house = self.house
        house.exchanges -= 1
        if self.session is not None:
            self.session.streams.discard(self)
        house.open.discard(self)
        if self.device_id:
            house.watch.lose(self)
        if self.tunnel:
            house.metrics.add("ostiary_streams", "upgrade", amount=-1)
        if self.on_record:
            record_stream(self)
        else:
            record_exchange(self, status)
