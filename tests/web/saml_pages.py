"""Our pages about SAML logins, filled in, to be looked at."""

from __future__ import annotations

from typing import Any

# name of the picture → (name of the page, values)
SAML: dict[str, tuple[str, dict[str, Any]]] = {
    "saml-confirm": (
        "confirm",
        {
            "title": "Log in here?",
            "text": "You come from your identity provider, without having asked for it here. "
            "Go on only if this is you.",
            "detail": "You are logged in as Ada Lovelace (ada.lovelace@example.org) now; that session would end.",
            "place": "Partner Ltd",
            "identity": "Erin Eng (erin@partner.example)",
            "initial": "E",
            "post": "/.ostiary/saml/partner/finish",
            "result": "sealed",
        },
    ),
}
