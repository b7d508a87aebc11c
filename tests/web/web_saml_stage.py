"""The stage of the login flow with SAML providers, and browsers that keep SameSite=Lax cookies from foreign forms."""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from lxml import etree
from saml_idp import IDP, NOW, SLO, SSO, STATUS, Idp, instant, posted
from saml_signer import RSA_SHA256, SAML, SAMLP, Element, certificate_pem, pem_of, raw_signature, rsa_key, sign
from web_stage import LOGIN, NAVIGATE, Answer, Browser, Stage, login_url, staged

from proxy.authn.saml import Entity, Keys, SamlProvider
from proxy.settings import schema
from proxy.web.endpoints import SAML_ACS, SAML_FINISH, SAML_METADATA, SAML_SLO, SESSION_COOKIE

FOREIGN = {**NAVIGATE, "Origin": "https://idp.partner.example", "Sec-Fetch-Site": "cross-site"}
OWN = {**NAVIGATE, "Origin": LOGIN, "Sec-Fetch-Site": "same-origin"}
_ids = itertools.count(1)


def at(path: str, provider: str = "partner") -> str:
    return LOGIN + path.format(provider=provider)


def acs(provider: str = "partner") -> str:
    return at(SAML_ACS, provider)


def finish(provider: str = "partner") -> str:
    return at(SAML_FINISH, provider)


def slo(provider: str = "partner") -> str:
    return at(SAML_SLO, provider)


@dataclass
class Request:
    """An AuthnRequest as the provider gets it."""

    id: str
    relay_state: str
    xml: Element


class Partners:
    """The stage, with the providers `partner` and `rival`, whose keys differ."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage = stage
        self.folder = folder
        self.idps = {"partner": Idp(), "rival": Idp(rsa_key("rival"))}
        stage.clock.ahead = NOW - time.time()

    def add(self, name: str = "partner", *, services: str | None = None, **changes: Any) -> None:
        """Configure a provider; `changes` are settings of it."""
        file = self.folder / f"{name}.xml"
        file.write_bytes(self.idps[name].metadata(entity_id=self.entity_id(name), services=services))
        usual = {"name": name, "metadata": str(file), "domains": (f"{name}.example",), "title": f"{name.title()} Ltd"}
        settings = schema.SamlProvider(**{**usual, **changes})
        entity = Entity(entity_id=at(SAML_METADATA, name), acs_url=acs(name), slo_url=slo(name))
        keys = Keys(key=pem_of(rsa_key("sp")), certificate=certificate_pem(rsa_key("sp")))
        stage = self.stage
        stage.saml[name] = SamlProvider(settings, entity, keys, stage.http, stage.clock)
        configuration = stage.settings.configuration
        others = tuple(one for one in configuration.login.providers if isinstance(one, schema.SamlProvider))
        others = tuple(one for one in others if one.name != name)
        login = msgspec.structs.replace(configuration.login, providers=(*others, settings))
        stage.settings = msgspec.structs.replace(
            stage.settings, configuration=msgspec.structs.replace(configuration, login=login)
        )

    def entity_id(self, name: str) -> str:
        return IDP if name == "partner" else f"https://idp.{name}.example/metadata"

    # --- what the provider does

    def response(self, request: Request | None, name: str = "partner", **told: Any) -> str:
        """Its answer to a request, or to none, as the browser posts it."""
        number = next(_ids)
        asked = request.id if request else None
        usual: dict[str, Any] = {
            "response_id": f"_r{number}",
            "assertion_id": f"_a{number}",
            "destination": acs(name),
            "recipient": acs(name),
            "audience": at(SAML_METADATA, name),
            "issuer": self.entity_id(name),
            "assertion_issuer": self.entity_id(name),
            "in_response_to": asked,
            "confirmed_for": asked,
        }
        return posted(self.idps[name].response(**{**usual, **told}))

    def logout_request(self, name_id: str = "alice@partner.example", *indexes: str, **told: Any) -> Element:
        """An unsigned LogoutRequest."""
        listed = "".join(f"<samlp:SessionIndex>{index}</samlp:SessionIndex>" for index in indexes)
        return self._logout("LogoutRequest", f"<saml:NameID>{name_id}</saml:NameID>{listed}", **told)

    def logout_response(self, to: str, status: str = "Success", **told: Any) -> Element:
        """An unsigned LogoutResponse."""
        code = f'<samlp:Status><samlp:StatusCode Value="{STATUS}{status}"/></samlp:Status>'
        return self._logout("LogoutResponse", code, f' InResponseTo="{to}"', **told)

    def _logout(self, kind: str, inside: str, attributes: str = "", *, issuer: str = IDP, to: str = "") -> Element:
        return etree.fromstring(
            f'<samlp:{kind} xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_l{next(_ids)}" Version="2.0" '
            f'IssueInstant="{instant(NOW)}" Destination="{to or slo()}"{attributes}>'
            f"<saml:Issuer>{issuer}</saml:Issuer>{inside}</samlp:{kind}>"
        )


def by_redirect(
    root: Element, parameter: str = "SAMLRequest", state: str = "", key: str = "idp", *, signed: bool = True
) -> str:
    """The query that carries a message."""
    engine = zlib.compressobj(wbits=-15)
    packed = base64.b64encode(engine.compress(etree.tostring(root)) + engine.flush()).decode()
    text = f"{parameter}={quote(packed, safe='')}" + (f"&RelayState={quote(state, safe='')}" if state else "")
    if not signed:
        return text
    text += f"&SigAlg={quote(RSA_SHA256, safe='')}"
    value = base64.b64encode(raw_signature(text.encode(), rsa_key(key), RSA_SHA256)).decode()
    return f"{text}&Signature={quote(value, safe='')}"


def by_post(root: Element, parameter: str = "SAMLRequest", state: str = "", *, signed: bool = True) -> dict[str, str]:
    """The form that carries a message."""
    if signed:
        sign(root, rsa_key("idp"))
    return {parameter: posted(root), "RelayState": state}


def inflated(location: str, parameter: str = "SAMLRequest") -> tuple[Element, str]:
    """A message of ours from the address that carries it, and its relay state."""
    query = parse_qs(urlsplit(location).query)
    data = zlib.decompress(base64.b64decode(query[parameter][0]), wbits=-15)
    return etree.fromstring(data), query.get("RelayState", [""])[0]


async def begun(browser: Browser, path: str = "/x", **more: str) -> Request:
    """Start a login and stand before the provider."""
    location = await browser.until(login_url(path, **{"provider": "partner"} | more), SSO)
    xml, relay_state = inflated(location)
    return Request(str(xml.get("ID")), relay_state, xml)


async def foreign_post(browser: Browser, url: str, fields: dict[str, str]) -> Answer:
    """A form of another site: it comes without our cookies, because all of them are SameSite=Lax."""
    jar, browser.jar = browser.jar, {}
    try:
        answer = await browser.fetch(url, "POST", dict(FOREIGN), data=fields)
        assert not any(browser.jar.values()), "the ACS gives nobody a cookie"
    finally:
        browser.jar = jar
    return answer


async def delivered(
    browser: Browser, response: str, relay_state: str | None = None, provider: str = "partner"
) -> Answer:
    """The provider's form is posted, and the browser goes on to `finish`, with its cookies; what that answers."""
    fields = {"SAMLResponse": response} | ({"RelayState": relay_state} if relay_state is not None else {})
    answer = await foreign_post(browser, acs(provider), fields)
    if answer.status == 303:
        return await browser.fetch(answer.location, headers=NAVIGATE)
    if answer.status == 200 and (found := re.search(r'name="result" value="([^"]+)"', answer.text)):
        return await browser.fetch(finish(provider), "POST", dict(OWN), data={"result": found[1]})
    return answer


async def logged_in(partners: Partners, browser: Browser, path: str = "/x", **told: Any) -> Answer:
    """A whole login; the page it ends on."""
    request = await begun(browser, path)
    answer = await delivered(browser, partners.response(request, **told), request.relay_state)
    onward = answer.onward()
    assert onward is not None, answer.text
    return await browser.open(onward[0])


def sessions_of(browser: Browser) -> set[str]:
    """The hosts on which this browser has a session."""
    return {host for host, cookies in browser.jar.items() if SESSION_COOKIE in cookies}


@contextlib.asynccontextmanager
async def partnered(folder: Path, **changes: Any) -> AsyncIterator[Partners]:
    """A stage on which `partner` is the only provider."""
    async with staged("dead") as stage:
        partners = Partners(stage, folder)
        partners.add(**changes)
        yield partners


__all__ = ["LOGIN", "NOW", "SLO", "SSO"]
