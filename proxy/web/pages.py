"""Our HTML: templates compiled once, one style sheet and one script inlined in each, and the policy for them.

Every value is escaped by Jinja; the only unescaped text is our own style and script, read here. The Content-Security-
Policy carries their hashes, so nothing a person, a provider or an app writes can run or restyle a page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from proxy.model.report import AGENT_PORT
from proxy.web.endpoints import ICON

Header = tuple[bytes, bytes]


def _asset(name: str) -> str:
    return files("proxy.web").joinpath("templates", name).read_text("utf-8").strip()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


STYLE: Final = _asset("style.css")
ICON_SVG: Final = _asset("icon.svg").encode()
_SCRIPTS: Final[Mapping[str, str]] = {
    name: _asset(f"{name}.js")
    for name in ("page", "portal", "carry", "post", "credential", "interrupted", "resume", "prove")
}

_SHARED: Final[Mapping[str, str]] = {"second-factor": "credential", "factors": "credential"}
"""Pages whose script has another name than theirs."""


def _policy(script: str, form_action: str = "'self'", connect: str = "'none'") -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"connect-src {connect}",
            f"style-src {_hash(STYLE)}",
            f"script-src {_hash(script)}",
            "img-src 'self'",
            f"form-action {form_action}",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


_COMMON: Final[tuple[tuple[str, str], ...]] = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_HTML: Final[tuple[tuple[str, str], ...]] = (
    ("Content-Type", "text/html; charset=utf-8"),
    *_COMMON,
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


def _encode(headers: tuple[tuple[str, str], ...]) -> tuple[Header, ...]:
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in headers)


JSON_HEADERS: Final = _encode((("Content-Type", "application/json"), *_COMMON))
BARE_HEADERS: Final = _encode((*_COMMON[:2], ("Referrer-Policy", "no-referrer")))
"""For answers without a body: redirects (which may carry a ticket in their Location) and the like."""

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("proxy.web", "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    auto_reload=False,
)


def _compile(name: str) -> tuple[Template, tuple[Header, ...]]:
    script = _SCRIPTS.get(_SHARED.get(name, name), _SCRIPTS["page"])
    # S704: our own files, read above; nothing from outside is ever marked safe
    shared = {"style": Markup(STYLE), "script": Markup(script), "icon": ICON, "host": ""}  # noqa: S704 see line above
    template = _ENVIRONMENT.get_template(f"{name}.html", globals=shared)
    if name == "resume":  # its form is an app's, and browsers hold it to this list on the app's redirects as well
        return template, _encode((*_HTML, ("Content-Security-Policy", _policy(script, "'self' https:", "'self'"))))
    connect = f"'self' http://127.0.0.1:{AGENT_PORT}" if name == "prove" else "'none'"  # the agent on this very machine
    return template, _encode((*_HTML, ("Content-Security-Policy", _policy(script, connect=connect))))


_NAMES: Final = (
    "refused",
    "chooser",
    "portal",
    "ask",
    "carry",
    "post",
    "confirm",
    "second-factor",
    "factors",
    "factor-code",
    "recovery-codes",
    "interrupted",
    "resume",
    "prove",
    "device-code",
)
_PAGES: Final = {name: _compile(name) for name in _NAMES}


def page(name: str, values: Mapping[str, object]) -> tuple[tuple[Header, ...], bytes]:
    """The page `name` filled with `values`, as (headers, UTF-8 body). Raises `jinja2.UndefinedError` for a value that
    the template needs and did not get: a mistake here, found by the first test that opens the page."""
    template, headers = _PAGES[name]
    return headers, template.render(values).encode("utf-8", "replace")


def posting_to(origin: str) -> Header:
    """The policy for the page "post", whose form goes to another origin: one we are configured with, in ASCII."""
    # Browsers hold a form to this list on the redirects that follow as well, and a provider may have several hosts.
    return b"Content-Security-Policy", _policy(_SCRIPTS["post"], f"{origin} https:").encode("ascii")


def initial(label: str) -> str:
    """The letter on a person's or an app's tile."""
    return next((letter.upper() for letter in label if letter.isalnum()), "·")


def hue(label: str, taken: Collection[int] = ()) -> int:
    """Which of the eight tile colours a name gets: always the same one, or the next when a neighbour has taken it."""
    first = hashlib.sha256(label.encode("utf-8", "replace")).digest()[0]
    return next((step % 8 for step in range(first, first + 8) if step % 8 not in taken), first % 8)
