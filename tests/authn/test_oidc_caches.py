"""Metadata and keys are asked for rarely, by one at a time, and survive an outage of the provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from lying_provider import KEYS, RSA, LyingProvider, jwk
from test_oidc_lies import login

from proxy.authn.errors import LoginRefused, ProviderUnavailable, UnknownKey

DOWN = {"discovery": {"status": 503}, "keys": {"status": 503}}
WELL_KNOWN = "/.well-known/openid-configuration"


async def test_twenty_logins_at_once_ask_once(client: Any, idp: LyingProvider) -> None:
    provider = client()
    await asyncio.gather(*(login(provider, idp) for _ in range(20)))
    assert (idp.asked(WELL_KNOWN), idp.asked("/keys"), idp.asked("/token")) == (1, 1, 20)


async def test_whoever_comes_while_the_keys_are_being_read_waits_for_them(
    client: Any, idp: LyingProvider, clock: Any
) -> None:
    provider = client()
    idp.lie = {"keys": {"status": 503}}
    with pytest.raises(ProviderUnavailable):
        await login(provider, idp)  # the provider was still starting
    idp.lie = {}
    clock.now += 2
    idp.open.clear()
    tabs = [asyncio.create_task(login(provider, idp))]
    await idp.until_asked("/keys", 2)
    clock.now -= 1.5  # as if the last attempt were half a second ago
    tabs += [asyncio.create_task(login(provider, idp)) for _ in range(9)]
    await idp.until_asked("/token", 11)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not any(tab.done() for tab in tabs)
    idp.open.set()
    assert {result.identity.subject for result in await asyncio.gather(*tabs)} == {"u-1"}
    assert idp.asked("/keys") == 2


async def test_a_waiter_who_leaves_does_not_take_the_answer_along(client: Any, idp: LyingProvider) -> None:
    provider = client()
    leaver = asyncio.create_task(login(provider, idp))
    stayer = asyncio.create_task(login(provider, idp))
    await asyncio.sleep(0)
    leaver.cancel()
    assert (await stayer).identity.subject == "u-1"
    assert idp.asked(WELL_KNOWN) == 1


async def test_an_outage_after_the_first_login_is_not_noticed(client: Any, idp: LyingProvider, clock: Any) -> None:
    provider = client()
    await login(provider, idp)
    idp.lie = DOWN
    clock.now += 2 * 3600
    idp.lie["claims"] = {"iat": int(clock.now), "exp": int(clock.now) + 60, "auth_time": None}
    assert (await login(provider, idp)).identity.subject == "u-1"
    asked = idp.asked("/keys")
    assert (await login(provider, idp)).identity.subject == "u-1"
    assert idp.asked("/keys") == asked, "not asked again within the minute"
    idp.lie = {"claims": idp.lie["claims"]}
    clock.now += 61
    await login(provider, idp)
    assert idp.asked("/keys") == asked + 1


async def test_an_outage_before_the_first_login_recovers_by_itself(client: Any, idp: LyingProvider, clock: Any) -> None:
    provider = client()
    idp.lie = DOWN
    for _ in range(5):
        with pytest.raises(ProviderUnavailable):
            await login(provider, idp)
    assert idp.asked(WELL_KNOWN) == 1, "a crowd at the door is not passed on to a provider in trouble"
    idp.lie = {}
    clock.now += 2
    assert (await login(provider, idp)).identity.subject == "u-1"


async def test_rotated_keys_are_picked_up_at_once(client: Any, idp: LyingProvider, clock: Any) -> None:
    provider = client()
    await login(provider, idp)
    clock.now += 61
    idp.keys = [jwk(RSA, "RS256", kid="new")]
    idp.lie = {"header": {"kid": "new"}}
    assert (await login(provider, idp)).identity.subject == "u-1"
    idp.lie = {}
    with pytest.raises(LoginRefused):
        await login(provider, idp)  # the withdrawn key is withdrawn


async def test_strangers_cannot_make_us_ask_more_than_once_a_minute(
    client: Any, idp: LyingProvider, clock: Any
) -> None:
    provider = client()
    await login(provider, idp)
    clock.now += 61
    forged = [idp.logout_token({"header": {"kid": f"made-up-{number}"}}) for number in range(10)]
    outcomes = await asyncio.gather(*map(provider.verify_logout_token, forged), return_exceptions=True)
    assert all(isinstance(outcome, UnknownKey | ProviderUnavailable) for outcome in outcomes)
    assert idp.asked("/keys") == 2
    clock.now += 30  # neither bad nor good is known of a new key now: nobody may be thrown out for it
    with pytest.raises(ProviderUnavailable):
        await provider.verify_logout_token(forged[0])
    assert idp.asked("/keys") == 2
    await login(provider, idp)  # known keys are not affected


async def test_the_clock_set_back_by_a_day_blocks_nothing(client: Any, idp: LyingProvider, clock: Any) -> None:
    provider = client()
    clock.now += 86400
    idp.lie = {"claims": {"iat": int(clock.now), "exp": int(clock.now) + 60, "auth_time": None}}
    await login(provider, idp)
    clock.now -= 86400
    idp.lie, idp.keys = {"header": {"kid": "new"}}, [jwk(RSA, "RS256", kid="new")]
    assert (await login(provider, idp)).identity.subject == "u-1"


async def test_keys_that_share_a_kid_are_told_apart(client: Any, idp: LyingProvider) -> None:
    other_kind = {**KEYS[1], "kid": "rsa"}
    for_encryption = {**KEYS[0], "use": "enc"}
    symmetric = {"kty": "oct", "kid": "rsa", "k": "AAAA"}
    idp.keys = [symmetric, for_encryption, other_kind, KEYS[0]]
    assert (await login(client(), idp)).identity.subject == "u-1"


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"alg": "PS256"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"kid": 7},
        {"n": ""},
        {"e": "AA"},
        {"n": 5},
        {"kty": "EC"},
        {"kty": "oct"},
    ],
    ids=str,
)
async def test_a_key_that_is_not_for_this_is_no_key(client: Any, idp: LyingProvider, change: dict[str, Any]) -> None:
    idp.keys = [{**KEYS[0], **change}]
    with pytest.raises(UnknownKey):
        await login(client(), idp)


async def test_one_lonely_key_needs_no_name_but_two_do(client: Any, idp: LyingProvider) -> None:
    idp.lie = {"header": {"kid": None}}
    idp.keys = [KEYS[0]]
    assert (await login(client(), idp)).identity.subject == "u-1"
    idp.keys = [KEYS[0], {**KEYS[0], "kid": "other"}]
    with pytest.raises(UnknownKey):
        await login(client(), idp)
