"""Pictures of every page of ours, light and dark, phone and desktop, to be looked at.

    python tests/web/screenshots.py [NAME …]

writes to tests/browser/screenshots/web/ (git-ignored) and exits 1 when a page overflows sideways, breaks its own
Content-Security-Policy or logs an error.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from playwright.async_api import Browser

sys.path.insert(0, str(Path(__file__).parents[2]))

sys.path.insert(0, str(Path(__file__).parent))

from saml_pages import SAML
from strength_pages import STRENGTH

from proxy.model.reasons import Reason
from proxy.model.verdict import Failed
from proxy.web.pages import ICON_SVG, hue, initial, page
from proxy.web.refusals import Act, Refusal, render

OUT = Path(__file__).parents[1] / "browser" / "screenshots" / "web"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SIZES = {"phone": (390, 844), "tiny": (320, 640), "desktop": (1280, 800)}
HOST = "grafana.apps.localhost"
ADA = "Ada Lovelace (ada.lovelace@example.org)"

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def refused(reason: Reason, **more: object) -> Answer:
    values = {"reference": "01J9-7QXM-4T2C", "host": HOST, "target": "/d/abc?orgId=1"} | more
    return render(Refusal(reason, **values), want="html")


def shown(name: str, **values: object) -> Answer:
    headers, body = page(name, {"host": "login.apps.localhost", **values})
    return 200, list(headers), body


def apps(count: int) -> list[dict[str, object]]:
    titles = [
        ("Grafana", "Dashboards and alerts for everything that runs."),
        ("Wiki", "How we work, and why."),
        ("Billing", ""),
        ("Deploy board", "What is going out, and when."),
        ("Künstlerverwaltung für außergewöhnlich lange Anwendungsnamen", "A description that is long enough to wrap."),
        ("Jaeger", "Traces."),
        ("Payroll", "Salaries, holidays and expenses."),
        ("Status", "Is it up?"),
        ("Vault", "Secrets for people."),
    ]
    return [
        {
            "href": f"https://app{n}.apps.localhost:8443/",
            "title": title,
            "description": text,
            "address": f"app{n}.apps.localhost",
            "initial": initial(title),
            "hue": hue(title),
        }
        for n, (title, text) in enumerate(titles[:count])
    ]


def device(name: str, state: str, *troubles: str, last: str = "2026-11-22 08:15 UTC") -> dict[str, object]:
    here = name == "ada-laptop"
    row = {"id": name, "name": name, "system": "Linux", "state": state, "here": here, "attested": here, "last": last}
    return {**row, "last_iso": "2026-11-22T08:15:00Z", "troubles": troubles}


DEVICES = {
    "own": [
        device("ada-laptop", "approved"),
        device("ada-desktop", "approved", "The disk is not encrypted.", "The firewall is off."),
        device("ada-new", "waiting", "It waits until an administrator approves it.", last=""),
        device("ada-old", "revoked"),
    ],
    "confirm": "",
    "add": "/x",
    "remove": "/x",
}


def prove(**more: object) -> Answer:
    values = {"app": "Payroll", "again": False, "agent": "", "aud": "", "challenge": "", "post": "", "next": "/"}
    asked = {"retry": "/x", "skip": "", "own": ["ada-laptop"], "wanted": "", "enrolment": True, "identity": ADA}
    return shown("prove", title="Show which device this is", **{**values, **asked, **more})


def portal(count: int) -> Answer:
    return shown(
        "portal",
        title="Your apps",
        apps=apps(count),
        identity="Ada Lovelace",
        initial="A",
        account="ada.lovelace@example.org",
        provider="Corporate login",
        groups="engineering, on-call, sre",
        expires="2026-11-22 18:30 UTC",
        expires_iso="2026-11-22T18:30:00Z",
        sid="4f1c09ab",
        devices=DEVICES if count > 2 else None,
        second_factor={"href": "#", "has": True, "summary": "Blue key, Phone"} if count > 2 else None,
    )


def chooser(**more: object) -> Answer:
    ways = [
        {"href": "#", "title": title, "issuer": issuer, "initial": initial(title), "hue": hue(title)}
        for title, issuer in (("Corporate login", "idp.example.com"), ("Partners", "login.partner.example.net"))
    ]
    values = {"app": "Grafana", "by_mail": True, "fields": [("return", "/")], "email": "", "problem": ""} | more
    return shown("chooser", title="Log in", action="/.ostiary/login", ways=ways, **values)


def asked(**more: object) -> Answer:
    values = {"detail": "", "post": "", "post_text": "", "acts": [], "identity": "", "initial": ""} | more
    return shown("ask", **values)


FAILED = (
    Failed("sre-reads", "groups", "You are in none of the groups sre, admins."),
    Failed(
        "sre-reads", "hours", "It is Saturday 23:10 in Europe/Berlin; the rule holds Monday to Friday, 08:00–18:00."
    ),
    Failed("sre-reads", "auth_age", "When you last proved who you are.", unknown=True),
)
AGED = "(reported by the agent 3 min ago; {} is asked)."
POSTURE = (
    Failed(
        "posture",
        "device",
        "Disk encryption is off " + AGED.format("disk_encrypted: true"),
        remedy="Turn on FileVault: System Settings, Privacy & Security, FileVault. "
        "Then let the agent report it: ostiary device report.",
    ),
    Failed(
        "posture",
        "device",
        "The firewall is on (reported by the agent 2 h ago; at most 15 min old is asked).",
        unknown=True,
        remedy="Start the agent on this device, or let it report now: ostiary device report.",
    ),
    Failed(
        "posture",
        "device",
        "Nothing is known about the screen lock.",
        unknown=True,
        remedy="Start the agent on this device, or let it report now: ostiary device report.",
    ),
)
DEVICE_LINKS = {
    "portal_url": "https://login.apps.localhost:8443/#devices",
    "prove_url": "https://login.apps.localhost:8443/.ostiary/device/prove?return=https://grafana.apps.localhost:8443/",
}
PAGES: dict[str, Answer] = {
    "step-up": refused(
        Reason.STEP_UP_REQUIRED,
        rule="admin",
        failed=(
            Failed("strong", "mfa", "You logged in without a second factor.", remedy="Confirm with a second factor."),
        ),
        identity=ADA,
        mfa=True,
    ),
    "device-required": refused(
        Reason.DEVICE_REQUIRED,
        rule="staff",
        failed=tuple(
            Failed("posture", "device", said, unknown=True, remedy="Enrol this device from your apps page.")
            for said in ("It is not known whether this device is managed.", "Nothing is known about disk encryption.")
        ),
        identity=ADA,
        **DEVICE_LINKS,
    ),
    "device-not-compliant": refused(
        Reason.DEVICE_NOT_COMPLIANT, rule="staff", failed=POSTURE, identity=ADA, **DEVICE_LINKS
    ),
    "device-proof": refused(Reason.DEVICE_PROOF_REQUIRED, identity=ADA, **DEVICE_LINKS),
    "too-many-attempts": refused(Reason.TOO_MANY_ATTEMPTS, identity=ADA, detail="Try again in 12 minutes."),
    "token-invalid": refused(Reason.TOKEN_INVALID),
    "refused": refused(
        Reason.NO_RULE_ALLOWS,
        rule="sre-reads",
        failed=FAILED,
        identity=ADA,
        route_text="Grafana is for the people on call.\nAsk in #sre, somebody answers within the hour.",
        route_link="https://tickets.example.org/new",
    ),
    "denied": refused(
        Reason.DENIED_BY_RULE,
        rule="not-from-the-guest-network",
        failed=(Failed("not-from-the-guest-network", "networks", "Your address 10.9.3.4 is in 10.9.0.0/16."),),
        identity=ADA,
    ),
    "not-found": refused(Reason.NO_ROUTE),
    "expired": refused(Reason.SESSION_EXPIRED, login_url="/.ostiary/login?return=/"),
    "reauthenticate": refused(Reason.REAUTHENTICATION_REQUIRED, rule="payroll", identity=ADA, login_url="/x"),
    "upstream": refused(Reason.UPSTREAM_UNREACHABLE),
    "timeout": refused(Reason.UPSTREAM_TIMEOUT),
    "bad-request": refused(Reason.BAD_REQUEST, target=""),
    "certificate": refused(Reason.CERTIFICATE_EXPIRED),
    "provider-down": refused(
        Reason.PROVIDER_UNAVAILABLE,
        host="login.apps.localhost",
        detail="“Corporate login” cannot be reached. If you have an account elsewhere, try again and choose that.",
    ),
    "login-refused": refused(
        Reason.LOGIN_REFUSED, host="login.apps.localhost", detail="The provider said: the person cancelled"
    ),
    "chooser": chooser(),
    "chooser-problem": chooser(
        email="ada@elsewhere.example",
        problem="No identity provider is set up for elsewhere.example. Check the address, or choose one below.",
    ),
    "chooser-plain": chooser(by_mail=False, app=""),
    "portal": portal(9),
    "portal-few": portal(2),
    "portal-empty": portal(0),
    "logout": asked(
        title="Log out?",
        text="This ends your session in every app here, in this browser.",
        detail="Open connections of these apps are closed, so save your work first.",
        door="ajar",
        post="/.ostiary/logout",
        post_text="Log out",
        acts=[Act("/.ostiary/", "Stay logged in")],
        identity=ADA,
        initial="A",
    ),
    "logged-out": asked(
        title="You are logged out",
        text="Your session has ended here and at Corporate login.",
        door="shut",
        acts=[Act("/.ostiary/login", "Log in again")],
    ),
    "prove": prove(),
    "prove-again": prove(again=True, wanted="ada-laptop"),
    "prove-none": prove(again=True, own=[], skip="/x"),
    "device-code": shown(
        "device-code",
        title="Add this device",
        command="ostiary device enrol https://login.apps.localhost:8443",
        code="7Q2M-0K4T-ZB9X",
        service=("ostiary device service > ~/.config/systemd/user/ostiary-device.service", "systemctl --user enable"),
        once="ostiary device report --watch",
        approval=True,
    ),
    "carry": shown(
        "carry", title="You are logged in", text="Taking you to Grafana.", next="#here", step="", attempt=""
    ),
}


PAGES |= {picture: shown(name, **values) for picture, (name, values) in (STRENGTH | SAML).items()}


async def serve() -> tuple[web.AppRunner, str]:
    """Every page under its name, with the headers it really has."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/.ostiary/icon.svg":
            return web.Response(body=ICON_SVG, content_type="image/svg+xml")
        status, headers, body = PAGES[request.match_info["name"]]
        fields = {name.decode(): value.decode() for name, value in headers if name != b"Content-Length"}
        return web.Response(status=status, headers=fields, body=body)

    application = web.Application()
    application.router.add_get("/.ostiary/icon.svg", answer)
    application.router.add_get("/{name}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://localhost:{runner.addresses[0][1]}"


async def shoot(browser: Browser, base: str, name: str) -> list[str]:
    """All pictures of one page; what is wrong with it."""
    problems: list[str] = []
    for scheme in ("light", "dark"):
        for size, (width, height) in SIZES.items():
            context = await browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            tab = await context.new_page()
            tab.on("pageerror", lambda error: problems.append(f"{name}: {error}"))
            tab.on(
                "console",
                lambda message: (
                    problems.append(f"{name}: {message.text}")
                    if message.type in ("error", "warning") and "Failed to load resource" not in message.text
                    else None
                ),
            )
            await tab.goto(f"{base}/{name}")
            overflow = await tab.evaluate("document.documentElement.scrollWidth - innerWidth")
            if overflow > 0:
                problems.append(f"{name} {size}: {overflow}px too wide")
            if size != "tiny":
                await tab.screenshot(path=OUT / f"{name}-{size}-{scheme}.png", full_page=True)
            await context.close()
    return problems


async def main(names: list[str]) -> int:
    """Exit status: 0 when nothing is wrong."""
    OUT.mkdir(parents=True, exist_ok=True)
    runner, base = await serve()
    from playwright.async_api import async_playwright  # not at the top: the browser group may not be installed

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        problems = [problem for name in names for problem in await shoot(browser, base, name)]
        await browser.close()
    await runner.cleanup()
    sys.stdout.write("".join(f"{problem}\n" for problem in problems) + f"pictures in {OUT}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:] or list(PAGES))))
