"""What the stories about strength share: people whose second factor is ours, an app or a passkey in their hands."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pyotp
from web_stage import LOGIN, NAVIGATE, Answer, Browser, Stage

from proxy.authn.oidc import OidcProvider
from proxy.settings import schema
from proxy.web.endpoints import FACTORS

sys.path.append(str(Path(__file__).parents[1] / "authn"))
from soft_passkey import SoftPasskey  # it lives with the tests of passkeys

TWO = "urn:ostiary:demo:two-factors"
_FORM = re.compile(r'<form[^>]*action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def provided(stage: Stage, name: str = "corp", **changes: object) -> None:
    """From now on this provider is configured otherwise."""
    login = stage.settings.configuration.login
    providers = tuple(
        msgspec.structs.replace(each, **changes) if each.name == name else each for each in login.providers
    )
    login = msgspec.structs.replace(login, providers=providers)
    configuration = msgspec.structs.replace(stage.settings.configuration, login=login)
    stage.settings = msgspec.structs.replace(stage.settings, configuration=configuration)
    for each in providers:
        assert isinstance(each, schema.Provider)
        stage.providers[each.name] = OidcProvider(each, b"secret", stage.http, stage.clock)


def own_factors(stage: Stage) -> None:
    """The provider has no second factor: we ask for ours."""
    provided(stage, step_up="own")


def two_by_acr(stage: Stage) -> None:
    """The provider can be asked for two factors."""
    provided(stage, mfa=schema.Mfa(acr=(TWO,)))


def forms(page: Answer) -> list[tuple[str, dict[str, str]]]:
    """The forms of a page: where to, and their hidden fields."""
    base = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    return [
        (base + html.unescape(action), {name: html.unescape(value) for name, value in _FIELD.findall(inside)})
        for action, inside in _FORM.findall(page.text)
    ]


def form(page: Answer, **having: str) -> tuple[str, dict[str, str]]:
    """The one form whose hidden fields say this."""
    found = [each for each in forms(page) if having.items() <= each[1].items()]
    assert len(found) == 1, page.text
    return found[0]


async def enrol_app(browser: Browser) -> pyotp.TOTP:
    """Enrol an authenticator app, as somebody who has just logged in; the app."""
    page = await browser.fetch(f"{LOGIN}{FACTORS}?add=code", headers=dict(NAVIGATE))
    key = re.search(r'id="key">([A-Z2-7 ]+)<', page.text)
    assert key, page.text
    app = pyotp.TOTP(key[1].replace(" ", ""))
    where, fields = form(page, do="code")
    answer = await browser.post(where, fields | {"code": app.at(browser.stage.clock()), "name": "Phone"})
    assert answer.status in (200, 303), answer.text
    return app


async def enrol_passkey(browser: Browser, **how: bool) -> SoftPasskey:
    """Enrol a passkey, as somebody who has just logged in; the passkey."""
    page = await browser.fetch(LOGIN + FACTORS, headers=dict(NAVIGATE))
    where, fields = form(page, do="passkey")
    key = SoftPasskey(**how)
    answer = await browser.post(where, fields | {"answer": key.create(options(page), LOGIN), "name": "Key"})
    assert answer.status in (200, 303), answer.text
    return key


def options(page: Answer) -> dict[str, object]:
    """What the page's script hands to the browser's WebAuthn call."""
    found = re.search(r'data-options="([^"]+)"', page.text)
    assert found, page.text
    said: dict[str, object] = msgspec.json.decode(html.unescape(found[1]))
    return said


def recovery_codes(page: Answer) -> list[str]:
    """The codes on the page that shows them once."""
    return re.findall(r"<li>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</li>", page.text)
