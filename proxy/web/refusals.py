"""What a refused person or program is told, and how: one table of reasons, two forms. Pure; called on the byte path."""

from __future__ import annotations

import json
from typing import Final, Literal, NamedTuple

import msgspec

from proxy.model.reasons import MEANING, Reason
from proxy.model.verdict import Failed
from proxy.web.endpoints import LOGIN, PREFIX, login_path
from proxy.web.pages import JSON_HEADERS, Header, initial, page
from proxy.web.returns import local

Text = str | bytes | None
_MAX_FAILED: Final = 12  # conditions shown; a rule with more would bury the point
_DOOR: Final = {401: "ajar", 403: "shut", 404: "shut"}
_LOGIN_REASONS: Final = frozenset(
    (Reason.LOGIN_REQUIRED, Reason.SESSION_EXPIRED, Reason.SESSION_REVOKED, Reason.REAUTHENTICATION_REQUIRED)
)
_POLICY_REASONS: Final = frozenset((Reason.NO_RULE_ALLOWS, Reason.DENIED_BY_RULE, Reason.REAUTHENTICATION_REQUIRED))
_RETRY_AFTER: Final = {Reason.OVERLOADED: b"5"}


class Refusal(NamedTuple):
    """Everything a refusal may say. Only `reason` is needed; what is empty is left out.

    `target` is the path and query that was asked for: "try again", "log in" and "use another account" lead back to it.
    `identity` is the label of who asked (an e-mail address or a name), `detail` one more sentence, already bounded,
    `attempt` the login that failed: this tab may have put a #fragment by for it.
    """

    reason: Reason
    rule: str = ""
    failed: tuple[Failed, ...] = ()
    reference: str = ""
    login_url: str | None = None
    route_text: str | None = None
    route_link: str | None = None
    identity: str = ""
    host: str = ""
    target: str = ""
    detail: str = ""
    attempt: str = ""


class Act(NamedTuple):
    """A button: where it leads, whether the address's `#fragment` goes along, whether it leads to another site."""

    href: str
    text: str
    carry: bool = False
    away: bool = False


def wants(
    method: Text,
    accept: Text,
    sec_fetch_mode: Text = None,
    sec_fetch_dest: Text = None,
    x_requested_with: Text = None,
) -> Literal["redirect", "html", "json"]:
    """How to answer: "redirect" a person's navigation to the login, show "html", or tell a program in "json".

    Fetch Metadata decides where it is sent (only a navigation is a person looking at a page); otherwise `Accept` must
    name HTML and no script may have said that it is asking. Values are header fields as received, None when absent.
    """
    mode = _text(sec_fetch_mode)
    if mode:
        if mode != "navigate" or _text(sec_fetch_dest) in ("image", "script", "style", "font", "empty"):
            return "json"
    elif x_requested_with or not _accepts_html(_text(accept)):
        return "json"
    return "redirect" if _text(method) in ("get", "head") else "html"


def _text(value: Text) -> str:
    if value is None:
        return ""
    return (value.decode("latin-1") if isinstance(value, bytes) else value).strip().lower()


def _accepts_html(accept: str) -> bool:
    """Whether `text/html` (or XHTML) is named with a weight above zero, and not after JSON."""
    weights = {"html": 0.0, "json": 0.0}
    for entry in accept.split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        name = {"text/html": "html", "application/xhtml+xml": "html", "application/json": "json"}.get(kind)
        if name is not None:
            weights[name] = max(weights[name], _quality(parameters))
    return weights["html"] > 0 and weights["html"] >= weights["json"]


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def render(refusal: Refusal, *, want: Literal["html", "json"]) -> tuple[int, list[Header], bytes]:
    """A refusal as (HTTP status, headers including Content-Length, body).

    401 always carries WWW-Authenticate (RFC 9110 §15.5.2), with a scheme no browser opens a dialog for; 503 carries
    Retry-After.
    """
    status = MEANING[refusal.reason].status
    shared, body = page("refused", _values(refusal, status)) if want == "html" else (JSON_HEADERS, _json(refusal))
    headers = [*shared, (b"Content-Length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"WWW-Authenticate", b'Ostiary realm="ostiary"'))
    elif status == 503:
        headers.append((b"Retry-After", _RETRY_AFTER.get(refusal.reason, b"10")))
    return status, headers, body


def _json(refusal: Refusal) -> bytes:
    meaning = MEANING[refusal.reason]
    answer: dict[str, object] = {
        "error": meaning.title,
        "reason": refusal.reason.value,
        "rule": refusal.rule,
        "reference": refusal.reference,
        "remedy": refusal.route_text or meaning.remedy,
    }
    if refusal.failed:
        answer["failed"] = refusal.failed[:_MAX_FAILED]
    if refusal.detail:
        answer["detail"] = refusal.detail
    if refusal.login_url:
        answer["login_url"] = refusal.login_url
    try:
        return msgspec.json.encode(answer)
    except UnicodeEncodeError:  # a lone surrogate somewhere must not turn a refusal into a failure
        return json.dumps(msgspec.to_builtins(answer)).encode()


def _values(refusal: Refusal, status: int) -> dict[str, object]:
    reason = refusal.reason
    meaning = MEANING[reason]
    shows_rule = reason in _POLICY_REASONS
    return {
        "title": meaning.title,
        "remedy": meaning.remedy,
        "detail": refusal.detail,
        "status": status,
        "reason": reason.value,
        "door": _DOOR.get(status, "barred"),
        "host": refusal.host,
        "note": refusal.route_text or "",
        "failed": () if reason in _LOGIN_REASONS and not shows_rule else refusal.failed[:_MAX_FAILED],
        "rule": refusal.rule if shows_rule else "",
        "intro": "You were stopped by rule" if reason is Reason.DENIED_BY_RULE else "The nearest rule is",
        "outro": ", because of this:" if reason is Reason.DENIED_BY_RULE else ", and this part of it does not hold:",
        "sole": "You were stopped by rule" if reason is Reason.DENIED_BY_RULE else "The rule that decided is",
        "identity": refusal.identity,
        "initial": initial(refusal.identity),
        "switch": _switch(refusal) if status == 403 else "",
        "acts": _acts(refusal, status),
        "reference": refusal.reference,
        "attempt": refusal.attempt,
    }


def _switch(refusal: Refusal) -> str:
    return login_path(refusal.target or "/") + "&prompt=select_account"


def _acts(refusal: Refusal, status: int) -> list[Act]:
    reason = refusal.reason
    if reason in _LOGIN_REASONS:
        return [Act(refusal.login_url or login_path(refusal.target or "/"), "Log in", carry=True)]
    portal = Act(PREFIX, "Your apps")
    if reason in (Reason.LOGIN_FAILED, Reason.LOGIN_REFUSED, Reason.PROVIDER_UNAVAILABLE):
        return [Act(refusal.login_url or LOGIN, "Try again", carry=True), portal]
    if status in (408, 421, 500, 502, 503, 504):
        return [Act(local(refusal.target), "Try again", carry=True), portal] if refusal.target else [portal]
    if status not in (403, 404) and not refusal.identity:
        return []
    return [*_route_act(refusal.route_link), portal]


def _route_act(link: str | None) -> list[Act]:
    """The route's own link, when it is one that a browser may follow from here."""
    if not link or not link.startswith(("https://", "http://", "mailto:", "/")):
        return []
    return [Act(link, "Write to them" if link.startswith("mailto:") else "Ask for access", away=True)]
