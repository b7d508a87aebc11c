"""What a refused person or program is told, and how: one table of reasons, two forms. Pure; called on the byte path."""

from __future__ import annotations

import json
from math import ceil
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
_STRONGER: Final = frozenset((Reason.REAUTHENTICATION_REQUIRED, Reason.STEP_UP_REQUIRED))
_DEVICE: Final = frozenset((Reason.DEVICE_REQUIRED, Reason.DEVICE_NOT_COMPLIANT, Reason.DEVICE_PROOF_REQUIRED))
_MENDED: Final = _STRONGER | _DEVICE  # what to do about it is said here, not in the route's own words
_POLICY_REASONS: Final = _MENDED - {Reason.DEVICE_PROOF_REQUIRED} | {Reason.NO_RULE_ALLOWS, Reason.DENIED_BY_RULE}
_TOKEN: Final = frozenset((Reason.TOKEN_INVALID, Reason.TOKEN_REPLAYED))
_RETRY_AFTER: Final = {Reason.OVERLOADED: 5, Reason.TOO_MANY_ATTEMPTS: 60}


class Refusal(NamedTuple):
    """Everything a refusal may say. Only `reason` is needed; what is empty is left out.

    `target` is the path and query that was asked for: "try again", "log in" and "use another account" lead back to it.
    `identity` is the label of who asked (an e-mail address or a name), `detail` one more sentence, already bounded,
    `attempt` the login that failed: this tab may have put a #fragment by for it.

    `portal_url` is the absolute address of the list of a person's devices, `prove_url` where a device is shown.
    `acr_values`, `max_age` (seconds) and `mfa` are what is asked of a login, for STEP_UP_REQUIRED and
    REAUTHENTICATION_REQUIRED. `retry_after` (seconds) is when to try again, for 429 and 503.
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
    portal_url: str = ""
    prove_url: str = ""
    acr_values: tuple[str, ...] = ()
    max_age: float | None = None
    mfa: bool = False
    retry_after: float | None = None


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

    401 always carries WWW-Authenticate (RFC 9110 §15.5.2), with a scheme no browser opens a dialog for; programs that
    need a stronger login or another token are told so as well (RFC 9470 §3, RFC 6750 §3). 429 and 503 carry
    Retry-After.
    """
    status = MEANING[refusal.reason].status
    shared, body = page("refused", _values(refusal, status)) if want == "html" else (JSON_HEADERS, _json(refusal))
    headers = [*shared, (b"Content-Length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"WWW-Authenticate", b'Ostiary realm="ostiary"'))
        if want == "json" and (refusal.reason in _STRONGER or refusal.reason in _TOKEN):
            headers.append((b"WWW-Authenticate", _bearer(refusal)))
    elif status in (429, 503):
        after = _RETRY_AFTER.get(refusal.reason, 10) if refusal.retry_after is None else ceil(refusal.retry_after)
        headers.append((b"Retry-After", b"%d" % max(1, after)))
    return status, headers, body


def _bearer(refusal: Refusal) -> bytes:
    """The challenge for programs: what is wrong with the token, or what login it takes."""
    strength = refusal.reason in _STRONGER
    fields = {
        "error": "insufficient_user_authentication" if strength else "invalid_token",
        "error_description": MEANING[refusal.reason].title,
    }
    if strength and refusal.acr_values:
        fields["acr_values"] = " ".join(refusal.acr_values)
    if strength and refusal.max_age is not None:
        fields["max_age"] = str(max(0, int(refusal.max_age)))
    return b"Bearer " + ", ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items()).encode("ascii")


def _quoted(text: str) -> str:
    """What may stand in a quoted-string (RFC 9110 §5.6.4), ASCII only."""
    plain = "".join(character for character in text if " " <= character <= "~")
    return plain.replace("\\", "\\\\").replace('"', '\\"')


def _json(refusal: Refusal) -> bytes:
    meaning = MEANING[refusal.reason]
    answer: dict[str, object] = {
        "error": meaning.title,
        "reason": refusal.reason.value,
        "rule": refusal.rule,
        "reference": refusal.reference,
        "remedy": _note(refusal) or meaning.remedy,
    }
    if refusal.failed:
        answer["failed"] = refusal.failed[:_MAX_FAILED]
    if refusal.detail:
        answer["detail"] = refusal.detail
    if refusal.login_url:
        answer["login_url"] = refusal.login_url
    if refusal.reason in _STRONGER:
        answer["step_up"] = {"acr_values": refusal.acr_values, "max_age": refusal.max_age, "mfa": refusal.mfa}
    if refusal.reason in _DEVICE:
        answer["portal_url"] = refusal.portal_url or None
        answer["prove_url"] = refusal.prove_url or None
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
        "door": "ajar" if reason in _MENDED else _DOOR.get(status, "barred"),
        "host": refusal.host,
        "note": _note(refusal),
        "failed": () if reason in _LOGIN_REASONS and not shows_rule else _lines(refusal),
        "rule": refusal.rule if shows_rule else "",
        "intro": "You were stopped by rule" if reason is Reason.DENIED_BY_RULE else "The nearest rule is",
        "outro": ", because of this:" if reason is Reason.DENIED_BY_RULE else ", and this part of it does not hold:",
        "sole": "You were stopped by rule" if reason is Reason.DENIED_BY_RULE else "The rule that decided is",
        "whose": "baseline" if shows_rule else "rule",
        "identity": refusal.identity,
        "initial": initial(refusal.identity),
        "switch": _switch(refusal) if status == 403 and reason not in _DEVICE else "",
        "acts": _acts(refusal, status),
        "reference": refusal.reference,
        "attempt": refusal.attempt,
    }


def _note(refusal: Refusal) -> str:
    """The route's own words. They are for people who may not come in, not for those who have only to do something."""
    return "" if refusal.reason in _MENDED else refusal.route_text or ""


def _lines(refusal: Refusal) -> list[Failed]:
    """What failed. A remedy that several have is said once, with the last of them. How to enrol is said above them."""
    shown = refusal.failed[:_MAX_FAILED]
    enrol = refusal.reason is Reason.DEVICE_REQUIRED
    own = {one.remedy for one in shown if enrol and one.condition == "device"}
    later = [{one.remedy for one in shown[number + 1 :]} | own for number in range(len(shown))]
    return [
        msgspec.structs.replace(one, remedy="") if one.remedy in said else one
        for one, said in zip(shown, later, strict=True)
    ]


def _switch(refusal: Refusal) -> str:
    return login_path(refusal.target or "/") + "&prompt=select_account"


def _acts(refusal: Refusal, status: int) -> list[Act]:
    reason = refusal.reason
    if reason in _LOGIN_REASONS or reason is Reason.STEP_UP_REQUIRED:
        text = "Confirm" if reason in _STRONGER else "Log in"
        return [Act(refusal.login_url or _login(refusal), text, carry=True)]
    portal = Act(PREFIX, "Your apps")
    if reason in _DEVICE:
        return _device_acts(refusal)
    if reason is Reason.TOO_MANY_ATTEMPTS:
        return [Act(local(refusal.target), "Try again", carry=True), portal] if refusal.target else [portal]
    if reason in (Reason.LOGIN_FAILED, Reason.LOGIN_REFUSED, Reason.PROVIDER_UNAVAILABLE):
        return [Act(refusal.login_url or LOGIN, "Try again", carry=True), portal]
    if status in (408, 421, 500, 502, 503, 504):
        return [Act(local(refusal.target), "Try again", carry=True), portal] if refusal.target else [portal]
    if status not in (403, 404) and not refusal.identity:
        return []
    return [*_route_act(refusal.route_link), portal]


def _login(refusal: Refusal) -> str:
    back = refusal.target or "/"
    return login_path(back, refusal.max_age, mfa=refusal.mfa, acr=refusal.acr_values)


def _device_acts(refusal: Refusal) -> list[Act]:
    """Enrol, prove, check again: first what this reason asks for."""
    listed = refusal.portal_url if _is_web(refusal.portal_url) else PREFIX  # its redirect keeps the fragment
    listed = listed if "#" in listed else f"{listed}#devices"
    shown = refusal.prove_url or (refusal.login_url or "" if refusal.reason is Reason.DEVICE_PROOF_REQUIRED else "")
    prove = [Act(shown, "Prove this device", carry=True)] if _is_web(shown) else []
    again = [Act(local(refusal.target), "Check again", carry=True)] if refusal.target else []
    if refusal.reason is Reason.DEVICE_PROOF_REQUIRED:
        return [*prove, *again, Act(listed, "Your devices")]
    if refusal.reason is Reason.DEVICE_REQUIRED:
        return [Act(listed, "Enrol this device"), *prove, *again]
    return [*again, *prove, Act(listed, "Your devices")]


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _route_act(link: str | None) -> list[Act]:
    """The route's own link, when it is one that a browser may follow from here."""
    if not link or not link.startswith(("https://", "http://", "mailto:", "/")):
        return []
    return [Act(link, "Write to them" if link.startswith("mailto:") else "Ask for access", away=True)]
