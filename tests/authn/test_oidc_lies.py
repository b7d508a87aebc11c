"""A provider, or somebody in its place, lies to us: each lie of lies.yaml is told during a real login."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lying_provider import NONCE, SMALL_RSA, LyingProvider, jwk

from proxy.authn.errors import LoginRefused, ProviderUnavailable, TokenInvalid
from proxy.authn.oidc import LoginResult, OidcProvider

HERE = Path(__file__).parent
LIES = yaml.safe_load((HERE / "lies.yaml").read_text(encoding="utf-8"))
LOGOUT_LIES = yaml.safe_load((HERE / "logout_lies.yaml").read_text(encoding="utf-8"))
ERRORS = {"refused": LoginRefused, "unavailable": ProviderUnavailable}


async def login(client: OidcProvider, idp: LyingProvider, **changes: Any) -> LoginResult:
    """The exchange as the callback page asks for it."""
    asked: dict[str, Any] = {
        "code": "code-1",
        "code_verifier": "v" * 43,
        "nonce": NONCE,
        "redirect_uri": "https://login.example/cb",
        "iss": idp.issuer,
    }
    return await client.exchange(**{**asked, **changes})


@pytest.mark.parametrize("case", LIES, ids=[case["name"] for case in LIES])
async def test_a_lie_during_login(case: dict[str, Any], client: Any, idp: LyingProvider) -> None:
    idp.lie = case["lie"]
    iss = case.get("iss", idp.issuer)
    asked = {"iss": iss.replace("{issuer}", idp.issuer) if iss else iss, "max_age": case.get("max_age")}

    if case["outcome"] == "accepted":
        result = await login(client(), idp, **asked)
        assert result.identity.subject == "u-1"
        assert result.identity.provider == "corp"
    else:
        with pytest.raises(ERRORS[case["outcome"]]) as caught:
            await login(client(), idp, **asked)
        assert case["says"] in str(caught.value)
        assert "at-1" not in str(caught.value)


async def test_a_key_too_small_is_no_key(client: Any, idp: LyingProvider) -> None:
    idp.keys = [jwk(SMALL_RSA, "RS256", kid="small")]
    idp.lie = {"signing": "small-key"}
    with pytest.raises(TokenInvalid, match="does not publish"):
        await login(client(), idp)


@pytest.mark.parametrize("case", LOGOUT_LIES, ids=[case["name"] for case in LOGOUT_LIES])
async def test_a_lie_in_a_logout_token(case: dict[str, Any], client: Any, idp: LyingProvider) -> None:
    token = idp.logout_token(case["lie"])
    if case["outcome"] == "accepted":
        said = await client().verify_logout_token(token)
        assert said.jti == "jti-1"
        assert "u-1" in (said.sub, "u-1")
        assert said.sub or said.sid
    else:
        with pytest.raises(ERRORS[case["outcome"]]) as caught:
            await client().verify_logout_token(token)
        assert case["says"] in str(caught.value)


async def test_an_id_token_is_no_logout_token_and_the_other_way_round(client: Any, idp: LyingProvider) -> None:
    with pytest.raises(TokenInvalid):
        await client().verify_logout_token(idp.id_token())
    idp.lie = {"token_answer": {"id_token": idp.logout_token({})}}
    with pytest.raises(TokenInvalid):
        await login(client(), idp)
