"""Who is asking, and may they: gathers identity and facts for a decision. Used by every door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.authn.mtls import CertificateVerifier, identity_of
from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason
from proxy.model.report import PROOF_PATH, PROVE_PATH
from proxy.model.verdict import Outcome, Verdict
from proxy.policy.decide import decide
from proxy.web import endpoints
from proxy.wire.request import RequestHead

if TYPE_CHECKING:
    from proxy.gateway.door import Notes
    from proxy.gateway.plan import RoutePlan

_REQUIRED = Verdict(Outcome.DENY, Reason.CERTIFICATE_REQUIRED)
_PREFLIGHT = Verdict(Outcome.ALLOW, Reason.CORS_PREFLIGHT)
_OWN_PAGE = Verdict(Outcome.ALLOW, Reason.OWN_PAGE)


def certificate_of(notes: Notes, verifier: CertificateVerifier | None, now: float) -> Certificate | None:
    """The client's verified certificate, judged anew when the verdict is out of date or the judge was replaced.

    When one was presented and refused, `notes.problem` says why.
    """
    if not notes.chain:
        return None
    current = notes.certificate
    if notes.verifier is not verifier or (current is not None and now >= current.good_until) or notes.problem:
        notes.identity_blocks.clear()
        notes.verifier = verifier
        result = Reason.CERTIFICATE_UNTRUSTED if verifier is None else verifier.verify(notes.chain, now)
        notes.certificate = result if isinstance(result, Certificate) else None
        notes.problem = None if isinstance(result, Certificate) else result
    return notes.certificate


def service_of(notes: Notes, certificate: Certificate) -> Identity | None:
    """The service a verified certificate names; None (and `notes.problem`) when it names nobody."""
    known = notes.identity_blocks.get("identity")
    if known is None:
        known = identity_of(certificate)
        if not isinstance(known, Identity):
            notes.problem = known
            notes.certificate = None
            return None
        notes.identity_blocks["identity"] = known
    return known if isinstance(known, Identity) else None


def decide_on(plan: RoutePlan, facts: Facts, head: RequestHead, *, certificate_required: bool) -> Verdict:
    """The verdict on a request: what the listener and the route ask besides the rules first, then the rules."""
    route = plan.route
    if facts.certificate is None and (certificate_required or route.client_certificate == "required"):
        problem = facts.certificate_problem
        return Verdict(Outcome.DENY, Reason(problem)) if problem else _REQUIRED
    if plan.control:
        return _OWN_PAGE
    if route.cors_preflight and is_preflight(head):
        return _PREFLIGHT
    return decide(plan.policy, facts)


class Moment:
    """Decides for many at one and the same time; who differ in nothing that counts get one verdict."""

    __slots__ = ("_made", "now")

    def __init__(self, now: float) -> None:
        self.now = now  # seconds since the epoch: that of all facts
        # By the `id` of objects, which are kept here so that no other can have it meanwhile.
        self._made: dict[tuple[object, ...], tuple[Verdict, RoutePlan, Facts]] = {}

    def verdict(self, plan: RoutePlan, facts: Facts, head: RequestHead, *, certificate_required: bool) -> Verdict:
        """As `decide_on`."""
        if facts.method == "OPTIONS":  # may be a preflight, by fields that are no facts
            return decide_on(plan, facts, head, certificate_required=certificate_required)
        key = (
            id(plan),
            id(facts.identity),
            id(facts.device),
            id(facts.certificate),
            facts.certificate_problem,
            certificate_required,
            facts.host,
            facts.method,
            facts.path,
            facts.address,
        )
        made = self._made.get(key)
        if made is None:
            verdict = decide_on(plan, facts, head, certificate_required=certificate_required)
            made = self._made[key] = (verdict, plan, facts)
        return made[0]


def is_preflight(head: RequestHead) -> bool:
    """Whether this is a CORS preflight (Fetch standard): OPTIONS, an Origin, a requested method, and no body."""
    return (
        head.method == "OPTIONS"
        and head.fields.length == 0
        and head.field(b"origin") is not None
        and head.field(b"access-control-request-method") is not None
    )


# Our pages that somebody may use who has a session but has yet to show the device it is tied to: those that show it
# or enrol it, and those that end it. All others are told of no session.
UNPROVED_PAGES = frozenset((PROVE_PATH, PROOF_PATH, endpoints.DEVICE_CODE, endpoints.LOGOUT, endpoints.PROVIDER_LOGOUT))
_PORTALS = frozenset((endpoints.PORTAL, endpoints.PREFIX))


def without_session(plan: RoutePlan, verdict: Verdict, missing: Reason, path: str) -> Verdict:
    """The verdict on somebody whose session has ended, or may not be used until the device it is tied to is shown.

    `verdict` is that on nobody: a challenge to log in says what is `missing`. So does the portal in the second case.
    """
    if missing is Reason.DEVICE_PROOF_REQUIRED and plan.control and path in _PORTALS:
        return Verdict(Outcome.CHALLENGE, missing)
    if verdict.reason is not Reason.LOGIN_REQUIRED:
        return verdict
    return Verdict(verdict.outcome, missing, verdict.rule, verdict.failed)
