"""The honest conversation with a provider: what we send, what we keep, how we renew and log out."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from lying_provider import NONCE, NOW, LyingProvider
from test_oidc_lies import login

from proxy.authn.errors import LoginRefused, ProviderMisconfigured, ProviderUnavailable
from proxy.authn.token_endpoint import Tokens


async def test_the_browser_is_sent_with_pkce_state_and_nonce(client: Any, idp: LyingProvider) -> None:
    url = await client(authorization_params={"audience": "x y"}).authorization_url(
        redirect_uri="https://login.example/cb?p=1",
        state="state-1",
        nonce="nonce-1",
        code_challenge="challenge-1",
        max_age=0,
        login_hint="ann@example.com",
    )
    assert url.startswith(f"{idp.issuer}/authorize?")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": ["ostiary"],
        "redirect_uri": ["https://login.example/cb?p=1"],
        "scope": ["openid email profile groups"],
        "state": ["state-1"],
        "nonce": ["nonce-1"],
        "code_challenge": ["challenge-1"],
        "code_challenge_method": ["S256"],
        "max_age": ["0"],
        "login_hint": ["ann@example.com"],
        "audience": ["x y"],
    }


async def test_default_scopes_the_provider_does_not_know_are_left_out(client: Any, idp: LyingProvider) -> None:
    idp.lie = {"discovery": {"scopes_supported": ["openid", "email"]}}
    asked: dict[str, Any] = {"redirect_uri": "r", "state": "s", "nonce": "n", "code_challenge": "c"}
    assert "scope=openid+email&" in await client().authorization_url(**asked)
    written = client(scopes=("openid", "custom"))
    assert "scope=openid+custom&" in await written.authorization_url(**asked)


async def test_a_login_gives_identity_tokens_and_the_provider_session(client: Any, idp: LyingProvider) -> None:
    result = await login(client(), idp)
    identity = result.identity
    assert (identity.kind, identity.subject, identity.email, identity.name, identity.session) == (
        "person",
        "u-1",
        "ann@example.com",
        "Ann",
        "",
    )
    assert identity.groups == {"sre", "staff"}
    assert identity.unknown == frozenset()
    assert identity.auth_time == NOW - 10
    assert identity.claims == {
        "sub": "u-1",
        "name": "Ann",
        "groups": ["sre", "staff"],
        "email": "ann@example.com",
        "email_verified": True,
    }
    assert (result.provider_sid, result.expires_in) == ("provider-session-1", 300.0)
    assert Tokens.from_bytes(result.tokens.to_bytes()) == result.tokens
    assert "at-1" not in repr(result)
    assert result.tokens.id_token not in repr(result)
    assert NONCE not in repr(result)

    [(_, form, authorization)] = [request for request in idp.requests if request[0] == "/token"]
    assert form == {
        "grant_type": "authorization_code",
        "code": "code-1",
        "redirect_uri": "https://login.example/cb",
        "code_verifier": "v" * 43,
    }
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"ostiary:s3cret+with%2Fodd%2Bcharacters%3A"
    assert idp.asked("/userinfo") == 0


async def test_client_secret_post_when_the_provider_wants_that(client: Any, idp: LyingProvider) -> None:
    idp.lie = {"discovery": {"token_endpoint_auth_methods_supported": ["client_secret_post"]}}
    await login(client(secret=b"s3cret &"), idp)
    [(_, form, authorization)] = [request for request in idp.requests if request[0] == "/token"]
    assert (form["client_id"], form["client_secret"], authorization) == ("ostiary", "s3cret &", "")


async def test_a_public_client_names_itself_and_proves_itself_by_pkce_alone(client: Any, idp: LyingProvider) -> None:
    await login(client(secret=None), idp)
    [(_, form, authorization)] = [request for request in idp.requests if request[0] == "/token"]
    assert (form["client_id"], form["code_verifier"], authorization) == ("ostiary", "v" * 43, "")
    assert "client_secret" not in form


async def test_userinfo_completes_but_never_overrides(client: Any, idp: LyingProvider) -> None:
    idp.lie = {
        "claims": {"groups": None},
        "userinfo": {"groups": ["ops"], "email": "boss@example.com", "email_verified": True, "auth_time": 1},
    }
    identity = (await login(client(), idp)).identity
    assert identity.groups == {"ops"}
    assert identity.email == "ann@example.com"
    assert identity.auth_time == NOW - 10
    [(_, _, authorization)] = [request for request in idp.requests if request[0] == "/userinfo"]
    assert authorization == "Bearer at-1"


async def test_a_verified_flag_does_not_vouch_for_an_address_from_elsewhere(client: Any, idp: LyingProvider) -> None:
    idp.lie = {"claims": {"email": None}, "userinfo": {"email": "boss@example.com"}}
    assert (await login(client(), idp)).identity.email == ""


async def test_group_overage_is_unknown_and_said_aloud(
    client: Any, idp: LyingProvider, caplog: pytest.LogCaptureFixture
) -> None:
    idp.lie = {"claims": {"groups": None, "_claim_names": {"groups": "src1"}}}
    identity = (await login(client(), idp)).identity
    assert identity.groups == frozenset()
    assert identity.unknown == {"groups"}
    assert "group overage" in caplog.text


# --- renewal


async def test_renewal_rotates_tokens_and_reads_groups_again(client: Any, idp: LyingProvider) -> None:
    provider = client()
    first = await login(provider, idp)
    idp.lie = {"claims": {"groups": ["staff"], "nonce": None, "auth_time": "now", "acr": "higher"}}

    renewed = await provider.refresh(first.tokens, msgspec.structs.replace(first.identity, session="sid-1"))

    assert idp.requests[-1][1] == {"grant_type": "refresh_token", "refresh_token": "rt-1"}
    assert renewed.tokens.refresh_token == "rt-2"
    assert renewed.identity.groups == {"staff"}
    assert renewed.identity.session == "sid-1"
    assert renewed.identity.auth_time == NOW - 10, "renewing is not authenticating"
    assert renewed.identity.acr == ""


async def test_a_provider_that_does_not_rotate_keeps_its_token(client: Any, idp: LyingProvider) -> None:
    provider = client()
    first = await login(provider, idp)
    idp.lie = {"token_answer": {"refresh_token": None}}
    assert (await provider.refresh(first.tokens, first.identity)).tokens.refresh_token == "rt-1"


async def test_renewal_without_an_id_token_asks_userinfo(client: Any, idp: LyingProvider) -> None:
    provider = client()
    first = await login(provider, idp)
    idp.lie = {"token_answer": {"id_token": None}, "userinfo": {"groups": ["fewer"]}}
    renewed = await provider.refresh(first.tokens, first.identity)
    assert renewed.identity.groups == {"fewer"}
    assert renewed.identity.email == "ann@example.com"
    assert renewed.tokens.id_token == first.tokens.id_token, "kept: logging out needs it"

    idp.lie["userinfo"] = {"sub": "u-2"}
    with pytest.raises(LoginRefused, match="somebody else"):
        await provider.refresh(first.tokens, first.identity)


@pytest.mark.parametrize(
    ("lie", "error"),
    [
        ({"claims": {"sub": "u-2"}}, LoginRefused),
        ({"claims": {"nonce": "other"}}, LoginRefused),
        ({"claims": {"aud": "other"}}, LoginRefused),
        ({"signing": "rogue-key"}, LoginRefused),
        ({"token_answer": {"status": 400, "replace": True, "error": "invalid_grant"}}, LoginRefused),
        ({"token_answer": {"status": 401, "replace": True, "error": "invalid_client"}}, ProviderUnavailable),
        ({"token_answer": {"status": 500}}, ProviderUnavailable),
        ({"token_answer": {"status": 503}}, ProviderUnavailable),
        ({"header": {"kid": "brand-new"}}, ProviderUnavailable),
        ({"claims": {"groups": None}, "userinfo": {"status": 500}}, ProviderUnavailable),
    ],
    ids=str,
)
async def test_what_ends_a_session_and_what_does_not(
    client: Any, idp: LyingProvider, lie: dict[str, Any], error: type[Exception]
) -> None:
    provider = client()
    first = await login(provider, idp)
    idp.lie = lie
    with pytest.raises(error):
        await provider.refresh(first.tokens, first.identity)


async def test_without_a_refresh_token_nothing_is_asked(client: Any, idp: LyingProvider) -> None:
    idp.lie = {"token_answer": {"refresh_token": None}}
    provider = client()
    first = await login(provider, idp)
    asked = len(idp.requests)
    again = await provider.refresh(first.tokens, first.identity)
    assert (again.identity, again.tokens, len(idp.requests)) == (first.identity, first.tokens, asked)


# --- logout


async def test_the_logout_address_keeps_the_providers_query(client: Any, idp: LyingProvider) -> None:
    url = await client().logout_url(id_token="idt", post_logout_redirect_uri="https://login.example/bye", state="s")
    assert parse_qs(urlsplit(url).query) == {
        "tenant": ["1"],
        "client_id": ["ostiary"],
        "id_token_hint": ["idt"],
        "post_logout_redirect_uri": ["https://login.example/bye"],
        "state": ["s"],
    }


async def test_no_logout_address_is_no_error(client: Any, idp: LyingProvider) -> None:
    asked = {"id_token": "", "post_logout_redirect_uri": "r", "state": "s"}
    idp.lie = {"discovery": {"end_session_endpoint": None}}
    assert await client().logout_url(**asked) is None
    idp.lie = {"discovery": {"status": 500}}
    assert await client().logout_url(**asked) is None


async def test_the_logout_token_says_whose_session_and_how_long_to_remember_it(client: Any, idp: LyingProvider) -> None:
    said = await client().verify_logout_token(idp.logout_token({}))
    assert (said.sub, said.sid, said.jti) == ("u-1", "provider-session-1", "jti-1")
    assert said.expires == NOW + 120 + 60


# --- settings that can never work


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://idp.example.com"},
        {"issuer": "https://user@idp.example.com"},
        {"issuer": "https://idp.example.com?x=1"},
        {"issuer": "https://idp.example.com#x"},
        {"issuer": "idp.example.com"},
        {"issuer": "https://idp.example.com:99999"},
        {"algorithms": ("HS256",)},
        {"algorithms": ("none",)},
        {"algorithms": ()},
        {"scopes": ("email",)},
        {"authorization_params": {"state": "x"}},
        {"authorization_params": {"code_challenge_method": "plain"}},
    ],
    ids=str,
)
async def test_settings_that_can_never_work_say_so_at_once(client: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ProviderMisconfigured):
        client(**changes)


def test_s256_is_what_authlib_and_the_rfc_say() -> None:
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
    assert create_s256_code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    digest = hashlib.sha256(verifier.encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == create_s256_code_challenge(verifier)
