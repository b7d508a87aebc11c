"""What the demo prints: where things are, who there is, what to try."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from proxy.demo.idp.people import people
from proxy.demo.layout import Layout


def welcome(layout: Layout) -> str:
    """Everything somebody needs who has just started the demo."""
    return "\n".join([*_where(layout), "", *_who(), "", *_what(layout), ""])


def _where(layout: Layout) -> list[str]:
    rows = [
        (layout.url("login") + "/", "the portal: your apps"),
        (layout.url("headers") + "/", "sample app: what an app receives"),
        (layout.url("live") + "/", "sample app: a WebSocket and server-sent events"),
        (layout.url("api") + "/orders", "sample app: a JSON API"),
        (layout.url("headers") + "/payroll", "… a part of it that asks for a second factor"),
        (layout.url("headers") + "/confidential", "… and one that asks for a device in good order"),
        (layout.issuer + "/", "the demo identity provider: who is logged in"),
        (layout.partner + "/", "a partner company's provider (SAML)"),
        (layout.admin + "/metrics", "metrics; also /healthz and /readyz"),
    ]
    return ["Ostiary runs. Ctrl-C ends everything.", "", *(f"  {url:<44} {text}" for url, text in rows)]


def _who() -> list[str]:
    head = "People (the login page lets you choose; there are no passwords, for it is development only):"
    return [head, *(f"  {person.sub:<6} {', '.join(person.groups):<26} {person.note}" for person in people().values())]


def _what(layout: Layout) -> list[str]:
    certs, trust = _short(layout.certs), _short(layout.trust)
    curl = f"curl --cacert {trust}"
    api = layout.url("api")
    config, run = _short(layout.config), _program()
    steps = [
        (
            f"Let your browser trust {trust} (it can vouch for names below localhost only), or accept its",
            "warning; then open the portal and log in as alice. Open every app.",
        ),
        ("Log in as bob in a private window and open “Live data”: the refusal names the rule and the fact.",),
        (f"Who am I?  {layout.url('headers')}/.ostiary/whoami",),
        (
            "Be a service, with a client certificate:",
            f"  {curl} --cert {certs}/billing.crt --key {certs}/billing.key {api}/orders",
            f'  {curl} --cert {certs}/billing.crt --key {certs}/billing.key {api}/orders -d \'{{"item": "ink"}}\'',
        ),
        (
            "… be one whose certificate was revoked, or one without any:",
            f"  {curl} --cert {certs}/retired.crt --key {certs}/retired.key {api}/orders",
            f"  {curl} {api}/orders",
        ),
        (
            "Be a CI job, with the token its CI system gives it:",
            f'  {curl} "{api}/upload" -d artefact -H "Authorization: Bearer '
            f'$(curl -s "{layout.ci}/token?audience={api}")"',
        ),
        (
            "Add a device: on the portal, “Add this device”, then with its code pretend to be a laptop",
            "(with --neglected one whose disk is not encrypted), and open the part that asks for one:",
            f"  {sys.executable} -m proxy.demo.laptop {layout.url('login')} --ca {trust} --code CODE",
        ),
        (
            "Revoke billing's certificate; the proxy notices by itself:",
            f"  {run} certs revoke {certs}/billing.crt --dir {certs}",
        ),
        (
            "Keep “Live data” open and end the session from here, or at the identity provider:",
            f"  {run} sessions list --config {config}",
            f"  {run} sessions revoke SID --config {config}",
        ),
        (
            f"Edit a file in {_short(layout.config.parent / 'routes')} and save: it holds at once.",
            "Make a mistake: the proxy says so and goes on as before, and this says where:",
            f"  {run} check {config}",
        ),
        (f"Read what was decided, and by which rule:  tail -f {_short(layout.home / 'var' / 'audit.jsonl')}",),
    ]
    lines = ["What to try:"]
    for number, (first, *rest) in enumerate(steps, 1):
        lines += [f"  {number}. {first}", *(f"     {line}" for line in rest)]
    return lines


def _program() -> str:
    """How to call `ostiary` here."""
    if shutil.which("ostiary"):
        return "ostiary"
    beside = Path(sys.executable).with_name("ostiary")
    return _short(beside) if beside.exists() else f"{sys.executable} -m proxy"


def _short(path: Path) -> str:
    """Relative to where the person is, when it is below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
