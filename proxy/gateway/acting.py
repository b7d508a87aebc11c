"""What is done about a verdict, other than forwarding: log in, refuse, redirect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.gateway.answers import write_redirect, write_refusal
from proxy.gateway.forms import keeps_form
from proxy.gateway.known import Known
from proxy.gateway.relay import Relay
from proxy.model.device import Bound, Device
from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome, Verdict
from proxy.policy import Wanted
from proxy.sessions.live import LiveSession
from proxy.web.endpoints import PORTAL, challenge_location, prove_url
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
_STRONGER = frozenset((Reason.REAUTHENTICATION_REQUIRED, Reason.STEP_UP_REQUIRED))
# No address leads on from these: the device is enrolled or mended first, and then the same is asked for again.
_MENDED_ELSEWHERE = frozenset((Reason.DEVICE_REQUIRED, Reason.DEVICE_NOT_COMPLIANT))


class Acting(Relay):
    """The answers an exchange gives itself."""

    __slots__ = (
        "bound",
        "certificate",
        "cut_reason",
        "decide_us",
        "device",
        "device_id",
        "facts",
        "host",
        "house",
        "identity",
        "judged_by",
        "known",
        "listener",
        "note",
        "notes",
        "now",
        "on_record",
        "put_by",
        "reference",
        "review_at",
        "route_plan",
        "session",
        "since",
        "snapshot",
        "started",
        "target",
        "until",
        "verdict",
        "vouched_by",
        "withheld",
    )

    bound: Bound | None  # what ties the session to a device

    certificate: Certificate | None  # the client's, verified
    cut_reason: Reason | None  # what ended it from outside
    decide_us: float
    device: Device | None  # the one in the facts
    device_id: str  # under which it is followed, see `watch.py`; "" when it is not
    facts: Facts | None  # once decided
    host: str  # canonical; "" for one we do not serve
    house: House
    identity: Identity | None
    judged_by: RoutePlan  # the route as it stood when this was last decided
    known: Known | None  # once the host is read
    listener: str
    note: str  # what went wrong, in words
    notes: Notes  # about the connection
    now: float  # seconds since the epoch when the head arrived
    on_record: bool  # the decision has a line of its own; what it came to will have another
    put_by: str  # where the challenge leads, when a form is given to our pages to keep; else ""
    reference: str
    review_at: float  # when the token that began this is judged again, seconds since the epoch
    route_plan: RoutePlan | None  # as `plan`, which is only set once there is one
    session: LiveSession | None
    since: float  # when what ended it from outside came about, seconds since the epoch
    snapshot: Snapshot  # the configuration this exchange began under
    started: float  # monotonic
    target: Target | None  # once read
    until: float  # when what a token began must end, seconds since the epoch
    verdict: Verdict
    vouched_by: object  # the WorkloadView that `until` is from; None until that is asked
    withheld: str  # id of a session that may not be used from here

    def _challenge(self) -> None:
        reason, want = self.verdict.reason, self._wants()
        if reason in _MENDED_ELSEWHERE or self.head.fields.upgrade:
            self._refuse(reason)
        elif want == "redirect":
            self._answered(303, write_redirect(self.connection, 303, self._way_on(), keep=self._keep()))
        elif want == "html" and not self.plan.control and self._keeps_form():
            self._put_by()
        else:
            self._refuse(reason)

    def _proving(self, reason: Reason) -> str:
        """Where a person shows the device, when that may help."""
        if reason is not Reason.DEVICE_PROOF_REQUIRED and (reason not in _MENDED_ELSEWHERE or self.session is None):
            return ""
        return prove_url(self.snapshot.login_origin, self._own_origin() + self._asked_for())

    def _keeps_form(self) -> bool:
        return keeps_form(self.head, self._own_origin(), self.snapshot.largest_form)

    def _way_on(self) -> str:
        """Where what is asked for is done, and from where people come back."""
        asked = self._asked_for()
        if self.verdict.reason is Reason.DEVICE_PROOF_REQUIRED:
            return prove_url(self.snapshot.login_origin, self._own_origin() + asked)
        wanted = self._wanted()
        if wanted is None:
            return challenge_location(self.host, asked, None, self.plan.route.provider)
        return challenge_location(
            self.host, asked, wanted.max_age, self.plan.route.provider, mfa=wanted.mfa, acr=wanted.acr
        )

    def _wanted(self) -> Wanted | None:
        """What the rule in question asks of a login, when that is what is missing."""
        return self.plan.policy.wanted(self.verdict.rule) if self.verdict.reason in _STRONGER else None

    def _put_by(self) -> None:
        """Somebody sent a form and must log in first: our pages keep it, sealed, until then (`web/interrupted.py`)."""
        self.put_by = self._way_on()
        self.plan = self.snapshot.forms
        self.forward()

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
        challenged = verdict.outcome is Outcome.CHALLENGE
        stranger = challenged and self.identity is None
        mending = reason in _MENDED_ELSEWHERE
        way_on = self._absolute(self._way_on()) if challenged and not mending else None
        wanted = self._wanted() or Wanted()
        refusal = Refusal(
            reason=reason,
            rule="" if stranger else verdict.rule,  # who has only to log in learns nothing about the rules yet
            failed=() if stranger else verdict.failed,
            reference=self.reference,
            login_url=way_on,
            route_text=self._own_words(),
            route_link=self._own_link(),
            identity="" if self.identity is None else label(self.identity),
            host=self.host,
            target=self._asked_for(),
            detail=self.note,
            portal_url=self.snapshot.login_origin + PORTAL if mending else "",
            prove_url=self._proving(reason),
            acr_values=wanted.acr,
            max_age=wanted.max_age,
            mfa=wanted.mfa,
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

    def _own_origin(self) -> str:
        plan = (self.snapshot.any_plan(self.host) if self.plan.control else None) or self.plan
        return plan.audience_at(self.host)

    def _absolute(self, location: str) -> str:
        return self._own_origin() + location if location.startswith("/") else location

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
