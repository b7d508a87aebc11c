"""Our pages about second factors and interrupted forms, filled in, to be looked at."""

from __future__ import annotations

from typing import Any

from proxy.authn.factors.codes import address, qr

ADA = "Ada Lovelace (ada.lovelace@example.org)"
_WIDTH, _PATH = qr(address("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "Ostiary login.apps.localhost", "ada@example.org"))
_HELD = [
    {"id": "a", "kind": "Passkey", "name": "Blue key", "created": "2026-03-01", "used": "2026-11-20", "synced": False},
    {"id": "b", "kind": "Passkey", "name": "Phone", "created": "2026-04-01", "used": "", "synced": True},
    {
        "id": "c",
        "kind": "Authenticator app",
        "name": "Old tablet",
        "created": "2026-05-09",
        "used": "",
        "synced": False,
    },
]


def _asked(**more: object) -> dict[str, object]:
    values = {"title": "Please confirm that it is you", "app": "Payroll", "action": "/x", "setup": "/x", "known": True}
    offered = {"options": "{}", "sealed": "s", "codes": True, "recovery": True, "tab": "t", "problem": ""}
    return {**values, **offered, "identity": ADA, "initial": "A", **more}


def _own(**more: object) -> dict[str, object]:
    values = {"title": "Your second factor", "problem": "", "hurdle": "", "known": _HELD, "action": "/x"}
    offered = {"options": "{}", "sealed": "s", "passkeys": True, "codes": True, "add_code": "/x", "recovery": 7}
    return {**values, **offered, "onward": "/", "app": "", **more}


# name of the picture → (name of the page, values)
STRENGTH: dict[str, tuple[str, dict[str, Any]]] = {
    "second-factor": ("second-factor", _asked()),
    "second-factor-code": (
        "second-factor",
        _asked(options="", problem="That code was not right, or was used already. Type the one your app shows now."),
    ),
    "second-factor-none": ("second-factor", _asked(title="A second factor is needed here", known=False)),
    "factors": ("factors", _own()),
    "factors-none": ("factors", _own(known=[], recovery=0, app="Payroll")),
    "factors-hurdle": ("factors", _own(hurdle="/x")),
    "factor-code": (
        "factor-code",
        {
            "title": "Add an authenticator app",
            "problem": "",
            "action": "/x",
            "back": "/x",
            "secret": "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP",
            "sealed": "s",
            "width": _WIDTH,
            "path": _PATH,
        },
    ),
    "recovery-codes": (
        "recovery-codes",
        {
            "title": "Your recovery codes",
            "codes": [f"k7qd-2mzp-x4rt-9wh{n}" for n in "abcdefghij"],
            "back": "/x",
            "onward": "/x",
            "app": "Payroll",
        },
    ),
    "interrupted": (
        "interrupted",
        {"title": "Please log in to send your form", "id": "i", "sealed": "s", "next": "#", "challenge": "#"},
    ),
    "interrupted-not-kept": (
        "interrupted",
        {"title": "Please log in first", "id": "", "sealed": "", "next": "#", "challenge": "#"},
    ),
    "resume": ("resume", {"title": "Sending your form", "id": ""}),
}
