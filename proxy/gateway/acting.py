"""What is done about a verdict, other than forwarding: log in, refuse, redirect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.gateway.answers import write_redirect, write_refusal
from proxy.gateway.known import Known
from proxy.gateway.relay import Relay
from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome, Verdict
from proxy.sessions.live import LiveSession
from proxy.web.endpoints import challenge_location
from proxy.web.refusals import Refusal, wants
from proxy.web.visit import label
from proxy.wire.path import Target

if TYPE_CHECKING:
    from proxy.gateway.door import House, Notes
    from proxy.gateway.plan import RoutePlan
    from proxy.gateway.snapshot import Snapshot


# After these, what follows on the connection cannot be trusted to be what it seems.
_CLOSING = frozenset(
    (
        Reason.BAD_REQUEST,
        Reason.BODY_TOO_LARGE,
        Reason.EXPECTATION_FAILED,
        Reason.HEAD_TOO_LARGE,
        Reason.INTERNAL_ERROR,
        Reason.MISDIRECTED,
        Reason.REQUEST_TIMEOUT,
    )
)


class Acting(Relay):
    """The answers an exchange gives itself."""

    __slots__ = (
        "certificate",
        "cut_reason",
        "decide_us",
        "facts",
        "host",
        "house",
        "identity",
        "known",
        "listener",
        "note",
        "notes",
        "now",
        "reference",
        "route_plan",
        "session",
        "snapshot",
        "started",
        "target",
        "verdict",
    )

    certificate: Certificate | None  # the client's, verified
    cut_reason: Reason | None  # what ended it from outside
    decide_us: float
    facts: Facts | None  # once decided
    host: str  # canonical; "" for one we do not serve
    house: House
    identity: Identity | None
    known: Known | None  # once the host is read
    listener: str
    note: str  # what went wrong, in words
    notes: Notes  # about the connection
    now: float  # seconds since the epoch when the head arrived
    reference: str
    route_plan: RoutePlan | None  # as `plan`, which is only set once there is one
    session: LiveSession | None
    snapshot: Snapshot  # the configuration this exchange began under
    started: float  # monotonic
    target: Target | None  # once read
    verdict: Verdict

    def _challenge(self) -> None:
        if self._wants() == "redirect" and not self.head.fields.upgrade:
            location = challenge_location(self.host, self._asked_for(), self._max_age(), self.plan.route.provider)
            self._answered(303, write_redirect(self.connection, 303, location, keep=self._keep()))
        else:
            self._refuse(self.verdict.reason)

    def _max_age(self) -> float | None:
        """The age of login that the rule in question accepts."""
        if self.verdict.reason is not Reason.REAUTHENTICATION_REQUIRED:
            return None
        for rule in self.plan.route.allow:
            if rule.name == self.verdict.rule:
                return rule.auth_age
        return 0

    def _redirect(self, url: str, status: int) -> None:
        self.verdict = Verdict(Outcome.ALLOW, Reason.REDIRECT, self.verdict.rule)
        location = url.replace("{path}", self._asked_for())
        self._answered(status, write_redirect(self.connection, status, location, keep=self._keep()))

    def fail(self, reason: Reason, note: str = "") -> None:
        """Refuse for a reason other than the verdict's; the record keeps the rule that had allowed it."""
        self.verdict = Verdict(Outcome.DENY, reason, self.verdict.rule)
        if reason in _CLOSING:
            self.keep = False
        self.note = note
        self._refuse(reason)

    def _refuse(self, reason: Reason) -> None:
        if self.over:
            return
        want = self._wants()
        verdict = self.verdict
        stranger = verdict.outcome is Outcome.CHALLENGE and self.identity is None and self.certificate is None
        refusal = Refusal(
            reason=reason,
            rule="" if stranger else verdict.rule,  # who has only to log in learns nothing about the rules yet
            failed=() if stranger else verdict.failed,
            reference=self.reference,
            login_url=self._login_url() if verdict.outcome is Outcome.CHALLENGE else None,
            route_text=self._own_words(),
            route_link=self._own_link(),
            identity="" if self.identity is None else label(self.identity),
            host=self.host,
            target=self._asked_for(),
            detail=self.note,
        )
        status, size = write_refusal(
            self.connection,
            refusal,
            want="json" if want == "json" else "html",
            keep=self._keep(),
            head_only=self.head.method == "HEAD",
        )
        self._answered(status, size)

    def _own_words(self) -> str | None:
        plan = self.route_plan
        return plan.route.refusal.text if plan is not None and plan.route.refusal is not None else None

    def _own_link(self) -> str | None:
        plan = self.route_plan
        return plan.route.refusal.link if plan is not None and plan.route.refusal is not None else None

    def _login_url(self) -> str:
        source = self.plan.source._replace(host=self.host)
        location = challenge_location(self.host, self._asked_for(), self._max_age(), self.plan.route.provider)
        return source.origin + location

    def _asked_for(self) -> str:
        """Canonical path and query; "" when they could not be read."""
        return "" if self.target is None else self.target.forward.decode("ascii")

    def _wants(self) -> str:
        field = self.head.field
        return wants(
            self.head.method,
            field(b"accept"),
            field(b"sec-fetch-mode"),
            field(b"sec-fetch-dest"),
            field(b"x-requested-with"),
        )

    def _keep(self) -> bool:
        """Whether the connection survives an answer of ours: not with an unwanted body, nor a failed upgrade."""
        self.keep = self.keep and self.head.fields.length == 0 and not self.head.fields.upgrade
        return self.keep

    def _answered(self, status: int, size: int) -> None:
        self.status = status
        self.bytes_out = size
        self.over = True
        self.complete(status)
        self.connection.finished(self.keep)
