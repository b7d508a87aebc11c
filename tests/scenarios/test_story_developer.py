"""An app developer verifies who is calling with the published keys, before, during and after their rotation."""

from __future__ import annotations

import time
from typing import Any

import jwt
from scenario_world import App, Inside, running

from proxy.pki.authority import new_key, private_pem

JWKS = "/.well-known/ostiary/jwks.json"


async def claims(world: Inside, app: App, audience: str, *, on: str = "login") -> dict[str, Any]:
    """What an app does with the assertion of the last request: the ten lines of the README."""
    token = app.last().header("x-ostiary-assertion")
    assert token
    keys = jwt.PyJWKSet.from_dict((await world.ask(on, JWKS)).json)
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "ostiary+jwt"
    key = next(one for one in keys.keys if one.key_id == header["kid"])
    return jwt.decode(token, key.key, ["ES256"], audience=audience, issuer=world.origin("login"))


async def test_a_persons_assertion(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("sam", "app"))["app"]
        await world.ask("app", cookie=cookie)
        said = await claims(world, app, world.origin("app"))
        assert said["email"] == "sam@example.com"
        assert sorted(said["groups"]) == ["engineering", "sre"]
        assert said["sid"] == (await world.sids())[0]
        assert 0 < said["exp"] - said["iat"] <= 300
        assert abs(said["iat"] - time.time()) < 120
        assert said == await claims(world, app, world.origin("app"), on="app")  # the keys are on every host


async def test_a_services_assertion(world: Inside, app: App):
    world.route("app", app.url, allow=[{"name": "billing", "services": ["spiffe://example.org/billing"]}])
    async with running(world):
        await world.ask("app", service="billing")
        said = await claims(world, app, world.origin("app"))
        assert said["sub"] == "spiffe://example.org/billing"
        assert "email" not in said


async def test_one_apps_assertion_is_worthless_at_another(world: Inside, app: App):
    world.route("app", app.url)
    world.route("other", app.url)
    world.route("teams", app.url, at="*.teams.test")
    async with running(world):
        cookies = await world.login("ann", "app", "other", "red.teams.test", "blue.teams.test")
        for name, cookie in cookies.items():
            await world.ask(name, cookie=cookie)
            for audience in cookies:
                try:
                    await claims(world, app, world.origin(audience))
                    assert audience == name
                except jwt.InvalidAudienceError:
                    assert audience != name


async def test_keys_rotate_without_anybody_noticing(world: Inside, app: App):
    """The old one is still published while it is `previous`; a token of either verifies with the set of that moment."""
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        await world.ask("app", cookie=cookie)
        before = jwt.get_unverified_header(app.last().header("x-ostiary-assertion") or "")["kid"]
        next_key = world.certs / "next.key"
        next_key.write_bytes(private_pem(new_key()))
        next_key.chmod(0o600)
        world.config["assertion"] = {"key": "certs/next.key", "previous": ["certs/assertion.key"]}
        world.reload()
        await claims(world, app, world.origin("app"))  # signed by the old one
        await world.ask("app", cookie=cookie)
        after = jwt.get_unverified_header(app.last().header("x-ostiary-assertion") or "")["kid"]
        assert after != before
        await claims(world, app, world.origin("app"))
        published = {key["kid"] for key in (await world.ask("login", JWKS)).json["keys"]}
        assert published == {before, after}
        assert all("d" not in key for key in (await world.ask("login", JWKS)).json["keys"])
