"""What somebody is told who is let in after doing something: a stronger login, a device, a pause, another token."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from web_html import Page

from proxy.model.reasons import MEANING, Reason
from proxy.model.verdict import Failed
from proxy.web.refusals import Refusal, render

LOGIN_HOST = "https://login.apps.localhost:8443"
LINKS = {"portal_url": f"{LOGIN_HOST}/#devices", "prove_url": f"{LOGIN_HOST}/.ostiary/device/prove?return=x"}
ENROL = "Enrol this device from your apps page, and let it report."
REPORT = "Start the agent on this device, or let it report now: ostiary device report."


def told(reason: Reason, **more: Any) -> tuple[int, list[tuple[str, str]], dict[str, Any]]:
    """What a program gets."""
    status, headers, body = render(Refusal(reason, target="/x?y=1", identity="Ada", **more), want="json")
    return status, [(name.decode(), value.decode()) for name, value in headers], json.loads(body)


def shown(reason: Reason, **more: Any) -> tuple[str, Page]:
    """What a person gets."""
    _, _, body = render(Refusal(reason, target="/x?y=1", identity="Ada", **more), want="html")
    return body.decode(), Page(body.decode())


def buttons(text: str) -> list[tuple[str, str]]:
    part = text.partition('<div class="acts">')[2].partition("</div>")[0]
    return [(label, href) for href, label in re.findall(r'href="([^"]*)"[^>]*>([^<]*)<', part)]


def failed(explanation: str, remedy: str, *, unknown: bool = False) -> Failed:
    return Failed("posture", "device", explanation, unknown, remedy)


def bearer(headers: list[tuple[str, str]]) -> list[str]:
    return [value for name, value in headers if name == "WWW-Authenticate" and value.startswith("Bearer ")]


# --- a stronger login ---------------------------------------------------------------------------------------------


def test_a_program_is_told_what_login_it_takes() -> None:
    """RFC 9470 section 3, beside the scheme no browser opens a dialog for."""
    asked = {"acr_values": ("phr", "urn:x"), "max_age": 600.0, "mfa": True}
    status, headers, body = told(Reason.STEP_UP_REQUIRED, login_url="https://a.test/l", **asked)
    assert status == 401
    assert ("WWW-Authenticate", 'Ostiary realm="ostiary"') in headers
    assert bearer(headers) == [
        'Bearer error="insufficient_user_authentication", error_description="Please confirm with a stronger login", '
        'acr_values="phr urn:x", max_age="600"'
    ]
    assert body["step_up"] == {"acr_values": ["phr", "urn:x"], "max_age": 600.0, "mfa": True}
    assert body["login_url"] == "https://a.test/l"


def test_a_login_that_is_only_too_old() -> None:
    _, headers, body = told(Reason.REAUTHENTICATION_REQUIRED, max_age=60.0)
    assert bearer(headers)[0].endswith(', max_age="60"')
    assert "acr_values" not in bearer(headers)[0]
    assert body["step_up"] == {"acr_values": [], "max_age": 60.0, "mfa": False}


@pytest.mark.parametrize("acr", ['a"b', "a\\b", "a\r\nX: y", "é\u202e", 'x", realm="y'])
def test_no_value_breaks_out_of_the_header(acr: str) -> None:
    (value,) = bearer(told(Reason.STEP_UP_REQUIRED, acr_values=(acr,))[1])
    quoted = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"'
    assert re.fullmatch(rf"Bearer error={quoted}, error_description={quoted}, acr_values={quoted}", value)


def test_a_person_is_led_to_confirm() -> None:
    text, page = shown(Reason.STEP_UP_REQUIRED, rule="admin", mfa=True, acr_values=("phr",), max_age=600.0)
    (act,) = buttons(text)
    assert act == ("Confirm", "/.ostiary/login?return=/x%3Fy%3D1&amp;max_age=600&amp;mfa=1&amp;acr=phr")
    assert not page.problems


def test_a_page_has_no_challenge_for_programs() -> None:
    _, headers, _ = render(Refusal(Reason.STEP_UP_REQUIRED, acr_values=("phr",)), want="html")
    assert [value for name, value in headers if name == b"WWW-Authenticate"] == [b'Ostiary realm="ostiary"']


# --- a device -----------------------------------------------------------------------------------------------------


def test_what_failed_and_how_to_mend_it() -> None:
    lines = (failed("Disk encryption is off.", "Turn on FileVault."), failed("x", REPORT), failed("y", REPORT))
    status, _, body = told(Reason.DEVICE_NOT_COMPLIANT, rule="staff", failed=lines, **LINKS)
    assert status == 403
    assert [one["remedy"] for one in body["failed"]] == ["Turn on FileVault.", REPORT, REPORT]
    assert (body["portal_url"], body["prove_url"]) == (LINKS["portal_url"], LINKS["prove_url"])
    text, _ = shown(Reason.DEVICE_NOT_COMPLIANT, rule="staff", failed=lines, **LINKS)
    assert text.count("Turn on FileVault.") == 1
    assert text.count(REPORT) == 1, "what several have in common is said once"
    assert "of baseline <code>posture</code>" in text
    assert buttons(text) == [
        ("Check again", "/x?y=1"),
        ("Prove this device", LINKS["prove_url"]),
        ("Your devices", LINKS["portal_url"]),
    ]


def test_a_device_that_is_not_known_is_enrolled() -> None:
    lines = (failed("a", ENROL, unknown=True), failed("b", ENROL, unknown=True))
    text, _ = shown(Reason.DEVICE_REQUIRED, rule="staff", failed=lines, **LINKS)
    assert ENROL not in text, "the page says so itself"
    assert MEANING[Reason.DEVICE_REQUIRED].remedy in text
    assert [label for label, _ in buttons(text)] == ["Enrol this device", "Prove this device", "Check again"]


def test_a_device_that_must_be_shown() -> None:
    text, _ = shown(Reason.DEVICE_PROOF_REQUIRED, login_url=LINKS["prove_url"])
    assert buttons(text)[0] == ("Prove this device", LINKS["prove_url"])
    assert buttons(text)[-1] == ("Your devices", "/.ostiary/#devices")


@pytest.mark.parametrize("reason", [Reason.DEVICE_REQUIRED, Reason.DEVICE_NOT_COMPLIANT, Reason.STEP_UP_REQUIRED])
def test_the_routes_own_words_are_for_those_who_may_not_come_in(reason: Reason) -> None:
    words = "Ask the platform team."
    assert words not in shown(reason, route_text=words)[0]
    assert told(reason, route_text=words)[2]["remedy"] == MEANING[reason].remedy
    assert words in shown(Reason.NO_RULE_ALLOWS, route_text=words)[0]
    assert "Use another account" not in shown(Reason.DEVICE_NOT_COMPLIANT)[0]


@pytest.mark.parametrize("link", ["javascript:alert(1)", "//evil.test", "data:text/html,x", ""])
def test_a_link_to_the_login_host_is_one_or_left_out(link: str) -> None:
    for reason in (Reason.DEVICE_REQUIRED, Reason.DEVICE_NOT_COMPLIANT, Reason.DEVICE_PROOF_REQUIRED):
        text, _ = shown(reason, portal_url=link, prove_url=link)
        assert all(href.startswith("/") and not href.startswith("//") for _, href in buttons(text))


# --- tokens and attempts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [Reason.TOKEN_INVALID, Reason.TOKEN_REPLAYED])
def test_a_token_that_is_not_accepted(reason: Reason) -> None:
    status, headers, body = told(reason)
    assert status == 401
    assert bearer(headers) == [f'Bearer error="invalid_token", error_description="{MEANING[reason].title}"']
    assert "step_up" not in body


@pytest.mark.parametrize(("after", "header"), [(None, "60"), (0.2, "1"), (90.5, "91"), (-5.0, "1")])
def test_too_many_attempts(after: float | None, header: str) -> None:
    status, headers, _ = told(Reason.TOO_MANY_ATTEMPTS, retry_after=after)
    assert status == 429
    assert dict(headers)["Retry-After"] == header
    text, _ = shown(Reason.TOO_MANY_ATTEMPTS, detail="Try again in 12 minutes.")
    assert "Try again in 12 minutes." in text
