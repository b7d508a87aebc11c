"""The whole conversation with a provider that passed the OpenID Foundation's certification, through its real pages."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from real_provider import GOODBYE, REDIRECT, Browser, RealProvider

from proxy.authn.callback import Callback, parse_callback
from proxy.authn.errors import LoginRefused
from proxy.authn.oidc import LoginResult, OidcProvider
from proxy.settings import schema

pytestmark = pytest.mark.provider
SECRETS = {"confidential": b"secret with odd: +characters/", "posting": b"another", "public": None}


@pytest.fixture
async def idp() -> AsyncIterator[RealProvider]:
    async with RealProvider() as provider:
        yield provider


@pytest.fixture
async def browser(idp: RealProvider) -> AsyncIterator[Browser]:
    async with Browser(idp.issuer) as one:
        yield one


@pytest.fixture
async def client(idp: RealProvider) -> AsyncIterator[Callable[[str], OidcProvider]]:
    async with aiohttp.ClientSession() as http:

        def make(client_id: str = "confidential") -> OidcProvider:
            settings = schema.Provider(name="corp", issuer=idp.issuer, client_id=client_id)
            return OidcProvider(settings, SECRETS[client_id], http, time.time)

        yield make


class Login:
    """One attempt, with the secrets a login page would keep in its cookie."""

    def __init__(self, client: OidcProvider, browser: Browser) -> None:
        self.client, self.browser = client, browser
        self.state, self.nonce, self.verifier = (secrets.token_urlsafe(32) for _ in range(3))

    async def come_back(
        self, *, abort: bool = False, max_age: int | None = None, prompt: str | None = None
    ) -> Callback:
        url = await self.client.authorization_url(
            redirect_uri=REDIRECT,
            state=self.state,
            nonce=self.nonce,
            code_challenge=create_s256_code_challenge(self.verifier),
            max_age=max_age,
            prompt=prompt,
        )
        left_for = await self.browser.visit(url, abort=abort)
        assert left_for.startswith(REDIRECT + "?")
        said = parse_callback(urlsplit(left_for).query)
        assert said.state == self.state
        return said

    async def exchange(
        self, said: Callback, *, max_age: int | None = None, nonce: str = "", verifier: str = ""
    ) -> LoginResult:
        return await self.client.exchange(
            code=said.code,
            code_verifier=verifier or self.verifier,
            nonce=nonce or self.nonce,
            redirect_uri=REDIRECT,
            iss=said.iss,
            max_age=max_age,
        )

    async def whole(self) -> LoginResult:
        return await self.exchange(await self.come_back())


@pytest.mark.parametrize("client_id", SECRETS)
async def test_log_in(
    client: Callable[[str], OidcProvider], browser: Browser, idp: RealProvider, client_id: str
) -> None:
    login = Login(client(client_id), browser)
    said = await login.come_back()
    assert said.iss == idp.issuer
    result = await login.exchange(said)
    assert result.identity.subject == "ann"
    assert result.identity.email == "ann@example.com"
    assert result.identity.groups == {"sre", "staff"}
    assert result.identity.unknown == frozenset()
    assert result.provider_sid
    assert result.tokens.refresh_token


async def test_a_code_works_once_and_only_with_its_verifier_and_nonce(
    client: Callable[..., OidcProvider], browser: Browser
) -> None:
    login = Login(client(), browser)
    said = await login.come_back()
    await login.exchange(said)
    with pytest.raises(LoginRefused, match="invalid_grant"):
        await login.exchange(said)
    with pytest.raises(LoginRefused, match="invalid_grant"):
        await login.exchange(await login.come_back(), verifier="x" * 43)
    with pytest.raises(LoginRefused, match="nonce"):
        await login.exchange(await login.come_back(), nonce="another")


async def test_somebody_refuses_to_log_in(client: Callable[..., OidcProvider], browser: Browser) -> None:
    said = await Login(client(), browser).come_back(abort=True)
    assert (said.code, said.error) == ("", "access_denied")


async def test_a_fresh_login_can_be_demanded(client: Callable[..., OidcProvider], browser: Browser) -> None:
    await Login(client(), browser).whole()
    again = Login(client(), browser)
    result = await again.exchange(await again.come_back(max_age=0, prompt="login"), max_age=0)
    assert result.identity.auth_time is not None
    assert abs(result.identity.auth_time - time.time()) < 60


async def test_renewal_rotates_and_reads_groups_again(
    client: Callable[..., OidcProvider], browser: Browser, idp: RealProvider
) -> None:
    provider = client()
    first = await Login(provider, browser).whole()
    await idp.set_groups("ann", ["staff"])

    renewed = await provider.refresh(first.tokens, first.identity)

    assert renewed.identity.groups == {"staff"}
    assert renewed.identity.auth_time == first.identity.auth_time
    assert renewed.tokens.refresh_token != first.tokens.refresh_token
    with pytest.raises(LoginRefused, match="invalid_grant"):
        await provider.refresh(first.tokens, first.identity)  # the old token: theft, as far as anybody can tell
    with pytest.raises(LoginRefused, match="invalid_grant"):
        await provider.refresh(renewed.tokens, renewed.identity)  # so the whole grant is gone


async def test_logging_out_at_the_provider_tells_us_by_the_back_channel(
    client: Callable[..., OidcProvider], browser: Browser, idp: RealProvider
) -> None:
    provider = client()
    first = await Login(provider, browser).whole()
    url = await provider.logout_url(id_token=first.tokens.id_token, post_logout_redirect_uri=GOODBYE, state="s-1")
    assert url is not None

    left_for = await browser.visit(url)

    assert left_for.startswith(GOODBYE + "?")
    assert parse_qs(urlsplit(left_for).query) == {"state": ["s-1"]}
    said = await provider.verify_logout_token(idp.logout_tokens.get_nowait())
    assert (said.sub, said.sid) == ("ann", first.provider_sid)
    with pytest.raises(LoginRefused, match="invalid_grant"):
        await provider.refresh(first.tokens, first.identity)
